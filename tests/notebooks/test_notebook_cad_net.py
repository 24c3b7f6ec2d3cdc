"""CAD-Net's notebook at smoke size: numbers of its records, the paper's beside them, a probe that can be followed."""

import numpy as np
import pandas as pd
import pytest

PLAIN = "small ResNet-18: ID"  # the plain network of `smoke`
ROWS = ["CAD-Net", "CAD-Net without D_F", "CAD-Net, f alone", "CAD-Net, g alone", PLAIN]  # others: tests/methods


@pytest.fixture(scope="module")
def cad_net(notebook):
    return notebook("cad_net", rows=ROWS)


def saved(study, name):
    return pd.read_csv(study.folder / f"{name}.csv", dtype=str).set_index("row")


def test_restoration_is_the_mean_over_the_seen_rates(cad_net):
    [record] = cad_net["records"]["CAD-Net"]
    ssim = record.restoration.query("measure == 'ssim'").set_index("rate")
    table = saved(cad_net["study"], "cad_net_restoration")
    assert table.loc["CAD-Net", "SSIM at rates 2, 3, 4"] == f"{ssim['value'].loc[[2, 3, 4]].mean():.3f}"
    assert table.loc["input", "SSIM at rate 8"] == f"{ssim['input'].loc[8]:.3f}"
    rank1 = record.score("rank1", test="uniform", rate=4)  # of these rates `smoke` asks at 4 alone
    assert table.loc["CAD-Net", "rank-1 at rates 2, 3, 4"] == f"{rank1:.1f}"
    assert list(table.loc["CAD-Net"].iloc[-2:]) == ["0.73 / 20.2 / 0.07 / 82.1", "0.71 / 19.8 / 0.11 / 78.6"]


def test_parts_stand_beside_the_poster(cad_net):
    line = saved(cad_net["study"], "cad_net_parts").loc["CAD-Net, g alone"]
    assert line["rank-1"] == f"{cad_net['records']['CAD-Net, g alone'][0].score('rank1'):.1f}"
    assert line["published, MLR-CUHK03: rank-1 / rank-5"] == "79.7 / 97.4"


def test_f_and_g_share_the_training_of_the_whole(cad_net):
    runs = [cad_net["runs"][row][0] for row in ("CAD-Net", "CAD-Net, f alone", "CAD-Net, g alone")]
    assert len({run.training_digest for run in runs}) == 1
    assert len({run.digest for run in runs}) == 3


def test_the_probe_sees_every_image_at_every_rate(cad_net):
    f, identities, rates = cad_net["first"]["CAD-Net"]
    counts = [np.sum(rates == rate) for rate in (1, 2, 3, 4)]
    assert len(f) == len(identities) == sum(counts)
    assert len(set(counts)) == 1
    folds = cad_net["folds"].query("row == 'CAD-Net' and part == 'f' and question == 'probe, which rate (chance 25)'")
    assert folds["images"].sum() == len(f)
    cell = cad_net["cells"]["CAD-Net", "f", len(f), "probe, which rate (chance 25)"]
    assert cell == f"{folds['accuracy'].mean():.1f} ± {folds['accuracy'].std(ddof=1):.1f}"


def test_systems_are_compared_with_the_plain_network(cad_net):
    drawn = cad_net["lines"].query("queries == 'as drawn'")
    of_plain, whole = ROWS[:4], "CAD-Net"
    expected = [(row, PLAIN) for row in of_plain] + [(whole, row) for row in ROWS[1:4]] + [(ROWS[3], ROWS[2])]
    assert list(zip(drawn["A"], drawn["B"], strict=True)) == expected


def test_rows_without_cad_net_still_give_tables(notebook):
    other = notebook("cad_net", rows=[PLAIN])
    assert other["networks"] == {}
    assert list(saved(other["study"], "cad_net_parts").index) == [PLAIN]
