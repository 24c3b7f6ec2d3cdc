"""Table III's notebook: gains over what the modules are given, against the records that it shows."""

import pytest


@pytest.fixture(scope="module")
def variables(notebook):
    rows = ["Bicubic", "Solo SR", "SR+ID", "SR+ID+PS", "SRCNN: Solo SR"]
    return notebook("table3_restoration_quality", rows=rows)


def test_every_row_is_measured_against_the_modules_bilinear_input(variables):
    module = variables["records"]["SR+ID"][0].restoration.set_index(["measure", "rate"])
    for row, of_row in variables["records"].items():
        own = of_row[0].restoration.set_index(["measure", "rate"])
        quality = variables["quality"]
        found = quality[quality["row"] == row].set_index(["measure", "rate"])
        assert found["gain"].to_dict() == pytest.approx((own["value"] - module["input"]).to_dict())


def test_a_row_is_better_where_psnr_and_ssim_are(variables):
    least = variables["both"].groupby(["row", "rate"])["gain"].min()
    assert variables["gains"].to_dict() == (least > 0).to_dict()
    better = [f"{rate:g}" for rate, gain in least["Bicubic"].items() if gain > 0]
    assert variables["verdicts"]["Bicubic"] == f"better at {', '.join(better)}"


def test_the_table_holds_the_records_numbers(variables):
    frames = variables["by_row"](variables["quality"], "value", "#.4g")
    psnr = variables["records"]["Solo SR"][0].restoration.set_index(["measure", "rate"])["value"]["psnr"]
    assert [float(frames.loc["Solo SR", f"PSNR (dB), rate {rate:g}"]) for rate in psnr.index] == pytest.approx(
        psnr.tolist(), abs=0.005
    )


def test_published_numbers_of_the_paper(variables):
    assert variables["papers"].loc["SR+ID+PS"].tolist() == [0.91, 26.1, 92.6]


def test_one_row_alone_is_its_own_yardstick(notebook):
    quality = notebook("table3_restoration_quality", rows=["Bicubic"])["quality"]
    assert quality["gain"].tolist() == [0] * 12
