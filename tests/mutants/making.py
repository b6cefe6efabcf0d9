"""Mutants: one small change of the source each, of the kind that a slip of the hand would make.

Compared, counted or decided otherwise: `<` for `<=`, `and` for `or`, 32 for 31, a condition turned round, a statement
left out, one code for another. Words for people are left alone; other tests read those.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, field
from typing import Any

OTHER_WAY: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
OTHER_SUM: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
OTHER_CALL = {"min": "max", "max": "min", "any": "all", "all": "any"}
# What is never run, or says nothing but words.
SKIPPED = (ast.Assert, ast.JoinedStr, ast.Import, ast.ImportFrom)
SKIPPED_FIELDS = ("annotation", "returns", "decorator_list", "type_comment")
Change = Callable[[Any], ast.AST]


@dataclass(slots=True)
class Place:
    """A node that may be changed: where it hangs, in which function and statement, and whether it decides a branch."""

    node: Any
    parent: ast.AST
    name: str
    index: int | None
    within: str
    statement: ast.stmt
    changes: list[Change] = field(default_factory=list)

    def put(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.parent, self.name, node)
        else:
            getattr(self.parent, self.name)[self.index] = node


@dataclass(frozen=True, slots=True)
class Mutant:
    """`within` is the outermost function or the method, empty at the top of a module or a class."""

    path: str
    within: str
    line: int
    lines: tuple[int, int]
    place: int
    change: int
    was: str
    now: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The same mutant after other lines of the file have moved."""
        return self.path, self.within, self.was, self.now

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.within or 'at the top'}: {self.was} -> {self.now}"


def mutants(path: str, source: str) -> list[Mutant]:
    """Every mutant of one file."""
    found = []
    for number, place in enumerate(places(ast.parse(source))):
        end = place.node.end_lineno if hasattr(place.statement, "body") else place.statement.end_lineno
        for change in range(len(place.changes)):
            was, now = words_of(place, change)
            lines = (place.statement.lineno, end)
            found.append(Mutant(path, place.within, place.node.lineno, lines, number, change, was, now))
    return found


def words_of(place: Place, change: int) -> tuple[str, str]:
    """What is changed, with the expression around it, before and after."""
    around = isinstance(place.parent, ast.expr | ast.keyword | ast.comprehension)
    changed = place.changes[change](place.node)
    if not around:
        return short(ast.unparse(place.node)), short(ast.unparse(ast.fix_missing_locations(changed)))
    was = short(ast.unparse(place.parent))
    place.put(changed)
    now = short(ast.unparse(ast.fix_missing_locations(place.parent)))
    place.put(place.node)
    return was, now


def short(text: str) -> str:
    return " ".join(text.split())[:110]


def mutated(source: str, mutant: Mutant) -> ast.Module:
    """The module with the one change."""
    tree = ast.parse(source)
    place = list(places(tree))[mutant.place]
    place.put(ast.copy_location(place.changes[mutant.change](place.node), place.node))
    return ast.fix_missing_locations(tree)


def places(tree: ast.Module) -> Iterator[Place]:
    """Every place that takes a change, in the order of the source."""
    yield from below(tree, "", tree.body[0], inside=False)


def below(parent: ast.AST, within: str, statement: ast.stmt, *, inside: bool) -> Iterator[Place]:
    for name, value in ast.iter_fields(parent):
        if name in SKIPPED_FIELDS:
            continue
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(node, ast.AST) or isinstance(node, SKIPPED) or is_left_alone(parent, node):
                continue
            here = node if isinstance(node, ast.stmt) else statement
            changes = changes_of(node, decides=name == "test" or name == "ifs")
            if changes:
                yield Place(node, parent, name, index, within, here, changes)
            deeper = isinstance(node, ast.FunctionDef | ast.ClassDef) and not inside
            scope = f"{within}.{node.name}".lstrip(".") if deeper else within
            yield from below(node, scope, here, inside=inside or isinstance(node, ast.FunctionDef))


def is_left_alone(parent: ast.AST, node: ast.AST) -> bool:
    """Types, and texts that stand by themselves."""
    match node:
        case ast.Subscript(value=ast.Name(id="Literal")) | ast.Expr(value=ast.Constant()):
            return True
        case ast.BinOp(op=ast.BitOr(), left=ast.Name(id=name) | ast.Subscript(value=ast.Name(id=name))):
            return name[0].isupper() or name in ("int", "str", "list", "dict", "tuple")
    return False


def changes_of(node: ast.AST, *, decides: bool) -> list[Change]:
    """What may be done to a node; each leaves it alone and gives another."""
    match node:
        case ast.Compare(ops=ops):
            return [by_other(place, other) for place, op in enumerate(ops) for other in OTHER_WAY[type(op)]]
        case ast.BoolOp():
            return [either_for_both]
        case ast.UnaryOp(op=ast.Not()):
            return [lambda each: each.operand]
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in OTHER_SUM:
            return [counted_otherwise]
        case ast.Constant(value=bool(value)):
            return [lambda each: ast.Constant(not each.value)]
        case ast.Constant(value=int(value)):
            return [lambda each: ast.Constant(each.value + 1)]
        case ast.Constant(value=str(value)) if is_code(value):
            return [lambda each: ast.Constant(another(each.value))]
        case ast.Call(func=ast.Name(id=name)) if name in OTHER_CALL:
            return [called_otherwise]
        case ast.Expr(value=ast.Call()):
            return [lambda _: ast.Pass()]
        case ast.Continue():
            return [lambda _: ast.Break()]
        case ast.expr() if decides:
            return [lambda each: ast.UnaryOp(ast.Not(), each)]
    return []


def is_code(text: str) -> bool:
    """A code, a name or a choice, and no words for people."""
    return not any(letter.isspace() for letter in text) and any(letter.isalnum() for letter in text)


def another(text: str) -> str:
    """Another code or name; in a decimal number a further digit, because there an underscore is read over."""
    return text + ("1" if "." in text and text.replace(".", "").isdigit() else "_")


def by_other(place: int, other: type[ast.cmpop]) -> Change:
    def change(node: Any) -> ast.AST:
        ops = [other() if each == place else op for each, op in enumerate(node.ops)]
        return ast.Compare(node.left, ops, node.comparators)

    return change


def either_for_both(node: Any) -> ast.AST:
    return ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)


def counted_otherwise(node: Any) -> ast.AST:
    other = copy(node)
    other.op = OTHER_SUM[type(node.op)]()
    return other


def called_otherwise(node: Any) -> ast.AST:
    return ast.Call(ast.Name(OTHER_CALL[node.func.id], ast.Load()), node.args, node.keywords)
