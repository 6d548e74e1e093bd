"""A cook who remembers: an agent with its sessions, and what it knows, in one PostgreSQL database.

    python examples/agent_with_storage.py                     a talk in the terminal, the newest session of the user
    python examples/agent_with_storage.py "A question" ...    one question after the other, and out
    python examples/agent_with_storage.py --new --user ada    a new session for another user

It is the agent of Agno's documentation with one import changed. `make services` starts all that it needs on
this machine, without an account anywhere.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer
from agno.agent import Agent
from agno.embedder.openai import OpenAIEmbedder
from agno.knowledge.pdf_url import PDFUrlKnowledgeBase
from agno.models.openai import OpenAIChat
from agno.vectordb.pgvector import PgVector

from storage_admin import PostgresStorage, StorageAdminError  # the one change: this was agno.storage.postgres


def setting(name: str) -> str:
    """An environment variable that has to be there."""
    if not (value := os.environ.get(name)):
        typer.echo(f"{name} is not set. `make services` starts what this needs, and prints it.", err=True)
        raise typer.Exit(1)
    return value


def knowledge() -> PDFUrlKnowledgeBase:
    """The recipes, as vectors in a table beside the sessions; loaded once."""
    vectors = PgVector(table_name="recipes", db_url=setting("DATABASE_URL"), embedder=OpenAIEmbedder())
    recipes = PDFUrlKnowledgeBase(urls=[setting("PDF_URL")], vector_db=vectors)
    recipes.load(recreate=False, skip_existing=True)
    return recipes


def newest_session(storage: PostgresStorage, user: str) -> str | None:
    """The newest session of a user, if there is one."""
    sessions = storage.get_all_session_ids(user_id=user)
    return sessions[0] if sessions else None


def talk(
    messages: Annotated[list[str] | None, typer.Argument(help="What to ask; without it, a talk begins.")] = None,
    new: Annotated[bool, typer.Option(help="Begin a new session.")] = False,
    user: Annotated[str, typer.Option(help="Who is talking.")] = "user",
) -> None:
    """Talk with the cook; the newest session of the user goes on."""
    try:
        # auto_upgrade_schema: a table that an older release made is upgraded here, before the first read.
        url = setting("DATABASE_URL")
        storage = PostgresStorage("recipe_sessions", db_url=url, mode="agent", auto_upgrade_schema=True)
        session_id = None if new else newest_session(storage, user)
    except StorageAdminError as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from None
    typer.echo(f"Continuing session {session_id}" if session_id else "A new session", err=True)
    cook = Agent(
        model=OpenAIChat(id="gpt-4o-mini"),
        description="You are a cook who answers from the recipes.",
        user_id=user,
        session_id=session_id,
        storage=storage,
        knowledge=knowledge(),
        add_references=True,
        search_knowledge=False,
        add_history_to_messages=True,
        markdown=True,
    )
    for message in messages or ():
        typer.echo(cook.run(message).content)
    if not messages:
        cook.cli_app(markdown=True)


if __name__ == "__main__":
    typer.run(talk)
