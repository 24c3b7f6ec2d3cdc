from dataclasses import replace

import numpy as np
import pytest

from crreid.data.degradation import Degradation, degrade
from crreid.data.mlr import MLRSettings, balanced_rates, mlr, read_manifest, write_manifest
from crreid.errors import InputError


def test_queries_are_the_low_resolution_camera_and_the_gallery_is_the_rest(table):
    built = mlr(table, MLRSettings(cameras=(2,)))
    query, gallery = built.with_role("query").rows, built.with_role("gallery").rows
    assert set(query["camera"]) == {2}
    assert set(gallery["camera"]) == {1, 3}
    assert (query["rate"] > 1).all()
    assert (gallery["rate"] == 1).all()
    assert len(query) == 3 * 3  # two gallery-folder images and one query-folder image a person
    assert set(built.rows["role"]) == {"train", "query", "gallery"}
    assert built.name == "mlr-noise"
    without = mlr(table, MLRSettings(cameras=(2,), official_queries=False, rates=(8,), train_rates=(1, 2)))
    assert (len(without.with_role("query")), len(without.with_role("gallery"))) == (3 * 2, 3 * 2 * 2)
    assert set(without.with_role("query").rows["rate"]) == {8}
    assert set(without.with_role("train").rows["rate"]) == {1, 2}


def test_distractors_of_other_cameras_stay_only_when_asked(table):
    built = mlr(table, MLRSettings(cameras=(2,), distractors=True))
    assert built.with_role("distractor").rows["camera"].tolist() == [1]
    assert not len(built.with_role("junk"))


@pytest.mark.parametrize(("train", "cameras"), [("all", {1, 2, 3}), ("cameras", {2}), ("none", set())])
def test_which_training_images_are_degraded(table, train, cameras):
    rows = mlr(table, MLRSettings(cameras=(2,), train=train)).with_role("train").rows
    assert len(rows) == 4 * 3 * 2
    assert set(rows.loc[rows["rate"] > 1, "camera"]) == cameras


def test_one_rate_a_camera(table):
    rows = mlr(table, MLRSettings(cameras=(1, 2), per="camera")).with_role("query").rows
    assert (rows.groupby("camera")["rate"].agg(lambda rates: len(set(rates))) == 1).all()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100])
def test_balanced_rates_differ_by_one_at_most(count):
    rates = balanced_rates(count, (2, 3, 4), np.random.default_rng(0))
    shares = [int((rates == rate).sum()) for rate in (2, 3, 4)]
    assert sum(shares) == count
    assert max(shares) - min(shares) <= 1


def test_the_seed_decides(table):
    settings = MLRSettings(cameras=(2,))
    assert mlr(table, settings).digest == mlr(table, settings).digest
    assert mlr(table, settings).digest != mlr(table, replace(settings, seed=1)).digest


def test_unknown_camera_and_rate_of_zero(table):
    with pytest.raises(InputError, match="noise has no camera 9; its cameras are 1, 2, 3"):
        mlr(table, MLRSettings(cameras=(9,)))
    with pytest.raises(InputError, match="rates must be numbers of at least 1"):
        MLRSettings(rates=(0, 2))


def test_manifest_rebuilds_the_same_images_bit_for_bit(table, tmp_path):
    settings = MLRSettings(
        cameras=(2,), degradation=Degradation(shrink="bilinear", antialias=False, jpeg_quality=80), seed=3
    )
    built = mlr(table, settings)
    digest = write_manifest(built, settings, tmp_path / "m.csv")
    assert digest == write_manifest(mlr(table, settings), settings, tmp_path / "again.csv")
    assert (tmp_path / "m.csv").read_bytes() == (tmp_path / "again.csv").read_bytes()

    rebuilt = read_manifest(tmp_path / "m.csv", table.source)
    assert rebuilt.digest == built.digest
    for path, rate in built.rows[["path", "rate"]].itertuples(index=False):
        image = table.source.read(path)
        expected = degrade(image, rate, (32, 16), built.degradation)
        assert np.array_equal(degrade(image, rate, (32, 16), rebuilt.degradation), expected)


def test_a_changed_manifest_is_refused(table, tmp_path):
    settings = MLRSettings(cameras=(2,))
    file = tmp_path / "m.csv"
    write_manifest(mlr(table, settings), settings, file)
    file.write_text(file.read_text().replace("bicubic", "lanczos", 1))
    with pytest.raises(InputError, match="changed since it was written"):
        read_manifest(file, table.source)
    file.write_text("path,rate\n")
    with pytest.raises(InputError, match="first line is not that of a crreid manifest"):
        read_manifest(file, table.source)
