from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from storage_admin.cli import run
from storage_admin.cli.talk import voice


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Callable[..., Result]:
    """The command line, in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    voice.urls.clear()

    def called(*arguments: str) -> Result:
        return Result(run(list(arguments)), *capsys.readouterr())

    return called
