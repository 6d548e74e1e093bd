"""Sessions as old releases stored them, to fill a table with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from storage_admin.storage.sessions import DATA, ENTITY, SESSION_ID, UNUSED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

NOVEMBER_2024 = 1_730_000_000
TALKS = (
    ("Where shall I go in May?", "Lisbon: mild, and the jacarandas bloom."),
    ("How long do lentils cook?", "Red ones 15 minutes, green ones 30."),
    ("What eats kelp? Grüße ☃", "Sea urchins, mostly; otters eat those."),
)


def sample_rows(kinds: Sequence[str], columns: Collection[str], number: int) -> Iterator[dict[str, Any]]:
    """Rows for a table with these columns, one a session, of its kinds in turn; JSON is text.

    Session ``session-N`` is that of user ``user-1``, ``user-2`` or ``user-3``, and has one question and its answer.
    """
    for place in range(number):
        kind = kinds[place % len(kinds)]
        question, answer = TALKS[place % len(TALKS)]
        name = f"session-{place + 1}"
        values: dict[str, Any] = {
            SESSION_ID: name,
            "user_id": f"user-{place % 3 + 1}",
            "session_data": {"session_state": {"topic": question}},
            "created_at": NOVEMBER_2024 + 3600 * place,
            "updated_at": NOVEMBER_2024 + 3600 * place + 60,
            ENTITY[kind]: f"{kind}-1",
            f"{kind.partition('_')[0]}_data": {"name": f"{kind} 1"},
            "memory": {"runs": [_run(name, question, answer)]},
            "runs": [{"run_id": f"{name}-1", "session_id": name, "content": answer}],  # these releases kept no question
            "workflow_name": f"{kind} 1",
        }
        others = {column for other in DATA for column in DATA[other]} - set(DATA[kind])
        left = others | set(UNUSED.get(kind, ()))
        yield {
            column: json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value
            for column, value in values.items()
            if column in columns and column not in left
        }


def _run(session: str, question: str, answer: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"run_id": f"{session}-1", "session_id": session, "content": answer, "messages": messages}
