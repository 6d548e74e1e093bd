"""When a wait is worth a line: not at once, when somebody else is in the way, and now and then."""

from __future__ import annotations

from storage_admin.locking import Patience, Waiting, Watch


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def watched(told: list[Waiting], clock: Clock) -> Watch:
    return Watch("ai.sessions", Patience(wait_seconds=60, told=told.append), clock)


def test_a_short_wait_is_not_worth_a_word() -> None:
    told: list[Waiting] = []
    clock = Clock()
    watch = watched(told, clock)
    assert not watch.due
    watch.tell("busy")
    clock.now += 1.9
    watch.tell("busy")
    assert told == []


def test_a_long_one_is_told_now_and_then_and_when_it_changes_but_not_all_the_time() -> None:
    told: list[Waiting] = []
    clock = Clock()
    watch = watched(told, clock)
    for tenths in range(600):
        clock.now = 1000 + tenths / 10
        reader = 40 + (tenths % 2 if tenths > 400 else 0)  # in the end two of them in turn
        watch.tell(f"in use by pid {reader} for {tenths / 10} s", (reader,))
    assert [round(waiting.seconds) for waiting in told] == [2, 17, 32, 40, 45, 50, 55]
    assert str(told[0]) == "ai.sessions: in use by pid 40 for 2.0 s; 2 s of waiting, gives up in 58 s"
    assert told[-1].left == 60 - told[-1].seconds


def test_nobody_is_told_where_nobody_asked() -> None:
    clock = Clock()
    watch = Watch("ai.sessions", Patience(), clock)
    clock.now += 30
    assert not watch.due
    watch.tell("busy")
