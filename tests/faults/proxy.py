"""A network that fails: a TCP proxy in front of a server, which cuts or swallows a connection at a chosen moment."""

from __future__ import annotations

import ctypes
import select
import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from typing_extensions import Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

SO_ATTACH_FILTER = 26
CHUNK = 65536


def drop_all(connection: socket.socket) -> None:
    """Let the kernel throw away what still comes in, unacknowledged, as behind a dead line; a silent peer would ack."""
    code = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF: return 0 bytes
    program = struct.pack("HxxxxxxP", 1, ctypes.addressof(code))
    connection.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


class Proxy:
    """Forwards until a byte pattern comes from a client: ``fired`` times so far, of ``accepted`` clients.

    After ``cut_before`` the server does not get what holds the pattern; after ``cut_after`` it has got it and has
    answered, and the client never hears. ``black_hole`` swallows it and all that follows, in both directions.
    ``times`` is how often the trigger goes off; with ``closes`` new clients are turned away from then on.
    """

    def __init__(self, host: str, port: int) -> None:
        self.upstream = (host, port)
        self.accepted = 0
        self.fired = 0
        self.times = 1
        self.closes = False
        self.dead = False
        self.pattern = b""
        self.action: Callable[[socket.socket, socket.socket, bytes], bool] | None = None
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=10)
        for connection in self._sockets:
            connection.close()

    def url(self, url: str) -> str:
        """The URL of a server, through this proxy."""
        return url.replace(f"{self.upstream[0]}:{self.upstream[1]}", f"127.0.0.1:{self.port}")

    def cut_before(self, pattern: bytes, times: int = 1) -> None:
        self.pattern, self.action, self.times = pattern, self._cut_before, times

    def cut_after(self, pattern: bytes, times: int = 1) -> None:
        self.pattern, self.action, self.times = pattern, self._cut_after, times

    def black_hole(self, pattern: bytes) -> None:
        self.pattern, self.action = pattern, self._swallow

    # --- inside --------------------------------------------------------------------------------------------

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._sockets.append(client)
            if self.closes and self.fired:
                client.close()
                continue
            if self.dead:
                drop_all(client)
                continue
            server = socket.create_connection(self.upstream)
            self._sockets.append(server)
            self._start(self._forward, client, server)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                ready, _, _ = select.select([client, server], [], [])
                for source in ready:
                    data = source.recv(CHUNK)
                    if not data or (source is client and self._goes_off(data) and self._act(client, server, data)):
                        return self._hang_up(client, server)
                    if data:
                        (server if source is client else client).sendall(data)
        return self._hang_up(client, server)

    def _goes_off(self, data: bytes) -> bool:
        if self.action is None or self.pattern not in data:
            return False
        with self._lock:
            if self.fired >= self.times:
                return False
            self.fired += 1
            return True

    def _act(self, client: socket.socket, server: socket.socket, data: bytes) -> bool:
        assert self.action
        return self.action(client, server, data)

    def _cut_before(self, _client: socket.socket, _server: socket.socket, _data: bytes) -> bool:
        return True

    def _cut_after(self, _client: socket.socket, server: socket.socket, data: bytes) -> bool:
        server.sendall(data)
        server.recv(CHUNK)  # it has answered: it is done
        return True

    def _swallow(self, client: socket.socket, server: socket.socket, _data: bytes) -> bool:
        self.dead = True
        drop_all(client)
        with suppress(OSError):
            while server.recv(CHUNK):
                pass
        return False

    @staticmethod
    def _hang_up(client: socket.socket, server: socket.socket) -> None:
        for connection in (client, server):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
