"""Tasks take turns."""

from __future__ import annotations

from functools import partial

from deepunlearn.instruments.turns import turns


def test_tasks_take_turns_and_the_first_round_does_not_count() -> None:
    done: list[str] = []
    tasks = {name: partial(done.append, name) for name in "ab"}
    taken = turns(2, tasks, {"b": 3})
    assert "".join(done) == "abbb" * 3
    assert {name: len(values) for name, values in taken.items()} == {"a": 2, "b": 2}
    done.clear()
    assert len(turns(2, tasks, warm_up=False)["a"]) == 2 and "".join(done) == "abab"
