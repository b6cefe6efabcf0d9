"""Several processes that do the same thing at once, to see what becomes of it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

from django.db import connections


def together(work: Callable[..., Any], processes: int, *arguments: Any, seconds: float) -> list[Any]:
    """What `processes` processes of `work` answer, once all of them have ended well.

    They are forks of this one, which has everything loaded; each opens a connection of its own. `work` is called with
    its number, a barrier for all of them, and the arguments.
    """
    fork = multiprocessing.get_context("fork")
    barrier, told = fork.Barrier(processes), fork.SimpleQueue()
    connections.close_all()
    workers = [
        fork.Process(target=telling, args=(work, number, barrier, told, *arguments)) for number in range(processes)
    ]
    for worker in workers:
        worker.start()
    found = [told.get() for _ in workers]  # each tells once, at its end
    for worker in workers:
        worker.join(seconds)
    assert [worker.exitcode for worker in workers] == [0] * processes
    problems = [each for each in found if isinstance(each, str)]
    assert not problems, "\n".join(problems)
    return found


def telling(work: Callable[..., Any], number: int, barrier: Any, told: Any, *arguments: Any) -> None:
    """Runs `work` and tells what it answers, or what stopped it."""
    forget_inherited_connections()
    try:
        answer = work(number, barrier, *arguments)
    except BaseException as problem:
        barrier.abort()
        answer = f"{type(problem).__name__}: {problem}"
    told.put(answer)
    connections.close_all()


_inherited: list[Any] = []


def forget_inherited_connections() -> None:
    """Leave the parent's connections alone, so that this process opens its own.

    Django keeps one for code under a running event loop and one for code outside. A browser test before this one has
    left such a loop in the parent, whose `close_all` closed only the one; a fork has no loop and finds the other open.
    They are kept, not closed: closing would end the parent's conversation with the database.
    """
    for each in connections.all(initialized_only=True):
        _inherited.append(each.connection)
        each.connection = None
