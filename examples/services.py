"""All that the examples need, on this machine: PostgreSQL with pgvector, a small model server, and a PDF.

    python -m examples.services

prints what to export and waits for Ctrl-C; the database is gone afterwards. The model answers from what it is sent and
nothing else: enough to see what an agent remembers.
"""

from __future__ import annotations

import argparse
import functools
import signal
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from benchmarks.server import Server
from tests.openai_server import openai_server


class Files(SimpleHTTPRequestHandler):
    """The files of one folder, served without a word."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Start everything, say where it is, wait."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None).parse_args()
    folder = Path(__file__).parent
    handler = functools.partial(Files, directory=str(folder))
    with Server() as server, openai_server() as model, ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        Thread(target=files.serve_forever, daemon=True).start()
        print(f"export DATABASE_URL={server.database('ai')}")
        print(f"export OPENAI_BASE_URL={model} OPENAI_API_KEY=none")
        print(f"export PDF_URL=http://127.0.0.1:{files.server_port}/recipes.pdf")
        print("# Put these lines into another terminal. Ctrl-C here stops the services.", flush=True)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            signal.pause()
        except KeyboardInterrupt:
            files.shutdown()


if __name__ == "__main__":
    main()
