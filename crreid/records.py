"""What a run measured and where: a small JSON file, committed."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd

from crreid.errors import InputError
from crreid.files import write_atomically
from crreid.settings import digest_of

FORMAT = 2

TYPES: dict[str, Any] = {"str": str, "int": int, "float": int | float | None}

COLUMNS: dict[str, dict[str, str]] = {
    "scores": {"test": "str", "protocol": "str", "rate": "float", "metric": "str", "value": "float"}
    | {"deviation": "float", "queries": "int", "unmatched": "int"},
    "persons": {"identity": "int", "queries": "int", "rank1": "int", "map_hit": "float"},
    "restoration": {"rate": "float", "measure": "str", "value": "float", "input": "float", "images": "int"},
    "epochs": {"epoch": "int", "learning_rate": "float", "total": "float"},
}
"""Columns of a record's tables, and their types; the log of the epochs has one more for each loss term."""

CHOICES: dict[str, Sequence[str]] = {
    "test": ("drawn", "uniform"),
    "protocol": ("multi_shot", "single_shot"),
    "metric": ("rank1", "rank5", "rank10", "rank20", "map_hit", "map_trapezoid"),
    "measure": ("psnr", "ssim", "l1", "lpips"),
}

LIMITS = {f"scores {name}": limits for name, limits in {"value": (0, 1), "deviation": (0, 1), "rate": (1, 1e3)}.items()}
LIMITS |= {"persons map_hit": (0, 1), "restoration rate": (1, 1e3)}
"""What a column can hold at least and at most; a score is a fraction, not per cent."""

EVALUATION = {"commit", "dirty", "device", "precision", "started", "seconds"}
STRETCH = EVALUATION | {"python", "packages", "threads", "processes", "epochs"}
"""Entries of a training and of an evaluation; early records lack `precision`: what their run is set to."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """What a run measured."""

    digest: str
    title: str
    run: dict[str, Any]  # settings that are not at their defaults, as plain JSON; `digest` is their digest
    settings: dict[str, Any]  # every setting, as plain JSON
    scores: pd.DataFrame  # what `evaluate` returned
    persons: pd.DataFrame | None  # also; old records have none
    restoration: pd.DataFrame | None  # what `restoration_quality` returned, if the run asks for it
    epochs: pd.DataFrame  # a line per epoch: epoch, learning_rate, the mean of every loss term, their total
    parameters: int  # how many numbers were trained
    # data (name, table: digest, content: digest of the images or None), start (`random` or a sentence on the weights),
    # training (a STRETCH for each process that trained some epochs), evaluation
    provenance: dict[str, Any]

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return int(self.settings["seed"])

    @property
    def training_seconds(self) -> float:
        """Duration of the training in seconds, over all processes that continued it."""
        return float(sum(stretch["seconds"] for stretch in self.provenance["training"]))

    def score(
        self, metric: str, *, test: str = "drawn", protocol: str = "multi_shot", rate: float | None = None
    ) -> float:
        """Return one score in per cent; NaN where no query counted.

        `test` is `drawn` (each query at the rate that the protocol drew for it; with `rate` those that drew it only) or
        `uniform` (all queries at `rate`). `metric` and `protocol` are among CHOICES; InputError names those there are.
        """
        chosen = self.scores
        for name, value in {"test": test, "protocol": protocol, "metric": metric, "rate": rate}.items():
            found = chosen[chosen[name].isna() if value is None else chosen[name] == value]
            if found.empty:
                has = ", ".join("all queries" if has != has else str(has) for has in chosen[name].unique())
                raise InputError(f"record {self.digest} has no {name} {value!r}; it has {has}")
            chosen = found
        return 100 * float(chosen["value"].iloc[0])

    def plain(self) -> dict[str, Any]:
        """Return the record as plain JSON."""
        names = ("digest", "title", "parameters", *COLUMNS, "provenance", "run", "settings")
        values = {name: getattr(self, name) for name in names}
        return {name: plain_table(each) if isinstance(each, pd.DataFrame) else each for name, each in values.items()}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        """Return the record that `plain` wrote. Raises ValueError naming what cannot be right."""
        values, origin = {"persons": None} | plain, plain["provenance"]
        _expect(digest_of(values["run"]) == values["digest"], f"its settings are those of {digest_of(values['run'])}")
        for name in COLUMNS:
            if name not in ("persons", "restoration") or values[name] is not None:
                values[name] = _table(name, values[name])
        texts, numbers = (values["title"], origin["start"]), (values["parameters"], values["settings"]["seed"])
        _expect(all(isinstance(text, str) for text in texts), "its title or start is no text")
        _expect(all(type(number) is int and number >= 0 for number in numbers), "its parameters or seed are no number")
        _expect(origin.keys() == {"data", "evaluation", "start", "training"}, "its provenance has other entries")
        _expect(origin["data"].keys() == {"content", "name", "table"}, "its data have other entries")
        for stretch, names in [(origin["evaluation"], EVALUATION), *((each, STRETCH) for each in origin["training"])]:
            _expect(stretch.keys() | {"precision"} == names, "training or evaluation have other entries")
            _expect(0 <= stretch["seconds"] < math.inf, "training or evaluation have no duration")
        record = cls(**values)
        if record.persons is not None:
            first, queries = record.persons[["rank1", "queries"]].sum()
            same = abs(first - record.score("rank1") / 100 * queries) <= 1e-9 * queries
            _expect(same, "the rank-1 of its persons is another than that of its scores")
        return record

    def write(self, file: Path) -> None:
        """Write the record, whole or not at all."""
        write_sealed(file, self.plain())


def read_record(file: Path, digest: str) -> Record:
    """Read the record of the run that has a digest; InputError where it is damaged, edited, or another run's."""
    plain = read_sealed(file, "record")
    try:
        record = Record.from_plain(plain)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file}: not a record of crreid ({error}); delete it to measure the run again") from error
    if record.digest != digest:
        raise InputError(f"{file}: the record of another run, {record.digest}; delete it to measure the run again")
    return record


def write_sealed(file: Path, plain: dict[str, Any]) -> None:
    """Write plain JSON with its format and a checksum, one line per entry and row of a table, or nothing at all."""
    sealed = {"format": FORMAT, **plain}
    sealed["checksum"] = digest_of(sealed)
    entries = [f"{json.dumps(name)}: {_lines(value)}" for name, value in sealed.items()]
    write_atomically(file, ("{\n " + ",\n ".join(entries) + "\n}\n").encode())


def read_sealed(file: Path, kind: str) -> dict[str, Any]:
    """Read what `write_sealed` wrote; InputError says that it is no `kind` where it is damaged or edited."""
    try:
        plain: dict[str, Any] = json.loads(file.read_text(encoding="utf8"))
        _expect(isinstance(plain, dict), "holds no JSON object")
        _expect(plain.pop("format", None) == FORMAT, f"another format than {FORMAT}")
        checksum = plain.pop("checksum", None)
        _expect(digest_of({"format": FORMAT, **plain}) == checksum, "was edited: its checksum is another")
    except (OSError, RecursionError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{file}: not a {kind} of crreid ({reason}); delete it to make it anew") from error
    return plain


def _lines(value: Any) -> str:
    """Return JSON with a line for each entry of a dictionary, or row of a table, and no further breaks."""
    if isinstance(value, dict) and value.keys() == {"columns", "rows"}:
        rows = ",\n   ".join(json.dumps(row) for row in value["rows"])
        return f'{{"columns": {json.dumps(value["columns"])}, "rows": [\n   {rows}\n ]}}'
    if isinstance(value, dict) and value:
        entries = [f"{json.dumps(name)}: {json.dumps(value[name], sort_keys=True)}" for name in sorted(value)]
        return "{\n   " + ",\n   ".join(entries) + "\n }"
    return json.dumps(value, sort_keys=True)


def plain_table(frame: pd.DataFrame) -> dict[str, Any]:
    """Return a table as plain JSON; what is not a number becomes null."""
    objects = frame.astype(object)
    return {"columns": list(frame), "rows": objects.where(frame.notna(), None).to_numpy().tolist()}


def _table(name: str, plain: dict[str, Any]) -> pd.DataFrame:
    """Return one of the tables of COLUMNS. Raises ValueError naming a column that cannot be right."""
    types, columns = COLUMNS[name], plain["columns"]
    if name == "epochs":
        types = dict.fromkeys(columns, "float") | types
    _expect(sorted(types) == sorted(columns), f"{name} has other columns")
    _expect(all(len(row) == len(columns) for row in plain["rows"]), f"a row of {name} is too short or too long")
    frame = pd.DataFrame(plain["rows"], columns=columns, dtype=object)
    for column in columns:
        kind = types[column]
        fit = all(isinstance(value, TYPES[kind]) and not isinstance(value, bool) for value in frame[column])
        _expect(fit, f"{column} of {name} holds other values than {'text' if kind == 'str' else 'numbers'}")
        frame[column] = frame[column].astype(kind)
        if column in CHOICES:
            _expect(set(frame[column]) <= set(CHOICES[column]), f"{column} of {name} holds an unknown name")
        elif kind != "str":
            low, high = LIMITS.get(f"{name} {column}", (0 if kind == "int" else -1e30, 1e30))
            _expect(not ((frame[column] < low) | (frame[column] > high)).any(), f"{column} of {name} is out of range")
    return frame


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)
