"""A file of settings, read and checked; every mistake is named with its place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from storage_admin.errors.settings import BadSettings, NoSuchTarget
from storage_admin.settings.finding import SHARED, TABLE, line_of, loaded, refuse_misspelt, shown, text_of
from storage_admin.settings.keys import Settings, Target, keys
from storage_admin.settings.variables import expanded, expanded_url, seen_from
from storage_admin.texts import did_you_mean, meant_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

AnyTarget = TypeVar("AnyTarget", bound=Target)


class SettingsFile(msgspec.Struct, frozen=True):
    """A file of settings that was read. ``shown`` is its path as a person would write it here."""

    path: Path
    shown: str
    settings: Settings
    text: str

    def value(self, key: str, target: str | None, variables: Mapping[str, str]) -> Any:
        """What a key (``lock_timeout``) is for a target: its own, else that of the top; None where neither says it.

        Raises:
            BadSettings: a variable is missing. NoSuchTarget.
        """
        for place, section in self._sections(key, target):
            found = getattr(section, key)
            if found is not None:
                where = (*place, key.replace("_", "-"))
                return self._filled(found, where, variables) if isinstance(found, str) else found
        return None

    def target(self, name: str) -> Target:
        """A target by name.

        Raises:
            NoSuchTarget
        """
        try:
            return self.settings.targets[name]
        except KeyError:
            known = list(self.settings.targets)
            listed = f"It has: {', '.join(known)}." if known else "It has no targets."
            raise NoSuchTarget(
                target=name, file=self.shown, known=listed, suggestion=did_you_mean(name, known)
            ) from None

    def _sections(self, key: str, target: str | None) -> Iterator[tuple[tuple[str, ...], Target]]:
        if target is not None:
            yield ("targets", target), self.target(target)
            if key == "db_url":  # the top's is another database
                return
        yield (), self.settings

    def _filled(self, text: str, where: tuple[str, ...], variables: Mapping[str, str]) -> str:
        try:
            if where[-1] != "db-url":
                return expanded(text, variables)
            return seen_from(Path.cwd(), expanded_url(text, variables), self.path.parent)
        except ValueError as error:
            raise _mistake(self.path, self.text, where, str(error)) from None


def read(path: Path) -> SettingsFile:
    """Read a file and check it.

    Raises:
        BadSettings: with the key, its line, and what it might have meant.
    """
    text = text_of(path)
    section = _section(path, text)
    targets = section.pop("targets", {}) if isinstance(section, dict) else {}
    top = _checked(path, text, (), section, Settings)
    if not isinstance(targets, dict):
        raise _mistake(path, text, ("targets",), "must be tables")
    read_targets = {name: _checked(path, text, ("targets", name), each, Target) for name, each in targets.items()}
    for name, each in read_targets.items():
        if each.db_url is None:
            raise _mistake(path, text, ("targets", name), "has no db-url")
    return SettingsFile(path, shown(path), msgspec.structs.replace(top, targets=read_targets), text)


# --- inside ------------------------------------------------------------------------------------------------


def _mistake(path: Path, text: str, where: tuple[str, ...], problem: str, suggestion: str = "") -> BadSettings:
    """What is wrong with a key, and the line that it is on, where that can be told."""
    prefix = TABLE if _in_a_table(path, loaded(path, text)) else ()
    line = line_of(text, (*prefix, *where))
    told = f"{'.'.join(where)} {problem}{f' (line {line})' if line else ''}"
    return BadSettings(file=shown(path), problem=told, suggestion=suggestion)


def _in_a_table(path: Path, content: dict[str, Any]) -> bool:
    return path.name == SHARED or TABLE[0] in content


def _section(path: Path, text: str) -> Any:
    content: Any = loaded(path, text)
    refuse_misspelt(path, text, content)
    for key in TABLE if _in_a_table(path, content) else ():
        content = content.get(key, {}) if isinstance(content, dict) else content
    return content


def _checked(path: Path, text: str, place: tuple[str, ...], section: Any, kind: type[AnyTarget]) -> AnyTarget:
    known = keys(kind)
    if not isinstance(section, dict):
        raise _mistake(path, text, place or TABLE, "must be a table")
    if unknown := next((key for key in section if key not in known), None):
        listed = f"{did_you_mean(unknown, known)} There are: {', '.join(known)}."
        raise _mistake(path, text, (*place, unknown), "is no setting", listed)
    try:
        return msgspec.convert(section, kind)
    except msgspec.ValidationError as error:
        key = str(error).rpartition("`$.")[2].rstrip("`")
        meant = _meant_targets(path, section, key)
        raise _mistake(path, text, (*place, key), f"must be {known[key].must_be}", meant) from None


def _meant_targets(path: Path, section: dict[str, Any], key: str) -> str:
    """What [target.x] might have meant."""
    within = section.get("target")
    if key != "target" or not isinstance(within, dict):
        return ""
    prefix = f"{'.'.join(TABLE)}." if path.name == SHARED else ""
    return meant_text([f"[{prefix}targets.{next(iter(within), 'NAME')}]"])
