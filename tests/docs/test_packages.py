"""What is built is what its users install: the wheel and the sdist, each in an environment that has nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import run
from tests.servers import free_port

ROOT = Path(__file__).parents[2]
UV = str(Path(sys.executable).with_name("uv"))


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    answered(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder), cwd=ROOT)
    [sdist] = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    source = folder / sdist.name.removesuffix(".tar.gz")
    answered(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=source)
    [wheel] = folder.glob("*.whl")
    return source, wheel


def answered(*command: str, code: int = 0, **options: object) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)  # type: ignore[call-overload] # of any run
    assert done.returncode == code, done.stdout
    return str(done.stdout)


def test_the_wheel_brings_the_versions_and_the_marker_for_type_checkers(packages: tuple[Path, Path]) -> None:
    names = set(zipfile.ZipFile(packages[1]).namelist())
    wanted = {f"storage_admin/versions/{file.name}" for file in (ROOT / "versions").iterdir()}
    assert wanted | {f"storage_admin/{name}" for name in ("py.typed", "overview/page.css", "overview/page.js")} <= names
    assert [name for name in names if name.endswith(".data/data/share/man/man1/storage-admin.1")]
    assert not {name for name in names if name.startswith(("tests/", "docs/", "versions/"))}


def test_the_wheel_works_where_there_is_nothing_else_and_names_the_extra_for_the_rest(
    packages: tuple[Path, Path], tmp_path: Path
) -> None:
    answered(UV, "venv", "--quiet", "--python", sys.executable, "venv", cwd=tmp_path)
    answered(UV, "pip", "install", "--quiet", "--python", "venv", str(packages[1]), cwd=tmp_path)
    program = str(tmp_path / "venv" / "bin" / "storage-admin")
    assert "every stored byte as before" in answered(program, "demo", "some.db", cwd=tmp_path)
    for needs, url, what in [
        ("mysql", "mysql://ai@localhost/ai", ["inspect"]),
        ("zstd", "sqlite:///some.db", ["sessions", "export", "--to", "all.jsonl.zst"]),
        ("parquet", "sqlite:///some.db", ["sessions", "export", "support_agent", "--to", "all.parquet"]),
    ]:
        assert f"storage-admin[{needs}]" in answered(program, *what, "--db-url", url, code=64, cwd=tmp_path)


def pythons() -> Iterator[Path]:
    """One interpreter of each supported minor release that this machine has, besides our own."""
    for minor in range(10, 15):
        named = shutil.which(f"python3.{minor}")
        managed = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python"))
        for program in (*managed, *([Path(named)] if named else [])):
            answers = subprocess.run([program, "-V"], check=False, capture_output=True).returncode == 0
            if answers and minor != sys.version_info.minor:
                yield Path(program)
                break


def test_the_wheel_works_on_each_python_that_is_here(
    packages: tuple[Path, Path], pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    if not pytestconfig.getoption("--full"):
        pytest.skip("with --full")
    for number, python in enumerate(pythons()):
        place = tmp_path / str(number)
        answered(UV, "venv", "--quiet", "--python", str(python), str(place))
        answered(UV, "pip", "install", "--quiet", "--python", str(place), str(packages[1]))
        assert "every stored byte as before" in answered(str(place / "bin" / "storage-admin"), "demo", cwd=place)


def test_the_tutorial_works_from_start_to_end(packages: tuple[Path, Path], pytestconfig: pytest.Config) -> None:
    source, _ = packages
    written = "python3 -m venv .venv && . .venv/bin/activate\npip install '..[agno]' openai"
    # An environment takes half a minute to make; the one of the tests has the same in it.
    read = written.replace("python3", sys.executable) if pytestconfig.getoption("--full") else "deactivate() { :; }"
    printed = run(source / "docs" / "quickstart.md", source, instead={"40124": str(free_port()), written: read})
    assert any("Your last message was: My name is Ada" in text for text in printed)
    assert not (source / "tutorial").exists()
