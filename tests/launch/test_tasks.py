"""Tasks and their names."""

from __future__ import annotations

from deepunlearn.launch.tasks import Task


def test_a_tasks_name_can_be_read_back() -> None:
    task = Task("evaluate", 3, "msg", None)
    assert Task.parse(str(task)) == task
