"""The notebook of costs: its counts against known sizes, its speeds against the records."""

import pytest

PLAIN = "small ResNet-18"  # the plain network of `smoke`
ROWS = [PLAIN, f"{PLAIN}: SR+ID+PS", "HRNet-ReID", "PS-HRNet"]


@pytest.fixture(scope="module")
def variables(notebook):
    return notebook("costs", rows=ROWS)


def test_counts_at_the_papers_size(variables):
    full = variables["full"]
    assert list(full.index) == [row.replace(PLAIN, "ResNet-50") for row in ROWS]
    assert full.loc["ResNet-50: SR+ID+PS", "network counted"] == "VDSR-CA + resnet50"
    assert full.loc["ResNet-50", "multiply-adds per image (10^9)"] == pytest.approx(2.67, abs=0.005)
    # HRNet-ReID's 34.4 million with its 751-way classifiers, twice (teacher), and VDSR-CA's
    assert full.loc["PS-HRNet", "parameters, training (10^6)"] == pytest.approx(2 * 34.414383 + 0.677448, abs=1e-6)
    share = 21.857 / full.loc["PS-HRNet", "multiply-adds per image (10^9)"]
    assert full.loc["PS-HRNet", "restoration (%)"] == pytest.approx(100 * share, abs=0.01)


def test_speed_is_the_records(variables):
    training, record = variables["training"], variables["records"]["PS-HRNet"][0]
    schedule, images = variables["runs"]["PS-HRNet"][0].schedule, len(variables["data"].train.rows)
    speed = training.loc["PS-HRNet", "training pairs/s"]
    pairs = speed * record.training_seconds / schedule.epochs  # of an epoch: each image, and some twice
    batch = schedule.identities_per_batch * schedule.images_per_identity
    assert images - batch < pairs < 2 * images
    assert pairs == pytest.approx(batch * round(pairs / batch))
    minutes = training.loc["PS-HRNet", "minutes for the paper's pairs"]
    assert minutes * 60 * speed == pytest.approx(71 * 539 * 24)


def test_differences_are_from_the_plain_baseline(variables):
    lines, work = variables["lines"].set_index(["A", "B"]), variables["work"]
    scores = {row: record.score("rank1") for row, (record,) in variables["records"].items()}
    assert set(lines.index) == {(ROWS[1], PLAIN), ("PS-HRNet", "HRNet-ReID")}
    for one, other in lines.index:
        line = lines.loc[(one, other)]
        assert line["difference"] == pytest.approx(scores[one] - scores[other], abs=1e-3)
        assert line["multiply-adds, A : B"] == pytest.approx(work[one] / work[other])
