"""An Alembic environment as `alembic init` makes it, of an application with a table of its own."""

from __future__ import annotations

import logging
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from tests.conftest import Database

ENV = """
from alembic import context
from sqlalchemy import Column, Integer, MetaData, Table, Text, create_engine
{imports}

metadata = MetaData()
Table("orders", metadata, Column("id", Integer, primary_key=True), Column("what", Text))
{models}

if context.is_offline_mode():
    context.configure(url=context.config.get_main_option("sqlalchemy.url"), dialect_opts={{"paramstyle": "named"}})
    with context.begin_transaction():
        context.run_migrations()
else:
    engine = create_engine(context.config.get_main_option("sqlalchemy.url"))
    with engine.connect() as connection:
        context.configure(
            connection=connection, target_metadata=metadata, include_schemas={schemas}{options}
        )
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()
"""


class Project:
    """An application with migrations; ``options`` go into its ``context.configure(...)``."""

    def __init__(
        self, folder: Path, database: Database, *, imports: str = "", models: str = "", options: str = ""
    ) -> None:
        self.folder = folder
        url = database.url.replace("postgresql:", "postgresql+psycopg:").replace("mysql:", "mysql+pymysql:")
        self.config = Config(str(folder / "alembic.ini"))
        with redirect_stdout(StringIO()):
            command.init(self.config, str(folder / "migrations"))
        ini = folder / "alembic.ini"
        lines = [
            line for line in ini.read_text().splitlines() if not line.startswith(("sqlalchemy.url", "prepend_sys"))
        ]
        lines.insert(lines.index("[alembic]") + 1, f"sqlalchemy.url = {url}")
        ini.write_text("\n".join(lines))
        schemas = database.dialect.name == "postgresql"
        env = ENV.format(imports=imports, models=models, schemas=schemas, options=f", {options}" if options else "")
        (folder / "migrations" / "env.py").write_text(env)
        self.config = Config(str(ini), stdout=StringIO())

    @property
    def versions(self) -> list[Path]:
        return sorted(
            (self.folder / "migrations" / "versions").glob("*.py"),
            key=lambda path: (path.stat().st_mtime_ns, path.name),
        )

    def autogenerate(self, message: str = "auto") -> str:
        """What autogenerate would do: the operations, one a line."""
        before = set(self.versions)
        self._run(command.revision, message=message, autogenerate=True)
        [made] = set(self.versions) - before
        text = made.read_text()
        upgrade = text.partition("def upgrade() -> None:")[2].partition("def downgrade()")[0]
        return "\n".join(line for line in upgrade.splitlines() if "op." in line)

    def upgrade(self, revision: str = "head") -> None:
        self._run(command.upgrade, revision)

    def downgrade(self, revision: str) -> None:
        self._run(command.downgrade, revision)

    def heads(self) -> list[str]:
        return ScriptDirectory.from_config(self.config).get_heads()

    def _run(self, what: object, *arguments: object, **named: object) -> None:
        assert callable(what)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        with redirect_stdout(StringIO()):
            what(self.config, *arguments, **named)
