"""Records on disk: what comes back, and that a file that was edited or damaged is refused in one sentence."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from crreid.errors import InputError
from crreid.records import Record, read_record, write_sealed
from crreid.settings import digest_of

RECORDS = sorted((Path(__file__).parents[1] / "results" / "records").glob("*.json"))
RUN = {"type": "Run", "seed": 3}
STRETCH = {
    "commit": "a",
    "dirty": None,
    "python": "3.11",
    "packages": {},
    "device": "CPU",
    "precision": "fp32",
    "threads": 1,
    "processes": 1,
    "started": None,
    "epochs": 2,
    "seconds": 1.5,
}
SCORES = pd.DataFrame(
    [
        ("drawn", "multi_shot", math.nan, "rank1", 0.1 + 0.2, math.nan, 10, 0),
        ("drawn", "multi_shot", 2.0, "rank1", math.nan, math.nan, 0, 2),
        ("uniform", "multi_shot", 2.0, "rank1", 0.5, math.nan, 4, 0),
        ("uniform", "single_shot", 2.0, "rank1", 0.25, 0.01, 4, 0),
    ],
    columns=["test", "protocol", "rate", "metric", "value", "deviation", "queries", "unmatched"],
)


PERSONS = pd.DataFrame([(2, 3, 1, 0.25), (7, 7, 2, 0.333333)], columns=["identity", "queries", "rank1", "map_hit"])


def record(**values: Any) -> Record:
    evaluation = {name: STRETCH[name] for name in ("commit", "dirty", "device", "precision", "started", "seconds")}
    values = {
        "digest": digest_of(RUN),
        "title": "Ours",
        "run": RUN,
        "settings": RUN,
        "scores": SCORES,
        "persons": PERSONS,
        "restoration": pd.DataFrame(
            [(2.0, "psnr", 24.5, 23.0, 4)], columns=["rate", "measure", "value", "input", "images"]
        ),
        "epochs": pd.DataFrame([(0, 0.1, 2.5, 2.5)], columns=["epoch", "learning_rate", "ce", "total"]),
        "parameters": 7,
        "provenance": {
            "data": {"name": "d", "table": "t", "content": None},
            "start": "random",
            "training": [STRETCH, STRETCH],
            "evaluation": evaluation,
        },
    } | values
    return Record(**values)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "record.json"
    record().write(file)
    return file


def test_a_record_comes_back_to_the_last_digit_one_row_per_line(file: Path) -> None:
    found = read_record(file, digest_of(RUN))
    for name in ("scores", "persons", "restoration", "epochs"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(record(), name))
    assert found.plain() == record().plain()
    text = file.read_text()
    assert '\n   ["drawn", "multi_shot", null, "rank1", 0.30000000000000004, null, 10, 0],\n' in text
    assert '"persons": {"columns": ["identity", "queries", "rank1", "map_hit"], "rows": [\n   [2, 3, 1, 0.25],' in text
    without = record(persons=None, restoration=None, epochs=record().epochs.iloc[:0])
    without.write(file)
    assert read_record(file, digest_of(RUN)).plain() == without.plain()


def test_an_early_record_does_not_tell_the_precision(tmp_path: Path) -> None:
    early, file = copy.deepcopy(record()), tmp_path / "record.json"
    for entry in (early.provenance["evaluation"], *early.provenance["training"]):
        entry.pop("precision", None)
    early.write(file)
    assert read_record(file, digest_of(RUN)).plain() == early.plain()


def test_scores_are_per_cent_and_named_where_they_are_not_there() -> None:
    found = record()
    assert found.score("rank1") == 100 * (0.1 + 0.2)
    assert math.isnan(found.score("rank1", rate=2))
    assert found.score("rank1", test="uniform", rate=2) == 50
    assert found.score("rank1", test="uniform", protocol="single_shot", rate=2) == 25
    assert (found.seed, found.training_seconds) == (3, 3.0)
    for options, message in (
        ({"metric": "map"}, "has no metric 'map'; it has rank1$"),
        ({"metric": "rank1", "test": "rate 2"}, "has no test 'rate 2'; it has drawn, uniform$"),
        ({"metric": "rank1", "rate": 3}, "has no rate 3; it has all queries, 2.0$"),
        ({"metric": "rank1", "test": "uniform"}, "has no rate None; it has 2.0$"),
        ({"metric": "rank1", "protocol": "two_shot"}, "has no protocol 'two_shot'; it has multi_shot$"),
    ):
        with pytest.raises(InputError, match=message):
            found.score(**options)


def test_an_old_record_without_persons_is_read(file: Path) -> None:
    plain = record().plain()
    del plain["persons"]
    write_sealed(file, plain)
    assert read_record(file, digest_of(RUN)).persons is None


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"digest": "x"}', '{"format": 2}', "\xff", "[" * 100_000])
def test_a_damaged_record_is_named(file: Path, content: str) -> None:
    file.write_bytes(content.encode("latin1"))
    with pytest.raises(InputError, match=r"record\.json: not a record of crreid .*; delete it") as refused:
        read_record(file, digest_of(RUN))
    assert "\n" not in str(refused.value)


def test_an_edited_record_is_refused_whatever_was_edited(file: Path) -> None:
    text = file.read_text()
    for old, new in (("0.5", "0.6"), ('"Ours"', '"Theirs"'), ("1.5", "9.5"), ('"format": 2', '"format": 3')):
        file.write_text(text.replace(old, new, 1))
        with pytest.raises(InputError, match=r"its checksum is another|another format"):
            read_record(file, digest_of(RUN))


def test_the_record_of_another_run_is_refused(file: Path) -> None:
    with pytest.raises(InputError, match=f"the record of another run, {digest_of(RUN)}; delete it to measure"):
        read_record(file, "0" * 16)


def edited(*path: Any, value: Any) -> dict[str, Any]:
    plain = copy.deepcopy(record().plain())
    place = plain
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return plain


@pytest.mark.parametrize(
    ("plain", "problem"),
    [
        (edited("scores", "rows", 0, 4, value=7.5), "value of scores is out of range"),
        (edited("scores", "rows", 0, 4, value="0.5"), "value of scores holds other values than numbers"),
        (edited("scores", "rows", 0, 6, value=4.5), "queries of scores holds other values than numbers"),
        (edited("scores", "rows", 0, 6, value=True), "queries of scores holds other values than numbers"),
        (edited("scores", "rows", 0, 2, value=0.5), "rate of scores is out of range"),
        (edited("scores", "rows", 0, 3, value="rank3"), "metric of scores holds an unknown name"),
        (edited("scores", "rows", 0, 0, value=None), "test of scores holds other values than text"),
        (edited("scores", "rows", 0, value=[1]), "a row of scores is too short or too long"),
        (edited("scores", "columns", 0, value="tests"), "scores has other columns"),
        (edited("persons", "rows", 0, 3, value=1.5), "map_hit of persons is out of range"),
        (edited("persons", "rows", 0, 2, value=2), "the rank-1 of its persons is another than that of its scores"),
        (edited("persons", "rows", 1, 1, value=8), "the rank-1 of its persons is another than that of its scores"),
        (edited("restoration", "rows", 0, 2, value=math.inf), "value of restoration is out of range"),
        (edited("epochs", "rows", 0, 0, value=-1), "epoch of epochs is out of range"),
        (edited("run", "seed", value=4), "its settings are those of "),
        (edited("settings", value={}), "seed"),
        (edited("parameters", value="7"), "its parameters or seed are no number"),
        (edited("title", value=3), "its title or start is no text"),
        (edited("provenance", "training", 0, "seconds", value=-1), "training or evaluation have no duration"),
        (edited("provenance", "training", 0, value={}), "training or evaluation have other entries"),
        (edited("provenance", "data", value=3), "not a record"),
        (edited("provenance", value=[]), "not a record"),
        (edited("more", value=1), "more"),
    ],
)
def test_values_that_cannot_be_right_are_refused_even_with_a_fitting_checksum(file, plain, problem):
    write_sealed(file, plain)
    with pytest.raises(InputError, match=problem) as refused:
        read_record(file, digest_of(RUN))
    assert str(refused.value).startswith(f"{file}: not a record of crreid (")


@pytest.mark.parametrize("file", RECORDS, ids=lambda file: file.stem)
def test_committed_records_are_whole(file: Path) -> None:
    found = read_record(file, file.stem)
    assert 0 <= found.score("rank1") <= 100
    assert json.loads(file.read_text())["checksum"]
