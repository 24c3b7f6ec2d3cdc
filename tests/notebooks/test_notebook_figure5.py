"""Figure 5's notebook: the numbers under its images, against the images themselves."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def variables(notebook):
    return notebook("figure5_restored_images")


def test_psnr_is_of_the_images_shown(variables):
    line, caption = variables["rows_of_images"][1], variables["captions"][1]
    bicubic, original = line[2].astype(float), line[-1].astype(float)
    decibels = 10 * np.log10(255**2 / np.mean((bicubic - original) ** 2))
    assert caption[2] == f"{decibels:.1f} dB"
    found = variables["quality"].query("rate == 3 and row == 'Bicubic'")["psnr"].iloc[0]
    assert found == pytest.approx(decibels)


def test_there_are_two_queries_at_four_rates_and_an_input_for_each(variables):
    quality = variables["quality"]
    assert len(quality) == 2 * 4 * (1 + len(variables["results"]))
    falling = quality.query("row == 'input'").pivot(index="rate", columns="query", values="psnr")
    assert (falling.diff().dropna() < 0).all(axis=None)  # ever fewer pixels


def test_gains_are_those_over_the_input(variables):
    lines, psnr = variables["lines"], variables["psnr"]
    gain = psnr["Bicubic"] - psnr["input"]
    assert lines.loc["Bicubic", "mean gain in PSNR (dB)"] == pytest.approx(gain.mean())
    assert lines.loc["Bicubic", "better than the input"] == (gain > 0).sum()
    assert lines["best"].sum() == lines.loc["Bicubic", "images"] == 8
