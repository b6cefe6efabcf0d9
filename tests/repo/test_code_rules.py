"""What the code may not do, looked up in the code itself. Each exception stands here with its reason."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = sorted(
    path for name in ("infusion", "payers") for path in (ROOT / name).rglob("*.py") if "__pycache__" not in path.parts
)
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
REQUEST = re.compile(r"\brequest\.(?:GET|POST|FILES|COOKIES|headers|META|body)\b")


def called(node: ast.AST) -> str:
    """The last name of what is called."""
    match node:
        case ast.Call(func=ast.Attribute(attr=name)) | ast.Call(func=ast.Name(id=name)):
            return name
    return ""


def of_request(node: ast.AST) -> bool:
    return bool(REQUEST.search(ast.unparse(node)))


def float_columns(tree: ast.AST) -> Iterator[ast.AST]:
    """R12: SQLite keeps both as floats, and adds them up as such."""
    for node in ast.walk(tree):
        if called(node) in ("FloatField", "DecimalField", "Avg", "StdDev", "Variance") and "models" in ast.unparse(
            node
        ):
            yield node


def sql_of_requests(tree: ast.AST) -> Iterator[ast.AST]:
    """R24: names of columns come from a list, and no text of a request is SQL or a condition by its own name."""
    for node in ast.walk(tree):
        if called(node) in ("extra", "RawSQL", "raw"):
            yield node
        elif called(node) in ("order_by", "filter", "exclude", "values", "values_list", "annotate", "only", "defer"):
            assert isinstance(node, ast.Call)
            inside = [each.value for each in node.keywords if each.arg is None]
            inside += [each for each in node.args if called(node) == "order_by" or isinstance(each, ast.Starred)]
            if any(of_request(each) for each in inside):
                yield node


def unnamed_fields(tree: ast.AST) -> Iterator[ast.AST]:
    """R29: a form names its fields, and a model is not made or changed by whatever was sent."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id="fields")], value=ast.Constant(value="__all__")):
                yield node
            case ast.Assign(targets=[ast.Name(id="exclude")]):
                yield node
            case ast.Call(keywords=keywords) if any(each.arg is None and of_request(each.value) for each in keywords):
                yield node
            case ast.Call() if called(node) == "setattr" and of_request(node):
                yield node


def trusted_text(tree: ast.AST) -> Iterator[ast.AST]:
    """R36: text is escaped by the template, and by nothing else."""
    for node in ast.walk(tree):
        if called(node) in ("mark_safe", "SafeString", "safestring", "autoescape"):
            yield node


def open_forms(tree: ast.AST) -> Iterator[ast.AST]:
    """R38: no route is exempt from the token."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id="csrf_exempt") | ast.Attribute(attr="csrf_exempt"):
                yield node


def patterns_of_requests(tree: ast.AST) -> Iterator[ast.AST]:
    """R22: a pattern is written here and not sent."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re")), args=[pattern, *_]) if not constant(pattern):
                yield node


def constant(node: ast.AST) -> bool:
    """Made of what stands in the code: texts, and names of them in capitals."""
    match node:
        case ast.Constant(value=str() | bytes()) | ast.Name() if isinstance(node, ast.Constant) or node.id.isupper():
            return True
        case ast.BinOp(left=left, right=right):
            return constant(left) and constant(right)
        case ast.JoinedStr(values=values):
            return all(constant(each.value if isinstance(each, ast.FormattedValue) else each) for each in values)
    return False


def locks_of_others(tree: ast.AST) -> Iterator[ast.AST]:
    """R09: a lock of a row's key, or of the rows joined to it, stops whoever only refers to them as they commit."""
    for node in ast.walk(tree):
        words = ast.unparse(node) if isinstance(node, ast.Call) else ""
        of_keys = called(node) == "select_for_update" and "no_key=True" not in words
        joined = called(node) == "select_related" and "select_for_update(" in words and "of=('self',)" not in words
        if of_keys or joined:
            yield node


Rule = Callable[[ast.AST], Iterator[ast.AST]]
RULES: dict[str, tuple[Rule, str]] = {
    "float columns": (float_columns, "x = models.DecimalField(max_digits=9, decimal_places=2)"),
    "SQL of requests": (sql_of_requests, "rows.order_by(request.GET['sort'])"),
    "SQL by hand": (sql_of_requests, "Encounter.objects.raw('SELECT 1')"),
    "conditions of requests": (sql_of_requests, "rows.filter(**request.GET.dict())"),
    "unnamed fields": (unnamed_fields, "fields = '__all__'"),
    "models of requests": (unnamed_fields, "Encounter(**request.POST.dict())"),
    "attributes of requests": (unnamed_fields, "setattr(row, request.POST['name'], 1)"),
    "trusted text": (trusted_text, "mark_safe(text)"),
    "open forms": (open_forms, "@csrf_exempt\ndef view(request): ..."),
    "patterns of requests": (patterns_of_requests, "re.search(request.GET['q'], text)"),
    "locks of keys": (locks_of_others, "rows.select_for_update()"),
    "locks of joined rows": (locks_of_others, "rows.select_for_update(no_key=True).select_related('clinic')"),
}
# Where a rule does not hold, by file and line of code: why that is right.
REVIEWED = {
    ("infusion/exchange/claim.py", "re.fullmatch(zip_code, address.postal_code)"): "one of two patterns of that file",
    ("infusion/forms/claims.py", "re.compile(shape)"): "the patterns of that file's own fields",
}


@cache
def tree_of(path: Path) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"))


def findings(rule: Rule) -> list[str]:
    found = []
    for path in CODE:
        name = str(path.relative_to(ROOT))
        for node in rule(tree_of(path)):
            if (name, ast.unparse(node)) not in REVIEWED:
                found.append(f"{name}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("name", RULES)
def test_the_code_keeps_the_rule(name: str) -> None:
    assert findings(RULES[name][0]) == []


@pytest.mark.parametrize("name", RULES)
def test_what_breaks_the_rule_is_seen(name: str) -> None:
    rule, source = RULES[name]
    assert len(list(rule(ast.parse(source)))) == 1


# Templates ------------------------------------------------------------------------------------------------------------

TRUSTED = re.compile(r"\|\s*safe(?:seq)?\b|{%\s*autoescape\s+off", re.IGNORECASE)
RUN = re.compile(
    r"""\bhx-on\b|\bhx-vars\b|["'\s]js:|javascript:|\son[a-z]+\s*=\s*["']|<script(?![^>]*\bsrc=)[^>]*>"""
    r"""|\sstyle\s*=\s*["']|<style\b""",
    re.IGNORECASE,
)


def unsafe(template: str) -> list[str]:
    """What is not escaped, or run in place; what stands inside a tag of the template is no attribute."""
    return TRUSTED.findall(template) + RUN.findall(re.sub(r"{%.*?%}", "", template))


def test_no_template_trusts_a_text_or_runs_one() -> None:
    found = {str(path.relative_to(ROOT)): unsafe(path.read_text(encoding="utf-8")) for path in TEMPLATES}
    assert {name: hits for name, hits in found.items() if hits} == {}


@pytest.mark.parametrize(
    "text",
    [
        "{{ note|safe }}", "{% autoescape off %}", '<div hx-on:click="go()">', "<a href='javascript:go()'>",
        '<p onclick="go()">', "<script>go()</script>", '<p style="color:red">', '<div hx-vals="js:{a: 1}">',
    ],
)  # fmt: skip
def test_a_trusted_text_is_seen(text: str) -> None:
    assert len(unsafe(text)) == 1


SENT_BY_ITSELF = re.compile(r'<\w[^<>]*hx-trigger="[^"]*\b(?:every|load|revealed)\b[^<>]*>')


def counts_as_a_touch(template: str) -> list[str]:
    """R33: what a page asks for by itself says so, or it would keep a sign-in that nobody uses."""
    return [tag for tag in SENT_BY_ITSELF.findall(template) if "X-Idle" not in tag]


def test_what_a_page_asks_for_by_itself_is_no_touch() -> None:
    assert [path.name for path in TEMPLATES if counts_as_a_touch(path.read_text(encoding="utf-8"))] == []


def test_a_page_that_keeps_a_sign_in_is_seen() -> None:
    tag = '<div hx-get="/" hx-trigger="load delay:1s">'
    assert counts_as_a_touch(f"<p>{tag}</p>") == [tag]


# ruff's own rules about security --------------------------------------------------------------------------------------


def exceptions_from_ruff() -> set[tuple[str, str]]:
    """Where a rule of security is switched off, by file and rule."""
    found = set()
    for path in CODE:
        for line in path.read_text(encoding="utf-8").splitlines():
            if hit := re.search(r"# noqa: ([A-Z0-9, ]+)", line):
                found |= {(str(path.relative_to(ROOT)), rule) for rule in re.findall(r"\bS\d+", hit[1])}
    return found


# An assertion that narrows a type may stand anywhere; the others were looked at one by one.
LOOKED_AT = {
    ("infusion/management/commands/demo.py", "S105"): "the public password of the demo",
    ("infusion/management/demo_years.py", "S311"): "invented patients that can be had again",
    ("infusion/migrations/0010_drug_rows.py", "S608"): "no text of anyone's is in it",
    ("infusion/report_rows.py", "S608"): "names of columns out of a list",
    ("infusion/operations/archive.py", "S603"): "PostgreSQL's programs, without a shell",
    ("infusion/with_worker.py", "S603"): "our own command, without a shell",
    ("infusion/operations/elsewhere.py", "S608"): "a table's own name, quoted",
    ("infusion/operations/moving.py", "S608"): "a table's own name",
}


def test_each_exception_from_a_rule_of_security_was_looked_at() -> None:
    found = {each for each in exceptions_from_ruff() if each[1] != "S101"}
    assert sorted(found - set(LOOKED_AT)) == []
    assert sorted(set(LOOKED_AT) - found) == [], "exceptions that are no more"


def test_ruff_sees_what_bandit_would(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text('import subprocess\nsubprocess.run("ls " + input(), shell=True)\npassword = "hunter2"\neval("1")\n')
    tool = Path(sys.executable).with_name("ruff")
    told = subprocess.run(
        [tool, "check", "--config", ROOT / "pyproject.toml", "--output-format", "concise", bad],
        capture_output=True, text=True, check=False, timeout=60,
    ).stdout  # fmt: skip
    assert {"S602", "S105", "S307"} <= set(re.findall(r"\bS\d{3}\b", told))
