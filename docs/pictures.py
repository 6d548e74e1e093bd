"""Draws the terminal pictures of the README from a real run of the demo: `python docs/pictures.py`."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from storage_admin.demo import build

IMAGES = Path(__file__).parent / "images"


def draw(name: str, commands: list[list[str]], folder: Path) -> None:
    """Run some commands; write what they print, in colour, as docs/images/NAME.svg."""
    console = Console(record=True, width=150, file=io.StringIO())
    for command in commands:
        console.print(Text(f"$ storage-admin {' '.join(command)} --db-url sqlite:///agents.db", style="bold"))
        program = [sys.executable, "-m", "storage_admin", *command, "--db-url", "sqlite:///agents.db"]
        environment = {**os.environ, "FORCE_COLOR": "1"}
        done = subprocess.run(
            program,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        console.print(Text.from_ansi(done.stdout))
    IMAGES.mkdir(exist_ok=True)
    picture = console.export_svg(title="storage-admin", unique_id=name)
    picture = re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)  # no fonts from elsewhere
    (IMAGES / f"{name}.svg").write_text(picture, encoding="utf-8")


def main() -> None:
    """Draw all pictures."""
    with tempfile.TemporaryDirectory() as name:
        build(Path(name) / "agents.db")
        draw("inspect", [["inspect"]], Path(name))
        draw("upgrade", [["upgrade"], ["check"]], Path(name))


if __name__ == "__main__":
    main()
