"""Conditions on a call's arguments, like `amount > 500 and currency == "EUR"`.

    condition  = or-ed and and-ed comparisons, `not`, brackets, `only(amount, "x-y")`: no other arguments
    comparison = value (== != < <= > >= in, not in, contains, like) value
    value      = field (`amount`, `customer.country`, `rows[0].id`, `len(rows)`) | "text" | number | true | false | none
                 | [value, …]

It is a language of its own. Python's parser reads it, but it allows nothing else of Python: the only call is `len`, and
there are no attributes of objects and no arithmetic. Every evaluation ends, because a condition's length, its depth and
the texts that it reads are bounded. Values that cannot be compared (`countersign.domain.json_comparison`) leave the
condition undecided, unless its other parts decide.
"""

import ast
import re
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, Final

from countersign.domain.errors import CannotTell, InvalidInput, NotRecorded
from countersign.domain.json_comparison import Unrecorded, decided, kind, like, ordered, same, within

LONGEST: Final = 500
"""Most characters of a condition."""
DEEPEST: Final = 12
LOOKED_AT: Final = 100_000
"""Most characters of an argument that a condition may read; a longer one cannot be judged."""
_WORDS: Final = {"contains": "<<", "like": ">>"}
"""Operators missing from Python's grammar, each mapped to an otherwise forbidden operator of equal precedence."""


def check(condition: str) -> str:
    """Return the condition; InvalidInput, with the fault and its place, if invalid."""
    _check(_read(condition), condition, 0)
    return condition


def holds(condition: str, arguments: Mapping[str, Any] | Unrecorded) -> bool:
    """Tell whether a condition holds for these arguments.

    CannotTell if a field is missing or cannot be compared; NotRecorded if it reads a field that the record does not
    contain.
    """
    try:
        return _truth(_read(condition), arguments)
    except RecursionError:
        raise CannotTell("an argument is nested too deep to be looked at") from None


@lru_cache(maxsize=1000)
def _read(text: str) -> ast.expr:
    if len(text) > LONGEST:
        raise InvalidInput(f"A condition has at most {LONGEST} characters, this one has {len(text)}.")
    try:
        return ast.parse(_as_python(text).strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as wrong:
        where = f" near character {wrong.offset}" if isinstance(wrong, SyntaxError) and wrong.offset else ""
        raise InvalidInput(f"“{text[:80]}” is not a condition{where}. Write it like: amount > 500") from None


def _as_python(text: str) -> str:
    """Replace our own keywords by operators, but not inside quoted texts."""
    parts = re.split(r"(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')", text)
    for at in range(0, len(parts), 2):
        if "<<" in parts[at] or ">>" in parts[at]:
            raise ValueError("these operators only stand for our words")
        for word, operator in _WORDS.items():
            parts[at] = re.sub(rf"\b{word}\b", operator, parts[at])
        parts[at] = re.sub(r"\b(true|false|none|null)\b", lambda match: _CONSTANTS[match[1]], parts[at])
    return "".join(parts)


_CONSTANTS: Final = {"true": "True", "false": "False", "none": "None", "null": "None"}
_COMPARED: Final = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn)


def _check(node: ast.expr, text: str, depth: int) -> None:
    if depth > DEEPEST:
        raise InvalidInput(f"“{text[:80]}” is nested more than {DEEPEST} deep.")
    match node:
        case ast.BoolOp(values=parts):
            inner = parts
        case ast.UnaryOp(op=ast.Not(), operand=part):
            inner = [part]
        case ast.Compare(left=left, ops=[op], comparators=[right]) if isinstance(op, _COMPARED):
            return _check_values(text, left, right)
        case ast.BinOp(left=left, op=ast.LShift() | ast.RShift(), right=right):
            return _check_values(text, left, right)
        case ast.Name() | ast.Attribute() | ast.Subscript():
            return _check_values(text, node)
        case ast.Constant(value=bool()):
            return None
        case ast.Call(func=ast.Name(id="only"), args=names, keywords=[]) if all(map(_named, names)):
            return None
        case _:
            raise InvalidInput(f"“{ast.unparse(node)[:80]}” is nothing that a condition may say, in “{text[:80]}”.")
    for part in inner:
        _check(part, text, depth + 1)
    return None


def _check_values(text: str, *values: ast.expr) -> None:
    for value in values:
        match value:
            case ast.List(elts=parts):
                _check_values(text, *parts)
            case ast.Call(
                func=ast.Name(id="len"), args=[ast.Name() | ast.Attribute() | ast.Subscript() as of], keywords=[]
            ):
                _check_values(text, of)
            case ast.Attribute(value=ast.Name() | ast.Attribute() | ast.Subscript() as of):
                _check_values(text, of)
            case ast.Subscript(
                value=ast.Name() | ast.Attribute() | ast.Subscript() as of, slice=ast.Constant(value=int() | str())
            ):
                _check_values(text, of)
            case ast.Name() | ast.Constant(value=None | bool() | int() | float() | str()):
                continue
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float())):
                continue
            case _:
                raise InvalidInput(
                    f"“{ast.unparse(value)[:80]}” is no value that a condition may use, in “{text[:80]}”."
                )


def _named(node: ast.expr) -> str:
    """Return the name in an argument of `only`; "" if the argument is not a name."""
    match node:
        case ast.Name(id=name) | ast.Constant(value=str() as name):
            return name
        case _:
            return ""


def _truth(node: ast.expr, arguments: Mapping[str, Any] | Unrecorded) -> bool:
    match node:
        case ast.BoolOp(op=op, values=parts):
            return decided(isinstance(op, ast.Or), (partial(_truth, part, arguments) for part in parts))
        case ast.UnaryOp(operand=part):
            return not _truth(part, arguments)
        case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq() as op], comparators=[right]) if _with_none(left, right):
            both = _value(left, arguments) is None and _value(right, arguments) is None
            return both is isinstance(op, ast.Eq)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _compared(op, _value(left, arguments), _value(right, arguments))
        case ast.BinOp(left=left, op=op, right=right):
            return _compared(op, _value(left, arguments), _value(right, arguments))
        case ast.Call(func=ast.Name(id="only"), args=names):
            if isinstance(arguments, Unrecorded):
                raise NotRecorded("the arguments were not recorded")
            return {*arguments} <= {*map(_named, names)}
        case _:
            value = _value(node, arguments)
            if not isinstance(value, bool):
                raise CannotTell(f"{ast.unparse(node)} is not true or false")
            return value


def _compared(op: ast.cmpop | ast.operator, left: Any, right: Any) -> bool:
    for side in (left, right):
        if isinstance(side, str) and len(side) > LOOKED_AT:
            raise CannotTell("an argument is too long to be looked at")
    match op:
        case ast.Eq():
            return same(left, right)
        case ast.NotEq():
            return not same(left, right)
        case ast.In() | ast.NotIn():
            return within(left, right) is isinstance(op, ast.In)
        case ast.LShift():
            return within(right, left)
        case ast.RShift():
            if not isinstance(left, str) or not isinstance(right, str):
                raise CannotTell("only texts can be compared by like")
            return like(left, right)
    if not ordered(left, right):
        raise CannotTell(f"{kind(left)} and {kind(right)} have no order")
    below, above = bool(left < right), bool(left > right)
    match op:
        case ast.Lt():
            return below
        case ast.Gt():
            return above
        case ast.LtE():
            return not above
        case _:
            return not below


def _with_none(left: ast.expr, right: ast.expr) -> bool:
    """Recognise a comparison with none, which every value allows."""
    return any(isinstance(side, ast.Constant) and side.value is None for side in (left, right))


def _value(node: ast.expr, arguments: Mapping[str, Any] | Unrecorded) -> Any:
    """Compute a node that `_check_values` has accepted."""
    match node:
        case ast.Constant():
            return node.value
        case ast.UnaryOp(operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.List(elts=parts):
            return [_value(part, arguments) for part in parts]
        case ast.Name(id=name):
            return _field(arguments, name)
        case ast.Attribute(value=of, attr=name):
            return _field(_value(of, arguments), name)
        case ast.Subscript(value=of, slice=ast.Constant(value=int() | str() as key)):
            return _field(_value(of, arguments), key)
        case ast.Call(args=[of]):
            value = _value(of, arguments)
            if isinstance(value, str | list | dict):
                return len(value)
            raise CannotTell(f"{ast.unparse(of)} has no length")
    raise InvalidInput(f"“{ast.unparse(node)[:80]}” is no value that a condition may use.")


def _field(of: Any, name: str | int) -> Any:
    if isinstance(of, Unrecorded):
        raise NotRecorded(f"the record does not hold “{name}”")
    if isinstance(name, str) and isinstance(of, Mapping) and name in of:
        return _recorded(of[name], name)
    if isinstance(name, int) and isinstance(of, list) and -len(of) <= name < len(of):
        return _recorded(of[name], name)
    raise CannotTell(f"there is no “{name}”")


def _recorded(value: Any, name: str | int) -> Any:
    if isinstance(value, Unrecorded):
        raise NotRecorded(f"the record does not hold “{name}”")
    return value
