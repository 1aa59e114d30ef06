"""Checks the plain parameters of a verb against a table, before anything is done with them.

A table maps a name to a reader: a function that takes the value and returns what the verb uses, or raises `Unfit` with
what it expected. Names that are not in the table are refused, so that no setting is ever ignored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .errors import EngineError

Reader = Callable[[Any], Any]
Table = Mapping[str, Reader]


class Unfit(Exception):  # noqa: N818 - says what was expected, never leaves this module's callers
    """The value does not fit; the message completes the sentence "must be ..."."""


def read(verb: str, params: Mapping[str, Any], table: Table) -> dict[str, Any]:
    """Every name of the table with its value as the reader returns it. A missing value reads as null.

    Raises `bad_argument`, naming the verb, the parameter, what was expected and what was found.
    """
    unknown = [name for name in params if name not in table]
    if unknown:
        raise EngineError("bad_argument", f'{verb} has no parameter "{unknown[0]}"; it has {", ".join(table)}.')
    values = {}
    for name, reader in table.items():
        try:
            values[name] = reader(params.get(name))
        except Unfit as reason:
            found = repr(params[name])[:80] if name in params else "missing"
            raise EngineError("bad_argument", f"{verb}: {name} must be {reason}; it is {found}.") from None
    return values


def text(value: Any) -> str:
    """A string that is not empty."""
    if not isinstance(value, str) or not value:
        raise Unfit("a string that is not empty")
    return value


def flag(value: Any) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise Unfit("true or false")
    return value


def integer(minimum: int) -> Reader:
    """A whole number; one that arrives as a float, as large ones do from JavaScript, becomes an int."""

    def reader(value: Any) -> int:
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not whole or value < minimum:
            raise Unfit(f"a whole number from {minimum}")
        return int(value)

    return reader


def number(minimum: float = -math.inf, maximum: float = math.inf) -> Reader:
    """A finite number within the limits, limits included."""
    limits = {
        (True, True): "a finite number",
        (False, True): f"a finite number from {minimum}",
        (True, False): f"a finite number up to {maximum}",
        (False, False): f"a number from {minimum} to {maximum}",
    }[(minimum == -math.inf, maximum == math.inf)]

    def reader(value: Any) -> float:
        plain = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not plain or not math.isfinite(value) or not minimum <= value <= maximum:
            raise Unfit(limits)
        return float(value)

    return reader


def choice(*options: str) -> Reader:
    """One of the strings."""

    def reader(value: Any) -> str:
        if value not in options:
            raise Unfit(f"one of {', '.join(options)}")
        return value

    return reader


def list_of(item: Reader) -> Reader:
    """A list whose items all fit."""

    def reader(value: Any) -> list[Any]:
        if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
            raise Unfit("a list")
        return [_item(index, item, entry) for index, entry in enumerate(value)]

    return reader


def record(table: Table) -> Reader:
    """A map with the fields of the table and no others."""

    def reader(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise Unfit(f"a map with {', '.join(table)}")
        unknown = [name for name in value if name not in table]
        if unknown:
            raise Unfit(f'a map with {", ".join(table)} and without "{unknown[0]}"')
        return {name: _item(name, field, value.get(name)) for name, field in table.items()}

    return reader


def optional(reader: Reader, default: Any = None) -> Reader:
    """The value, or `default` where it is null or missing."""
    return lambda value: default if value is None else reader(value)


def anything(value: Any) -> Any:
    """Whatever it is: the one who uses it checks it."""
    return value


def _item(key: str | int, reader: Reader, value: Any) -> Any:
    try:
        return reader(value)
    except Unfit as reason:
        raise Unfit(f"such that [{key}] is {reason}") from None
