"""The first notebook: the step that it takes by hand, the query that it ranks by hand, and the numbers it prints."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def shown(notebook):
    return notebook("00_start_here")


def test_a_batch_holds_two_persons_in_both_resolutions(shown):
    batch = shown["batch"]
    assert [np.unique(part).size for part in np.split(batch.labels.numpy(), 2)] == [1, 1]
    assert batch.high.shape == batch.low.shape == (8, 3, 64, 32)
    assert set(batch.rates.tolist()) <= {2.0, 3.0, 4.0}
    sharpness = [(images[:, :, 1:] - images[:, :, :-1]).abs().mean() for images in (batch.high, batch.low)]
    assert sharpness[0] > sharpness[1]


def test_one_step_by_hand_lowers_the_sum_of_the_losses(shown):
    step = shown["step"]
    assert list(step.index) == ["sr", "ce", "triplet", "ps", "sum"]
    assert step.loc["sum", "before"] == pytest.approx(step["before"][:-1].sum())
    assert step.loc["sum", "after"] < 0.9 * step.loc["sum", "before"]


def test_a_larger_weight_of_the_guidance_brings_its_term_down(shown):
    usual, other = shown["unweighted"]["the paper's weights"], shown["unweighted"]["other"]
    assert other["ps"] < usual["ps"]
    assert other["ce"] > usual["ce"]


def test_the_query_ranked_by_hand_is_the_one_in_the_picture(shown):
    assert shown["descriptor"].shape == (1, 6656)
    assert shown["distances"].shape == (72,)
    found, lists = shown["found"], shown["lists"]
    assert found["distance"].is_monotonic_increasing
    assert (found["identity"] == shown["asked_for"]["identity"]).tolist() == lists["frames"][2][3:]


def test_errors_of_the_input_grow_with_the_rate(shown):
    errors = shown["errors"]["input"]
    assert 0 < errors["rate 2"] < errors["rate 3"] < errors["rate 4"]
    assert errors["all"] == pytest.approx(errors[["rate 2", "rate 3", "rate 4"]].mean())


def test_the_table_holds_the_numbers_of_the_records(shown):
    for row, (record,) in shown["records"].items():
        assert shown["table"].loc[row, "rank-1"] == f"{record.score('rank1'):.1f}"
        assert shown["table"].loc[row, "rank-1, drawn rate 4"] == f"{record.score('rank1', rate=4):.1f}"


def test_remedies_are_compared_on_one_network(shown):
    scores = {row: record.score("rank1") for row, (record,) in shown["records"].items()}
    high, low, whole, teacher, ps_hrnet = scores
    comparison = shown["comparison"]
    pairs = [(low, high), (whole, low), (ps_hrnet, teacher)]
    assert list(zip(comparison["A"], comparison["B"], strict=True)) == pairs
    expected = [scores[one] - scores[other] for one, other in pairs]
    assert comparison["difference"].tolist() == pytest.approx(expected, abs=1e-3)
