"""Tries every mutant of the rules: does a test of the rules fail?

    python -m tests.mutants.run infusion/services/clock.py            # all mutants of a file, the survivors told
    python -m tests.mutants.run --seconds=3 --only=_sequential infusion/services/administration.py   # a quick look

The tests are collected and run once, and what each of them runs is remembered. Then for each mutant a fork takes the
change up and runs the tests that pass through it, the ones that found others first, until one fails. A change of a
class or of a default goes into a process of its own, because what is made from it has been made by then.
"""

from __future__ import annotations

import argparse
import ast
import functools
import gc
import inspect
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import coverage
import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, Phase, settings

from tests.mutants.making import Mutant, mutants, mutated

ROOT = Path(__file__).resolve().parents[2]
KILLED, SURVIVED, UNUSABLE = 1, 0, 3
SECONDS_OF_PROCESSOR = 60
BYTES = 4 * 1024**3
# Controls of the comparison itself, and what starts a process of its own, which knows nothing of a change.
LEFT_OUT = ("test_a_misread_baseline_would_be_seen", "test_the_answer_is_the_same_on_any_machine", "hangs_on_no_hash")


@dataclass(slots=True)
class Outcome:
    mutant: Mutant
    end: str
    by: str = ""

    @property
    def found(self) -> bool:
        return self.end not in ("survived", "unusable")


Told = Callable[[Outcome], None]


class Chosen:
    """The tests that a change is tried on."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [each for each in items if not any(name in each.nodeid for name in LEFT_OUT)]


class Loop(Chosen):
    """In place of pytest's own loop over the tests. `told` hears of each mutant as it ends."""

    def __init__(self, found: list[Mutant], tests: list[str], most: int, longest: float, told: Told) -> None:
        self.mutants, self.tests, self.most, self.longest, self.told = found, tests, most, longest, told
        self.seconds: dict[str, float] = {}
        self.through: dict[str, dict[int, set[str]]] = {}
        self.finders: Counter[str] = Counter()
        self.finders_within: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = {item.nodeid: item for item in session.items}
        self.remember()
        working: dict[int, tuple[Mutant, int]] = {}
        for path in self.through:
            unchanged(path)
        gc.freeze()  # what all forks share is not looked through by each, which would copy it
        for mutant in self.mutants:
            if len(working) >= self.most:
                self.await_one(working)
            reading, writing = os.pipe()
            child = os.fork()
            if not child:
                os.close(reading)
                self.try_out(mutant, writing)
            os.close(writing)
            working[child] = mutant, reading
        while working:
            self.await_one(working)
        return True

    # Which test passes through which line ---------------------------------------------------------------------------

    def remember(self) -> None:
        """Run each test once, and keep how long it takes and which lines of the rules it runs."""
        watch = coverage.Coverage(
            data_file=None,
            config_file=False,
            branch=False,
            include=[str(ROOT / each) for each in {m.path for m in self.mutants}],
        )
        watch.start()
        for item in self.items.values():
            watch.switch_context(item.nodeid)
            reports = runtestprotocol(item, log=False, nextitem=None)
            assert all(not each.failed for each in reports), f"{item.nodeid} fails without any change"
            self.seconds[item.nodeid] = sum(each.duration for each in reports)
        watch.stop()
        for path in {each.path for each in self.mutants}:
            told = watch.get_data().contexts_by_lineno(str(ROOT / path))
            self.through[path] = {line: set(names) - {""} for line, names in told.items()}

    def tests_for(self, mutant: Mutant) -> list[str]:
        """The tests that run its lines, or those that read what it makes. Likely finders first, then quick ones."""
        lines = self.through[mutant.path]
        names = set().union(*(lines.get(each, set()) for each in range(mutant.lines[0], mutant.lines[1] + 1)))
        if not in_a_function(mutant):
            names = self.readers_of(made_by(mutant))
        near = self.finders_within[mutant.path, mutant.within]
        return sorted(names or self.items, key=lambda each: (-near[each], -self.finders[each], self.seconds[each]))

    def readers_of(self, made: set[str]) -> set[str]:
        """The tests that run a line with one of these names in it, and those that have one in their own text.

        None where no line of the rules has one: then anything may read it.
        """
        word = re.compile(rf"\b(?:{'|'.join(sorted(made))})\b") if made else re.compile("(?!)")
        found = {
            test
            for path, lines in self.through.items()
            for number, line in enumerate(source_of(path).splitlines(), 1)
            if word.search(line)
            for test in lines.get(number, ())
        }
        return found and found | {name for name, item in self.items.items() if word.search(text_of(item))}

    # One mutant -----------------------------------------------------------------------------------------------------

    def try_out(self, mutant: Mutant, writing: int) -> None:
        """In a fork: never comes back."""
        end, by = UNUSABLE, ""
        try:
            bound()
            silence()
            if is_made_early(mutant):
                end = in_a_process(mutant, self.tests)
            else:
                put_in(mutant)
                end, spent = SURVIVED, 0.0
                for name in self.tests_for(mutant):
                    spent += self.seconds[name]
                    if spent > self.longest:
                        break
                    signal.setitimer(signal.ITIMER_PROF, 1 + 10 * self.seconds[name])  # for a loop that never ends
                    if any(each.failed for each in runtestprotocol(self.items[name], log=False, nextitem=None)):
                        end, by = KILLED, name
                        break
        except BaseException as problem:
            end, by = KILLED, f"{type(problem).__name__}: {problem}"
        os.write(writing, by.encode()[:4000])
        os._exit(end)

    def await_one(self, working: dict[int, tuple[Mutant, int]]) -> None:
        child, status = os.wait()
        mutant, reading = working.pop(child)
        with os.fdopen(reading, "rb") as told:
            by = told.read().decode(errors="replace")
        if os.WIFSIGNALED(status):
            end = f"ended by {signal.Signals(os.WTERMSIG(status)).name}"
        else:
            end = {KILLED: "killed", SURVIVED: "survived"}.get(os.WEXITSTATUS(status), "unusable")
        if by in self.items:
            self.finders[by] += 1
            self.finders_within[mutant.path, mutant.within][by] += 1
        self.told(Outcome(mutant, end, by))


def bound() -> None:
    """A change may make a list endless, or a loop before any test: the system ends it then."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS_OF_PROCESSOR, SECONDS_OF_PROCESSOR + 5))
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))


def silence() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


# Taking a change up ---------------------------------------------------------------------------------------------------


def explained() -> dict[tuple[str, str, str, str], str]:
    """The survivors that were looked at, and why nothing depends on each."""
    rows = tomllib.loads((ROOT / "tests/mutants/survivors.toml").read_text(encoding="utf-8")).get("survivor", [])
    return {(row["path"], row["within"], row["was"], row["now"]): row["why"] for row in rows}


@functools.cache
def source_of(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def text_of(test: pytest.Item) -> str:
    return source_of_test(test.function) if isinstance(test, pytest.Function) else ""


@functools.cache
def source_of_test(function: Callable[..., object]) -> str:
    return inspect.getsource(inspect.unwrap(function))


def module_name(mutant: Mutant) -> str:
    return mutant.path.removesuffix(".py").replace("/", ".")


def in_a_function(mutant: Mutant) -> bool:
    return mutant.within != "" and not mutant.within.rpartition(".")[2][:1].isupper()


def made_by(mutant: Mutant) -> set[str]:
    """The names at the top of a module that a change there reaches, through other names made from them."""
    made: set[str] = set()
    for statement in ast.parse(source_of(mutant.path)).body:
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            read = {each.id for each in ast.walk(statement) if isinstance(each, ast.Name)}
            if statement.lineno == mutant.lines[0] or made & read:
                targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                made |= {each.id for one in targets for each in ast.walk(one) if isinstance(each, ast.Name)}
    return made


def is_made_early(mutant: Mutant) -> bool:
    """Of a class body, a default of an argument, or a name that a method no longer needs: made before any test runs."""
    if not mutant.within:
        return False
    if not in_a_function(mutant):
        return True
    before = code_within(unchanged(mutant.path), mutant.within)
    after = code_within(compiled(mutant), mutant.within)
    return before == after or before.co_freevars != after.co_freevars


@functools.cache
def unchanged(path: str) -> CodeType:
    return compile(source_of(path), path, "exec")


@functools.cache
def compiled(mutant: Mutant) -> CodeType:
    return compile(mutated(source_of(mutant.path), mutant), mutant.path, "exec")


def code_within(code: CodeType, names: str) -> CodeType:
    for name in names.split("."):
        code = next(each for each in code.co_consts if isinstance(each, CodeType) and each.co_name == name)
    return code


def put_in(mutant: Mutant) -> None:
    module = sys.modules[module_name(mutant)]
    if in_a_function(mutant):
        function_of(module, mutant.within).__code__ = code_within(compiled(mutant), mutant.within)
        forget_what_was_made()
    else:
        run_again(module, mutated(source_of(mutant.path), mutant), mutant.lines[0])


def function_of(module: ModuleType, names: str) -> Any:
    found: Any = module
    for name in names.split("."):
        found = vars(found)[name]
    found = getattr(found, "fget", None) or getattr(found, "__func__", None) or found
    return inspect.unwrap(found)


def ours() -> list[ModuleType]:
    return [each for name, each in list(sys.modules.items()) if name.split(".")[0] in ("infusion", "payers", "tests")]


def forget_what_was_made() -> None:
    """What the rules keep once it has been made, such as their tables."""
    for module in ours():
        for value in list(vars(module).values()):
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def run_again(module: ModuleType, tree: ast.Module, line: int) -> None:
    """The assignments at the top of a module from a line on; whoever has imported one gets the new value."""
    for statement in tree.body:
        if statement.lineno < line or not isinstance(statement, ast.Assign | ast.AnnAssign):
            continue
        before = dict(vars(module))
        exec(compile(ast.Module([statement], []), module.__file__ or "", "exec"), vars(module))
        for name, value in before.items():
            if vars(module)[name] is not value:
                for other in ours():
                    if vars(other).get(name) is value:
                        setattr(other, name, vars(module)[name])
    forget_what_was_made()


def from_json(text: str) -> Mutant:
    row = json.loads(text)
    return Mutant(**row | {"lines": tuple(row["lines"])})


def in_a_process(mutant: Mutant, tests: list[str]) -> int:
    """Collect and run the tests anew over the changed source, to the first failure."""
    command = [sys.executable, "-m", "tests.mutants.run", "--one", json.dumps(asdict(mutant)), "--tests", *tests]
    done = subprocess.run(command, cwd=ROOT, check=False)
    return KILLED if done.returncode else SURVIVED


class Changed:
    """Gives Python the changed source of one module."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        from importlib.machinery import PathFinder

        if name != module_name(self.mutant):
            return None
        spec = PathFinder.find_spec(name, path, target)
        code = compiled(self.mutant)
        spec.loader.get_code = lambda _: code  # type: ignore[union-attr, method-assign]
        return spec


# The command ----------------------------------------------------------------------------------------------------------

ARGUMENTS = ["-n", "0", "-q", "-p", "no:cacheprovider", "--tb=no", "-p", "no:randomly"]


def quick_properties() -> None:
    settings.register_profile(
        "mutants", derandomize=True, database=None, deadline=None, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    settings.load_profile("mutants")


def tried(
    found: list[Mutant], tests: list[str], told: Told, *, most: int = os.cpu_count() or 1, longest: float = 9e9
) -> None:
    """Tries mutants in this process, which has imported nothing of the rules yet, or the tests would not be anew."""
    quick_properties()
    os.environ.setdefault("INFUSION_FUZZ", "800")
    assert pytest.main([*ARGUMENTS, *tests], plugins=[Loop(found, tests, most, longest, told)]) == 0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--report", type=Path, help="a line for each mutant, as JSON")
    parser.add_argument("--only", default="", help="mutants whose description has this in it")
    parser.add_argument("--seconds", type=float, default=9e9, help="how long to try each at most")
    parser.add_argument("--all", action="store_true", help="those that are explained too")
    parser.add_argument("--tests", nargs="*", default=["tests/rules"])
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)
    parser.add_argument("paths", nargs="*")
    asked = parser.parse_args()
    if asked.one:
        sys.meta_path.insert(0, Changed(from_json(asked.one)))
        quick_properties()
        return int(pytest.main([*ARGUMENTS, "-x", *asked.tests], plugins=[Chosen()]))
    outcomes: list[Outcome] = []

    def told(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if not outcome.found:
            sys.stdout.write(f"{outcome.end}: {outcome.mutant}\n")
            sys.stdout.flush()
        if asked.report:
            with asked.report.open("a") as file:
                file.write(json.dumps(asdict(outcome)) + "\n")

    known = set() if asked.all else explained()
    found = [each for path in asked.paths for each in mutants(path, source_of(path)) if asked.only in str(each)]
    tried([each for each in found if each.key not in known], asked.tests, told, longest=asked.seconds)
    sys.stdout.write(f"{sum(each.found for each in outcomes)} of {len(found)} found by a test\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
