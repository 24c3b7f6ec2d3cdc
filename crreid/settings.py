"""Settings as plain JSON: what names a run, and what a reader finds in its record.

Settings are frozen dataclasses. Each class carries a `tag`, the name that stands for it in the JSON, so that a class
can be renamed without renaming what was measured with it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

__all__ = ["canonical", "described", "digest_of"]


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
