"""A plan as a revision in an application's own Alembic environment, for teams whose DDL goes through their pipeline.

The statements are those of `plan --sql`, text for text: Alembic's own operations would be rendered anew by whatever
version, naming convention and dialect the environment has, and what was reviewed would not be what runs.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from argparse import Namespace
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

from alembic import util
from alembic.config import Config
from alembic.script import ScriptDirectory

from storage_admin.errors import (
    BadEnvironment,
    FileExists,
    NoEnvironment,
    NoSuchHead,
    RanAlready,
    SeveralHeads,
    StatementsLeftOut,
    StorageAdminError,
    WrittenAlready,
)
from storage_admin.render import quiet, steps
from storage_admin.schema import seen
from storage_admin.texts import one_line
from storage_admin.toml import TOMLDecodeError, loads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from storage_admin.admin import StorageAdmin
    from storage_admin.render import Step
    from storage_admin.reports import Survey

LINE = 88  # as long as Black lets one be
INI, TOML, ENV = "alembic.ini", "pyproject.toml", "env.py"
# Where SQLAlchemy's text() would see a parameter, or take a backslash away.
COLON = re.compile(r"(?<![:\w\\]):(?=\w)|(?<=\\):")
DOWNGRADE = """raise NotImplementedError(
    "storage-admin takes nothing back, and older releases work with what it adds. "
    "To set the version alone: alembic stamp {down}"
)"""


class Environment:
    """An Alembic environment, ready for a new revision.

    ``path`` is its alembic.ini, or a folder: of an alembic.ini, of a pyproject.toml with [tool.alembic], or of the
    env.py itself. ``section`` is what `alembic --name` takes, ``head`` what `alembic revision --head` takes. Reading it
    runs the files of the revisions, as Alembic does, in the folder in which it is run.

    Raises:
        NoEnvironment, BadEnvironment, SeveralHeads, NoSuchHead
    """

    def __init__(self, path: Path, *, head: str | None = None, section: str = "alembic") -> None:
        self.path = path
        with _sentences(path):
            self.folder, self._config = _found(path.absolute(), section)
        with self._used():
            self._scripts = ScriptDirectory.from_config(self._config)
            heads = {name: self._scripts.get_revision(name) for name in self._scripts.get_heads()}
        listed = ", ".join(f"{name} ({script.doc})" for name, script in heads.items())
        if head is None and len(heads) > 1:
            raise SeveralHeads(path=path, heads=listed)
        self._head = next(iter(heads), None) if head is None else self._resolved(head)
        if head is not None and self._head not in heads:
            are = f"are {listed}" if len(heads) > 1 else f"is {listed or 'no revision yet'}"
            raise NoSuchHead(path=path, head=head, heads=are)

    def write(
        self,
        survey: Survey,
        header: str,
        *,
        message: str | None = None,
        again: bool = False,
        applied: Callable[[], Sequence[str]] = tuple,
    ) -> tuple[Path, ...]:
        """Write what is pending as a revision, and what may not run in a transaction as one that comes after it.

        All or none is written, and none where nothing is pending; return the files. ``again`` writes what another
        revision has already; ``applied`` says at which revisions the database is, where that one is refused.

        Raises:
            BadEnvironment, StatementsLeftOut, WrittenAlready, RanAlready
        """
        pending = steps(survey.plans, survey.database.record)
        target = max((plan.target_version for plan in survey.plans), default=0)
        parts = (
            ([step for step in pending if step.transactional], f"Upgrade session tables to version {target}"),
            ([step for step in pending if not step.transactional], "Build indexes of session tables"),
        )
        texts = _texts(step for step in pending if not again)
        if (there := self._holding(texts)) is not None:
            run = there in self._run_by(applied())
            raise (RanAlready if run else WrittenAlready)(path=there, database=survey.database.url)
        before = {file: file.read_bytes() for file in self._files()}
        written: list[Path] = []
        ids: list[str] = []
        try:
            for part, title in parts:
                if not part:
                    continue
                ids.append(util.rev_id())
                file = self._write(ids[-1], part, header, message or title)
                if file in (*before, *written):  # a file_template without the id, where Alembic looks at nothing
                    raise FileExists(path=file, otherwise=" with --message")
                written.append(file)
        except BaseException:
            self._undo(before, ids)  # also what a hook of the environment refused
            raise
        return tuple(written)

    def _undo(self, before: dict[Path, bytes], ids: Sequence[str]) -> None:
        for file in self._files():
            found = file.read_bytes()
            if any(name.encode() in found for name in ids):
                file.unlink() if file not in before else file.write_bytes(before[file])

    def _write(self, revision: str, part: Sequence[Step], header: str, message: str) -> Path:
        named: dict[str, Any] = {
            "upgrades": indent(_body(part, header), "    ").strip(),
            "downgrades": indent(DOWNGRADE.format(down=self._head or "base"), "    ").strip(),
            "imports": "",
            "config": self._config,
        }
        with self._used():
            script = self._scripts.generate_revision(revision, message, head=self._head or "head", **named)
            file = Path(script.path).absolute() if script is not None else None
        if file is None or not _texts(part) <= _constants(file):
            raise StatementsLeftOut(template=Path(self._scripts.dir) / "script.py.mako")
        self._head = revision
        return file

    def _resolved(self, head: str) -> str | None:
        with self._used():
            try:
                found = self._scripts.get_revisions(head)
            except util.CommandError:
                return None
        return found[0].revision if len(found) == 1 else None

    def _holding(self, texts: set[str]) -> str | None:
        with self._used():
            files = (script.path for script in (self._scripts.walk_revisions() if texts else ()))
            return next((file for file in files if texts & _constants(Path(file))), None)

    def _run_by(self, heads: Sequence[str]) -> set[str]:
        """The files of what has run in a database that is at these revisions."""
        with self._used():
            known = [head for head in heads if self._resolved(head) == head]
            return {script.path for head in known for script in self._scripts.walk_revisions(head=head)}

    def _files(self) -> Iterator[Path]:
        with self._used():
            places = {Path(script.path).absolute().parent for script in self._scripts.walk_revisions()}
            places.add(Path(self._scripts.dir, "versions").absolute())
        for place in places:
            yield from place.glob("*.py")

    @contextmanager
    def _used(self) -> Iterator[None]:
        """In the folder in which alembic is run: what an alembic.ini names is relative to that. Its talk is talk."""
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            with _sentences(self.path), redirect_stdout(sys.stderr), quiet("alembic"):
                yield
        finally:
            os.chdir(before)


def applied_in(admin: StorageAdmin) -> Sequence[str]:
    """At which revisions a database is, by Alembic's usual table; none where that cannot be read."""
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy.exc import SQLAlchemyError

    with quiet("alembic"), admin.opened([]) as (connection, _):
        try:
            return MigrationContext.configure(connection).get_current_heads()
        except SQLAlchemyError:
            return ()


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    try:
        yield
    except StorageAdminError:
        raise
    except Exception as error:  # whatever is in somebody's settings and revisions
        name = "" if isinstance(error, util.CommandError) else f"{type(error).__name__}: "
        raise BadEnvironment(path=path, problem=name + " ".join(str(error).split()).rstrip(".")) from error


# --- where it is -------------------------------------------------------------------------------------------


def _found(path: Path, section: str) -> tuple[Path, Config]:
    if path.is_file() and path.name != TOML:
        return path.parent, Config(str(path), ini_section=section, cmd_opts=Namespace(quiet=True))
    folder = path.parent if path.is_file() else path
    if (config := _in(folder, section)) is not None:
        return folder, config
    if not (folder / ENV).is_file():
        raise NoEnvironment(path=path)
    for parent in folder.parents:
        config = _in(parent, section)
        if config is not None and _scripts_of(parent, config) == folder.resolve():
            return parent, config
    config = Config(cmd_opts=Namespace(quiet=True))
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    return folder, config


def _in(folder: Path, section: str) -> Config | None:
    ini, toml = folder / INI, folder / TOML
    named: dict[str, Any] = {"file_": str(ini)} if ini.is_file() else {}
    if toml.is_file() and "alembic" in _tools(toml):
        if hasattr(Config, "toml_file_name"):
            named["toml_file"] = str(toml)
        elif not named:
            raise BadEnvironment(path=folder, problem="[tool.alembic] is read by Alembic 1.16 and later")
    return Config(**named, ini_section=section, cmd_opts=Namespace(quiet=True)) if named else None


def _tools(toml: Path) -> dict[str, Any]:
    try:
        return dict(loads(toml.read_text(encoding="utf-8")).get("tool", {}))
    except (TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadEnvironment(path=toml, problem=str(error)) from None


def _scripts_of(folder: Path, config: Config) -> Path | None:
    option = getattr(config, "get_alembic_option", config.get_main_option)
    try:
        location: str | None = option("script_location")
    except Exception:  # noqa: BLE001 - an alembic.ini on the way up is not the one that was named
        return None
    return Path(folder, location).resolve() if location else None


# --- what goes in ------------------------------------------------------------------------------------------


def _body(part: Sequence[Step], header: str) -> str:
    lines = [f"# {one_line(header)}"]
    transactional = all(step.transactional for step in part)
    depth = 4 if transactional else 8
    inner = [line for step in part for line in (f"# {step.title}", *(_call(s, depth) for s in step.statements))]
    if transactional:
        return "\n".join([*lines, *inner])
    return "\n".join([*lines, "with op.get_context().autocommit_block():", indent("\n".join(inner), "    ")])


def _call(statement: str, depth: int) -> str:
    """``op.execute(...)`` as Black would write it."""
    text = _escaped(statement)
    whole, room = _literal(text), LINE - depth
    width = sum(1 + (east_asian_width(c) in "WF") for c in whole)
    if len("op.execute()") + width <= room:
        return f"op.execute({whole})"
    rows = [whole] if 4 + width <= room else map(_literal, text.splitlines(keepends=True))
    return "\n".join(["op.execute(", *(f"    {row}" for row in rows), ")"])


def _literal(text: str) -> str:
    body = seen(text.replace("\\", "\\\\"))
    quote = '"' if body.count('"') <= body.count("'") else "'"
    return quote + body.replace(quote, "\\" + quote) + quote


def _escaped(statement: str) -> str:
    return COLON.sub(r"\\:", statement)


def _texts(part: Iterable[Step]) -> set[str]:
    return {_escaped(statement) for step in part for statement in step.statements}


def _constants(file: Path) -> set[str]:
    """The texts in the code of a file, however it is laid out."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return set()
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
