"""Systems at other rates: the table's numbers, where curves cross, and which system to choose."""

import pandas as pd
import pytest

ROWS = ["HSV histograms", "small ResNet-18", "LRAR", "PS-HRNet"]  # the second is the plain network of `smoke`


@pytest.fixture(scope="module")
def shown(notebook):
    return notebook("unseen_resolution", rows=ROWS)


def test_the_table_holds_the_numbers_of_the_records(shown):
    for row, (record,) in shown["records"].items():
        for rate in (1, 2.5, 8):
            rank1 = record.score("rank1", test="uniform", rate=rate)
            assert shown["table"].loc[row, f"rank-1, all queries at rate {rate:g}"] == f"{rank1:.1f}"
            assert shown["means"].loc[rate, row] == pytest.approx(rank1, abs=1e-4)


def test_departure_from_the_line_and_loss_beyond_the_training(shown):
    means = shown["means"]["LRAR"]
    line = {2.5: (means[2] + means[3]) / 2, 3.5: (means[3] + means[4]) / 2}
    departure = sum(means[rate] - line[rate] for rate in line) / 2
    found = shown["between"].loc["LRAR"]
    assert found.tolist() == pytest.approx([departure, means[4], means[8], means[8] - means[4]])
    assert list(shown["between"].columns) == ["from the line at 2.5, 3.5", "at 4", "at 8", "change"]


@pytest.mark.parametrize(
    ("lead", "rates"),
    [
        ({1: 2, 2: -2}, [1.5]),
        ({1: 1, 2: -3, 4: 1}, [1.25, 3.5]),
        ({1: 1, 2: 0, 3: 1}, []),  # they touch
        ({1: 1, 2: 0, 3: 0, 4: -1}, [2.5]),
        ({1: 0, 2: -1, 3: -1}, []),
    ],
)
def test_curves_cross_where_a_lead_changes_its_sign(shown, lead, rates):
    assert shown["crossing_rates"](pd.Series(lead, dtype=float)) == rates


def test_leads_and_crossings_belong_together(shown):
    leads = shown["leads"]
    assert len(leads) == 6 * 11  # pairs, rates
    for one, other, _, lead, deficit, _ in shown["crossings"].itertuples(index=False):
        differences = shown["means"][one] - shown["means"][other]
        assert (lead, deficit) == pytest.approx((differences.max(), differences.min()))
        assert differences.iloc[0] >= 0 > deficit


def test_the_best_system_at_each_rate(shown):
    for rate, trained, best, score, near in shown["choices"].itertuples(index=False):
        means = shown["means"].loc[float(rate)]
        assert best.split(", ")[0] == means.idxmax()
        assert score == f"{means.max():.1f}"
        assert trained == {"1": "high-resolution images", "2": "yes", "3": "yes", "4": "yes"}.get(rate, "no")
        assert not any(name in near for name in best.split(", "))
