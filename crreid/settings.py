"""Settings as plain JSON: what names a run, and what a reader finds in its record.

Settings are frozen dataclasses. Each class carries a `tag`, the name that stands for it in the JSON, so that a class
can be renamed without renaming what was measured with it.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def canonical(settings: Any) -> Any:
    """Return settings as JSON without the fields that are at their defaults.

    A setting that is added later, with a default that changes nothing, thus renames no record. A default that changes
    behaviour must not be edited: a test holds them.
    """
    return _plain(settings, everything=False)


def described(settings: Any) -> Any:
    """Return every setting as JSON, those at their defaults too."""
    return _plain(settings, everything=True)


def digest_of(plain: Any) -> str:
    """Return the 16 hexadecimal digits that name plain JSON, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def _plain(value: Any, *, everything: bool) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        plain = {"type": getattr(value, "tag", type(value).__name__)}  # a method written in a notebook may have no tag
        for entry in fields(value):
            item = getattr(value, entry.name)
            # by its type: a class sent to another process has a MISSING of its own
            simple = isinstance(entry.default_factory, type(MISSING))
            default = entry.default if simple else entry.default_factory()  # type: ignore[operator]
            if everything or item != default:
                plain[entry.name] = _plain(item, everything=everything)
        return plain
    if isinstance(value, tuple):
        return [_plain(item, everything=everything) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 2 and 2.0 are the same rate
    return value


def leaves(plain: Any, prefix: str = "") -> dict[str, Any]:
    """Return described settings by dotted names: `schedule` is the nested tag, `schedule.epochs` a field of it."""
    found: dict[str, Any] = {}
    for name, value in plain.items():
        nested = isinstance(value, dict)
        if name != "type":
            found[prefix + name] = value["type"] if nested else value
        if nested:
            found |= leaves(value, f"{prefix}{name}.")
    return found


def with_value(settings: Any, name: str, value: Any) -> Any:
    """Return settings with another value at a dotted name, given as JSON has it (lists for tuples).

    Raises KeyError where there is no such field, TypeError naming the field's type where the value is none.
    """
    first, _, rest = name.partition(".")
    if not is_dataclass(settings) or first not in {entry.name for entry in fields(settings)}:
        raise KeyError(name)
    if rest:
        new = with_value(getattr(settings, first), rest, value)
    else:
        new = _as_type(get_type_hints(type(settings))[first], value)
    return replace(settings, **{first: new})  # type: ignore[type-var]


def _as_type(hint: Any, value: Any) -> Any:
    """Return JSON as a value of an annotated type. Raises TypeError where it is none."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        for each in arguments:
            with suppress(TypeError):
                return _as_type(each, value)
    elif origin is tuple and isinstance(value, list | tuple):
        if arguments[-1:] == (...,):
            arguments = arguments[:1] * len(value)
        if len(arguments) == len(value):
            return tuple(_as_type(*pair) for pair in zip(arguments, value, strict=True))
    elif hint is Any:
        return tuple(_as_type(Any, item) for item in value) if isinstance(value, list) else value
    elif (origin is Literal and value in arguments) or (hint is NoneType and value is None):
        return value
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif hint in (int, bool, str) and type(value) is hint:
        return value
    raise TypeError(hint.__name__ if isinstance(hint, type) and not arguments else str(hint).replace("typing.", ""))
