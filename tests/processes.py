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
        fork.Process(target=telling, args=(handles(), work, number, barrier, told, *arguments))
        for number in range(processes)
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


def telling(
    taken_along: dict[str, Any], work: Callable[..., Any], number: int, barrier: Any, told: Any, *arguments: Any
) -> None:
    """Runs `work` and tells what it answers, or what stopped it."""
    with_connections_of_its_own(taken_along)
    try:
        answer = work(number, barrier, *arguments)
    except BaseException as problem:
        barrier.abort()
        answer = f"{type(problem).__name__}: {problem}"
    told.put(answer)
    connections.close_all()


def handles() -> dict[str, Any]:
    """Django's handle of each database, for a fork to take along.

    Django keeps one for code under a running event loop and one for code outside. A browser test leaves such a loop
    behind; a fork has none, and would find another handle than its parent had, with an open connection of the parent.
    """
    return {alias: connections[alias] for alias in connections}


_inherited: list[Any] = []


def with_connections_of_its_own(taken_along: dict[str, Any]) -> None:
    """In a fork: work with the parent's handles, on connections of its own.

    The parent's are kept and not closed, which would end its conversation with the database.
    """
    for each in (*connections.all(initialized_only=True), *taken_along.values()):
        _inherited.append(each.connection)
        each.connection = None
    for alias, handle in taken_along.items():
        connections[alias] = handle
