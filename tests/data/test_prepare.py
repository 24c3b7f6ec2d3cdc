from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crreid.data.datasets import DATASETS, DataSet
from crreid.data.mlr import MLRSettings, mlr
from crreid.data.pixels import PixelCache
from crreid.data.prepare import (
    DataSettings,
    PreparedData,
    check_training,
    content_of,
    data_settings,
    drop_single_images,
    load_table,
    prepare,
)
from crreid.data.table import ImageTable
from crreid.errors import InputError
from crreid.synthetic.renderer import RENDERER_VERSION

MARKET = DataSettings(dataset="market-1501")
MLR = replace(MARKET, mlr=MLRSettings(cameras=(2,)))
ROOT = Path("read by nobody")
Give = Callable[[ImageTable], None]


@pytest.fixture
def give(monkeypatch: pytest.MonkeyPatch) -> Give:
    """Sets the table that is read as Market-1501."""

    def give(table: ImageTable) -> None:
        content_of.cache_clear()
        monkeypatch.setitem(DATASETS, "market-1501", DataSet(name="market-1501", reader=lambda root: table))

    return give


def identities(table: ImageTable, *roles: str) -> set[int]:
    return set(table.with_role(*roles).rows["identity"])


def without(table: ImageTable, **values: object) -> ImageTable:
    """The rows that do not have all of the values."""
    same = np.logical_and.reduce([table.rows[column] == value for column, value in values.items()])
    return table.select(~same)


def test_limits_draw_identities_whole(table: ImageTable, give: Give) -> None:
    give(table)
    limited = load_table(replace(MARKET, train_identities=2, test_identities=2), ROOT)
    train, test = identities(limited, "train"), identities(limited, "query")
    assert len(train) == len(test) == 2
    assert identities(limited, "gallery") == test
    assert train <= {1, 2, 3, 4}
    assert test <= {5, 6, 7}
    kept = table.rows["identity"].isin(train | test | {0, -1})
    assert limited.rows.equals(table.select(kept).rows)
    assert identities(load_table(replace(MARKET, train_identities=3), ROOT), "query", "gallery") == {5, 6, 7}
    assert load_table(replace(MARKET, train_identities=100, test_identities=100), ROOT).digest == table.digest
    assert limited.digest == load_table(replace(MARKET, train_identities=2, test_identities=2), ROOT).digest


def test_roles_and_pixels_of_a_high_resolution_test(table: ImageTable, give: Give, tmp_path: Path) -> None:
    give(table)
    data = prepare(MARKET, ROOT, tmp_path)
    assert data.name == "noise"
    assert set(data.train.rows["role"]) == {"train"}
    assert set(data.query.rows["role"]) == {"query"}
    assert set(data.gallery.rows["role"]) == {"gallery", "distractor"}
    rows = [part.rows["path"] for part in (data.train, data.query, data.gallery)]
    everything = [path for part in rows for path in part]
    assert len(everything) == len(set(everything)) == len(table) - 1  # the junk box is gone
    assert not any(path.startswith("-1") for path in everything)
    assert len(data.pixels) == len(everything)
    for path in everything[::7]:
        assert np.array_equal(data.pixels.read(path), table.source.read(path))
    assert {rate for part in (data.train, data.query, data.gallery) for rate in part.rows["rate"]} == {1}


def test_roles_and_rates_of_an_mlr_build(table: ImageTable, give: Give, tmp_path: Path) -> None:
    give(table)
    data = prepare(replace(MLR, train_identities=2), ROOT, tmp_path)
    assert data.name == "mlr-noise"
    kept = prepare(replace(MARKET, mlr=MLRSettings(cameras=(2,), distractors=True)), ROOT, tmp_path)
    assert kept.gallery.with_role("distractor").rows["path"].tolist() == ["0000_c1_0.png"]
    assert set(data.query.rows["camera"]) == {2}
    assert set(data.gallery.rows["camera"]) == {1, 3}
    assert set(data.gallery.rows["role"]) == {"gallery"}
    assert len(identities(data.train, "train")) == 2
    assert set(data.train.rows["rate"]) == set(data.query.rows["rate"]) == {2, 3, 4}
    assert len(data.pixels) == len(data.train) + len(data.query) + len(data.gallery)


def test_the_digest_names_the_tables(table: ImageTable, give: Give, tmp_path: Path) -> None:
    give(table)
    digest = prepare(MLR, ROOT, tmp_path).digest
    assert prepare(MLR, ROOT, tmp_path).digest == digest
    other = replace(MLR, mlr=MLRSettings(cameras=(2,), seed=1))
    assert prepare(other, ROOT, tmp_path).digest != digest
    give(without(table, role="junk"))
    assert prepare(MLR, ROOT, tmp_path).digest == digest  # junk has no part in it


def test_content_is_known_without_decoding(table: ImageTable, give: Give, tmp_path: Path) -> None:
    give(table)
    content = content_of(MLR, ROOT)
    assert prepare(MLR, ROOT, tmp_path).content == content
    assert content_of(MLR, None) is None  # the data are not here
    assert content_of(replace(MLR, mlr=MLRSettings(cameras=(2,), seed=1)), ROOT) == content  # other rates, same files
    assert content_of(replace(MARKET, train_identities=2), ROOT) not in (content, content_of(MARKET, ROOT))
    small = replace(data_settings("mlr-synthetic"), train_identities=2, test_identities=2)
    assert content_of(small, None) == content_of(small, ROOT) != content_of(replace(small, train_identities=3), None)


@pytest.mark.parametrize("role", ["train", "query", "gallery"])
def test_a_missing_role_is_named(table: ImageTable, give: Give, tmp_path: Path, role: str) -> None:
    give(without(table, role=role))
    with pytest.raises(
        InputError, match=f"noise has no images of role '{role}'; a run needs train, query and gallery images"
    ):
        prepare(MARKET, ROOT, tmp_path)
    assert not list(tmp_path.iterdir())  # nothing was decoded for it


def test_an_identity_with_a_single_training_image_is_named(table: ImageTable, give: Give, tmp_path: Path) -> None:
    lonely = table.select(~((table.rows["identity"] == 2) & (table.rows["path"] != "0002_c3_1.png")))
    give(lonely)
    with pytest.raises(InputError, match=r"identity 2 has a single training image, 0002_c3_1\.png \(1 such"):
        prepare(MLR, ROOT, tmp_path)
    good = drop_single_images(lonely)
    check_training(good)
    assert good.rows.equals(without(lonely, identity=2).rows)
    assert good.notes == ("1 training identities with a single image are left out",)
    assert drop_single_images(good) is good


def test_a_query_without_a_match_is_an_error_but_for_mlr_builds(table: ImageTable, give: Give, tmp_path: Path) -> None:
    give(without(table, role="gallery", identity=6))
    message = r"of identity 6 from another camera than that of the query 0006_c1_query.png, 1 \(3 of 9 queries"
    for settings in (MARKET, replace(MARKET, mlr=MLRSettings())):
        with pytest.raises(InputError, match=message):
            prepare(settings, ROOT, tmp_path)
    gallery = (table.rows["identity"] == 6) & (table.rows["role"] == "gallery")
    give(table.select(~(gallery & (table.rows["camera"] != 2))))  # the query of camera 2 finds its own camera only
    with pytest.raises(InputError, match=r"0006_c2_query.png, 2 \(1 of 9 queries .* give different cameras"):
        prepare(MARKET, ROOT, tmp_path)
    seen_by_camera_2_only = table.select(~((table.rows["identity"] == 6) & (table.rows["camera"] != 2)))
    give(seen_by_camera_2_only)
    data = prepare(MLR, ROOT, tmp_path)
    assert 6 in set(data.query.rows["identity"]) - set(data.gallery.rows["identity"])


def test_names_of_mlr_builds() -> None:
    builds = {name: data_settings(f"mlr-{name}") for name in DATASETS}
    assert {name: settings.dataset for name, settings in builds.items()} == {name: name for name in DATASETS}
    assert {name: settings.mlr.cameras for name, settings in builds.items() if settings.mlr} == {
        "synthetic": (1,),
        "market-1501": (3,),
        "dukemtmc-reid": (1,),
        "cuhk03": (1, 3, 5, 7, 9),
        "cuhk03-new": (1, 3, 5, 7, 9),
        "viper": (1,),
        "caviar": (),
        "own": (),
    }
    without_official = [name for name, settings in builds.items() if settings.mlr and not settings.mlr.official_queries]
    assert without_official == ["market-1501", "dukemtmc-reid"]
    # low resolution as recorded: roles stay as they are, no camera is shrunk
    assert data_settings("caviar") == builds["caviar"] == DataSettings(dataset="caviar", mlr=MLRSettings(cameras=()))
    assert data_settings("market-1501") == MARKET
    assert {settings.version for name, settings in builds.items()} == {"", RENDERER_VERSION}
    plain = DataSettings(dataset="viper", mlr=MLRSettings(cameras=(1,)))
    assert builds["viper"] == plain


def test_native_resolution_is_told_by_size(table_maker: Callable[..., ImageTable], tmp_path: Path) -> None:
    table = mlr(table_maker(), MLRSettings())
    parts = {role: table.with_role(role) for role in ("train", "query", "gallery")}
    pixels = PixelCache(table, tmp_path)
    data = PreparedData(name=table.name, digest=table.digest, pixels=pixels, native=True, **parts)
    areas = {path: pixels.read(path).shape[0] * pixels.read(path).shape[1] for path in table.rows["path"]}
    middle = float(np.median([areas[path] for path in data.gallery.rows["path"]]))
    for rows in parts.values():
        expected = [max(1, rate * (middle / areas[path]) ** 0.5) for path, rate in rows.rows[["path", "rate"]].values]
        np.testing.assert_allclose(data.stated_rates(rows), expected, rtol=1e-6)
    made = replace(data, native=False)
    assert made.stated_rates(data.train).tolist() == data.train.rows["rate"].tolist()


def test_validation_identities_take_the_place_of_the_test(table: ImageTable, give: Give, tmp_path: Path) -> None:
    give(table)
    for settings in (MARKET, MLR):
        own, held = (load_table(replace(settings, validation_identities=count), ROOT) for count in (0, 2))
        test = identities(held, "query", "gallery")
        assert len(test) == 2
        assert identities(held, "train") == identities(own, "train") - test
        assert len(held) == len(own.with_role("train"))
        assert identities(held, "query") <= identities(held, "gallery")
        with pytest.raises(InputError, match="validation_identities must lie between 2 and"):
            load_table(replace(settings, validation_identities=10_000), ROOT)
