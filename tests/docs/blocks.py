"""The blocks of a page, run as a reader would: one shell, from the top to the bottom.

`sh` and `console` blocks are typed into it, and a `python` block is a script of its own. A block with a title is a
file of that name. Further lines of a `console` block, and a `text` block after one that was run, are what it prints;
`...` stands for anything.
`<!-- not run: why -->` before a block leaves it out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(
    r"^(?:[ ]*<!-- not run: (?P<why>.+?) -->\n)?"
    r"(?P<indent>[ ]*)```(?P<language>\w*)(?:[ ]title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^(?P=indent)```$",
    flags=re.MULTILINE | re.DOTALL,
)
SHELLS = ("sh", "bash", "console")
MADE_UP = re.compile(r"\b[0-9a-f]{12}(?=_)|\bV\d{14}(?=__)|\b\d{14}(?=_)|\b[\w+]+://\S+")  # of migrations, and URLs
MARK = "@@ the end of block "


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    title: str | None
    why_not: str | None

    @property
    def runs(self) -> bool:
        return (self.language in (*SHELLS, "python") or self.title is not None) and self.why_not is None

    @property
    def prints(self) -> str | None:
        """What a console block shows under its commands."""
        lines = [line for line in self.text.splitlines() if not line.startswith("$ ")]
        return "\n".join(lines) if self.language == "console" and lines else None

    def typed(self, file: str) -> str:
        """What is typed into the shell."""
        if self.language == "console":
            return "\n".join(line.removeprefix("$ ") for line in self.text.splitlines() if line.startswith("$ "))
        if self.language in SHELLS:
            return self.text
        written = f"cat > {self.title or file} <<'THE END'\n{self.text}\nTHE END\n"
        return written if self.title else f"{written}python {file}"


def blocks(page: Path) -> list[Block]:
    return [
        Block(found["language"], textwrap.dedent(found["text"]).strip(), found["title"], found["why"])
        for found in FENCE.finditer(page.read_text())
    ]


def run(
    page: Path,
    folder: Path,
    environment: Mapping[str, str] = {},
    instead: Mapping[str, str] = {},
) -> list[str]:
    """Run the blocks of a page; return what each printed. ``instead``: what is read for what is written."""
    found = blocks(page)
    running = [block for block in found if block.runs]
    script = "set -eo pipefail\n"
    for number, block in enumerate(running):
        script += f"{block.typed(f'block_{number}.py')}\necho; echo '{MARK}{number}'\n"
    for written, read in instead.items():
        assert written in script, f"{page.name} no longer says {written}"
        script = script.replace(written, read)
    programs = Path(sys.executable).parent
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("STORAGE_ADMIN", "DATABASE"))}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=plain
        | {"PATH": f"{programs}:{plain['PATH']}", "COLUMNS": "120", "AGNO_TELEMETRY": "false"}
        | dict(environment),
        input="y\n" * 9,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{page.name}, exit code {done.returncode}:\n{done.stdout}"
    printed = [part.strip() for part in re.split(rf"\n{MARK}\d+\n", done.stdout)][: len(running)]
    for wanted, number in expected(found):
        assert like(wanted, printed[number]), f"{page.name} says\n{wanted}\n\nand it is\n{printed[number]}"
    return printed


def expected(found: list[Block]) -> Iterator[tuple[str, int]]:
    """What the blocks that are run should print, by their numbers."""
    number = -1
    for before, block in zip([None, *found], found, strict=False):
        if block.runs:
            number += 1
            if block.prints:
                yield block.prints, number
        elif block.language == "text" and before is not None and before.runs:
            yield block.text, number


def like(wanted: str, printed: str) -> bool:
    """Whether the lines were printed, one after the other; `...` stands for anything, an id or a URL for another."""
    wanted, printed = (MADE_UP.sub("...", text) for text in (wanted, printed))
    pattern = r"\s*\n".join(".*".join(map(re.escape, line.split("..."))) for line in wanted.splitlines())
    return re.search(pattern, printed, flags=re.DOTALL) is not None
