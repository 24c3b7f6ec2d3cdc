import math

import pytest

from crreid.errors import InputError
from crreid.figures.training_curves import training_curves


def epochs(count, *terms, rate=0.02):
    rows = []
    for epoch in range(count):
        losses = {term: (1 + place) * math.exp(-epoch / 4) for place, term in enumerate(terms)}
        rows.append({"epoch": epoch, "learning_rate": rate / (1 + epoch)} | losses | {"total": sum(losses.values())})
    return rows


FULL = {
    "HRNet-ReID-H alone": epochs(12, "ce", "triplet"),
    "SR+ID": epochs(12, "sr", "ce", "triplet"),
    "SR+ID+PS": epochs(12, "sr", "ce", "triplet", "ps"),
}


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def test_a_panel_a_term_and_a_strip(assert_readable):
    figure = training_curves(FULL)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["cross entropy", "triplet", "restoration", "pseudo-Siamese", "sum of terms", "learning rate"]
    assert list(lines(figure.axes[0])) == list(FULL)
    assert list(lines(figure.axes[2])) == ["SR+ID", "SR+ID+PS"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(FULL)
    assert_readable(figure)


def test_values_and_epochs_from_one():
    figure = training_curves(FULL, terms=("ps",))
    line = lines(figure.axes[0])["SR+ID+PS"]
    assert line.get_ydata().tolist() == [row["ps"] for row in FULL["SR+ID+PS"]]
    assert line.get_xdata().tolist() == list(range(1, 13))
    assert figure.axes[0].get_ylim()[0] == 0
    assert figure.axes[1].get_xlabel() == "epoch"


def test_one_schedule_is_drawn_once():
    assert len(training_curves(FULL).axes[-1].lines) == 1
    two = {"fast": epochs(4, "ce", rate=0.1), "slow": epochs(4, "ce", rate=0.01)}
    assert list(lines(training_curves(two).axes[-1])) == ["fast", "slow"]


def test_many_rows_with_long_names_and_unknown_terms(assert_readable):
    figure = training_curves({f"a row with a rather long name {number}": epochs(3, "ce", "gan") for number in range(7)})
    assert [axes.get_title(loc="left") for axes in figure.axes][:2] == ["cross entropy", "gan"]
    assert_readable(figure)


def test_one_epoch(assert_readable):
    assert_readable(training_curves({"ID": epochs(1, "ce")}))


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ({}, {}, "epochs is empty"),
        ({"ID": []}, {}, "epochs of ID is empty"),
        ({"ID": [{"epoch": 0, "ce": 1.0}]}, {}, "learning_rate is None"),
        ({"ID": [*epochs(1, "ce"), *epochs(1)]}, {}, "entry 1: ce is None"),
        ({"ID": [epochs(1, "ce")[0] | {"ce": math.nan}]}, {}, "ce is nan; expected a finite number"),
        ({"ID": epochs(2, "ce")}, {"terms": ("sr",)}, "no row has the loss term 'sr'"),
    ],
)
def test_bad_input(given, options, message):
    with pytest.raises(InputError, match=message):
        training_curves(given, **options)


def test_svg_is_deterministic(svg):
    assert svg(training_curves({"ID": epochs(3, "ce")})) == svg(training_curves({"ID": epochs(3, "ce")}))
