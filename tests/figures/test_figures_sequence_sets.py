import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from crreid.errors import InputError
from crreid.figures.sequence_sets import member_contributions, sequence_sets

MEMBERS = ("Seq1", "Seq2", "Seq3", "Seq4", "Seq5", "logits")
EFFECTS = dict(zip(MEMBERS, (0.6, -0.4, -0.1, 0.5, 1.2, 0.3), strict=True))
THREE = (("Seq5", "logits"), MEMBERS, ("Seq1", "Seq4", "Seq5", "logits"))
ALL = tuple(chosen for size in range(1, 7) for chosen in combinations(MEMBERS, size))


def scores(sets, seeds=1):
    return pd.DataFrame(
        [
            {"members": members, "value": 52 + sum(EFFECTS[member] for member in members) + 0.1 * seed}
            for members in sets
            for seed in range(seeds)
        ]
    )


def drawn(axes, label):
    return [line for line in axes.lines if line.get_label() == label]


def test_contributions_of_three_sets():
    table = member_contributions(
        pd.DataFrame({"members": [("a", "b"), ("b",), ("c", "b")], "value": [4.0, 1.0, 2.0]})
    ).set_index("member")
    assert list(table.index) == ["a", "b", "c"]
    assert table.loc["a"].tolist() == [1, 2, 4.0, 1.5, 2.5]
    assert table.loc["c", "contribution"] == pytest.approx(2 - 2.5)
    assert table.loc["b", ["sets_with", "sets_without", "mean_with"]].tolist() == [3, 0, pytest.approx(7 / 3)]
    assert math.isnan(table.loc["b", "contribution"])


def test_contributions_over_all_sets_are_the_effects():
    table = member_contributions(scores(ALL)).set_index("member")["contribution"]
    # the empty set is missing: every mean without a member is a little too high
    without = 52 + (sum(EFFECTS.values()) - np.array([EFFECTS[member] for member in table.index])) / 2
    expected = [EFFECTS[member] - (value - 52) / 31 for member, value in zip(table.index, without, strict=True)]
    assert table.to_numpy() == pytest.approx(expected)


def test_seeds_and_the_order_of_members_do_not_matter():
    once = member_contributions(scores(THREE))
    once_value = scores(THREE)["value"]
    seeds = pd.concat([scores(THREE).assign(value=once_value + shift) for shift in (-1, 1)])
    seeds["members"] = [members[::-1] if row % 2 else members for row, members in enumerate(seeds["members"])]
    twice = member_contributions(seeds).set_index("member").loc[once["member"]].reset_index()
    pd.testing.assert_frame_equal(once, twice)


def test_three_sets(texts, assert_readable):
    table = scores(THREE, seeds=3)
    table["published"] = np.repeat([90.5, 90.9, 91.5], 3)
    figure = sequence_sets(table, order=MEMBERS, published_name="published, MLR-Market-1501")
    upper, matrix, _ = figure.axes
    heights = [float(line.get_ydata()[0]) for line in drawn(upper, "_mean")]
    assert heights == sorted(heights, reverse=True)
    assert heights[0] == pytest.approx(52 + 0.6 + 0.5 + 1.2 + 0.3 + 0.1)
    assert [list(line.get_ydata()) for line in drawn(matrix, "_with")] == [[0, 3, 4, 5], [0, 1, 2, 3, 4, 5], [4, 5]]
    assert [list(line.get_ydata()) for line in drawn(matrix, "_without")] == [[1, 2], [], [0, 1, 2, 3]]
    found = texts(figure)
    printed = [text for text in found if text in ("91.5", "90.9", "90.5")]
    assert printed == ["91.5", "90.9", "90.5"]
    assert found.count("in every set") == 2
    assert {"54.7", "3 sets, best first", "published, MLR-Market-1501"} <= set(found)
    assert_readable(figure)


def test_all_sets(texts, assert_readable):
    figure = sequence_sets(scores(ALL, seeds=2), order=MEMBERS)
    upper, matrix, bars = figure.axes
    assert len(drawn(upper, "_mean")) == len(drawn(matrix, "_with")) == 63
    assert [label.get_text() for label in matrix.get_yticklabels()] == list(MEMBERS)
    widths = [bar.get_width() for bar in bars.patches]
    assert np.sign(widths).tolist() == [1, -1, -1, 1, 1, 1]
    assert "63 sets, best first" in texts(figure)
    assert figure.get_size_inches()[0] <= 7.7
    assert_readable(figure)


@pytest.mark.parametrize("sets", [THREE[:1], THREE[:2], ALL[:8], ALL[:9]])
def test_a_few_sets_can_be_read(sets, assert_readable):
    assert_readable(sequence_sets(scores(sets)))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (scores(THREE).iloc[:0], "scores is empty"),
        (scores(THREE).drop(columns="value"), "lacks the column 'value'"),
        (scores(THREE).assign(value=math.nan), "scores of Seq5, logits: value is nan"),
        (pd.DataFrame({"members": [()], "value": [1.0]}), "at least one"),
        (pd.DataFrame({"members": ["Seq1"], "value": [1.0]}), "members 'Seq1'; expected a tuple"),
        (pd.DataFrame({"members": [("a", "a")], "value": [1.0]}), "different names"),
    ],
)
def test_bad_input(table, message):
    with pytest.raises(InputError, match=message):
        sequence_sets(table)
    with pytest.raises(InputError, match=message):
        member_contributions(table)


def test_order_needs_all_members():
    with pytest.raises(InputError, match="order lacks the member 'Seq1'"):
        sequence_sets(scores(THREE), order=MEMBERS[1:])


def test_svg_is_deterministic(svg):
    assert svg(sequence_sets(scores(THREE))) == svg(sequence_sets(scores(THREE)))
