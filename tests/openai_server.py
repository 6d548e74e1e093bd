"""A small OpenAI-compatible server: chat completions, streamed or not, and embeddings, without a network or a model.

It answers from the request alone, so what an agent forgot it cannot say. `python -m tests.openai_server PORT` runs it.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

DIMENSIONS = 1536
REFERENCES = "Use the following references"  # what Agno puts between a question and the documents


def answer(messages: list[dict[str, Any]]) -> str:
    """What the assistant says next."""
    asked = [text_of(message).partition(REFERENCES) for message in messages if message["role"] == "user"]
    question, _, documents = asked[-1]
    if re.search("my last message", question, re.IGNORECASE):
        return f"Your last message was: {asked[-2][0].strip()}" if asked[1:] else "This is your first message."
    if documents:
        sentences = re.findall(r"[A-Z][^.\"]+\.", documents)
        return (
            f"The documents say: {max(sentences, key=lambda sentence: shared_words(sentence, question), default='-')}"
        )
    return f"You said: {question}"


def reply_to(asked: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The message that comes next, a call of a tool where that is asked for by its name, and why it ends."""
    last = asked["messages"][-1]
    names = [tool["function"]["name"] for tool in asked.get("tools") or ()]
    if last["role"] == "user" and (named := [name for name in names if name in text_of(last)]):
        call = {"id": "call-1", "type": "function", "function": {"name": named[0], "arguments": "{}"}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    return {"role": "assistant", "content": answer(asked["messages"])}, "stop"


def shared_words(one: str, other: str) -> int:
    return len(set(re.findall(r"\w+", one.lower())) & set(re.findall(r"\w+", other.lower())))


def text_of(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def embedding(text: str) -> list[float]:
    """A bag of words: texts that share words are near."""
    vector = [0.0] * DIMENSIONS
    for word in re.findall(r"\w+", text.lower()):
        vector[int.from_bytes(sha256(word.encode()).digest()[:4], "big") % DIMENSIONS] += 1.0
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    usage: ClassVar = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/embeddings"):
            texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
            data = [{"object": "embedding", "index": n, "embedding": embedding(t)} for n, t in enumerate(texts)]
            self.reply({"object": "list", "model": asked["model"], "data": data, "usage": self.usage})
        elif asked.get("stream"):
            self.stream(asked["model"], answer(asked["messages"]))
        else:
            message, reason = reply_to(asked)
            choice = {"index": 0, "finish_reason": reason, "message": message}
            self.reply(self.completion(asked["model"], "chat.completion", choice) | {"usage": self.usage})

    def completion(self, model: str, kind: str, choice: dict[str, Any]) -> dict[str, Any]:
        return {"id": "chatcmpl-1", "object": kind, "created": 1700000000, "model": model, "choices": [choice]}

    def reply(self, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, model: str, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        deltas: list[tuple[dict[str, Any], str | None]] = [({"role": "assistant", "content": ""}, None)]
        deltas += [({"content": word}, None) for word in re.findall(r"\S+\s*", text)]
        deltas.append(({}, "stop"))
        for delta, reason in deltas:
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            self.event(json.dumps(self.completion(model, "chat.completion.chunk", choice)))
        self.event("[DONE]")
        self.close_connection = True

    def event(self, data: str) -> None:
        self.wfile.write(f"data: {data}\n\n".encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def openai_server() -> Iterator[str]:
    """The base URL of a server on a port of its own."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
