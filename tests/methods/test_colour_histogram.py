import colorsys
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from workspaces import open_workspace

from crreid.data.pairs import PairBatch, normalise
from crreid.errors import InputError
from crreid.methods.colour_histogram import ColourHistogramSettings
from crreid.profiles import profile_settings
from crreid.rows import teacher_run
from crreid.runs import measure

SETTINGS = ColourHistogramSettings(stripes=3, bins=(4, 2, 3))


def by_hand(image: list[list[list[int]]], settings: ColourHistogramSettings) -> list[float]:
    """The histogram of one image of bytes, pixel by pixel, by Python's own colours."""
    counts: dict[tuple[int, ...], int] = {}
    for y, row in enumerate(image):
        for pixel in row:
            colour = colorsys.rgb_to_hsv(*(byte / 255 for byte in pixel))
            cell = [min(int(c * count), count - 1) for c, count in zip(colour, settings.bins, strict=True)]
            place = (y * settings.stripes // len(image), *cell)
            counts[place] = counts.get(place, 0) + 1
    values = []
    hues, saturations, lightness = settings.bins
    for stripe in range(settings.stripes):
        cells = [(stripe, h, s, v) for h in range(hues) for s in range(saturations) for v in range(lightness)]
        total = sum(counts.get(cell, 0) for cell in cells)
        values += [math.sqrt(counts.get(cell, 0) / total) for cell in cells]
    return values


@pytest.mark.parametrize("settings", [SETTINGS, ColourHistogramSettings()], ids=["small", "default"])
def test_equals_a_count_by_hand(settings: ColourHistogramSettings) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(256, (3, 17, 8, 3), generator=generator, dtype=torch.uint8)
    greys = torch.randint(256, (1, 17, 8, 1), generator=generator, dtype=torch.uint8).expand(1, 17, 8, 3)
    pixels = torch.cat([noise, greys])
    found = settings.build(0).eval().embed(normalise(pixels), torch.ones(4))
    expected = torch.tensor([by_hand(image, settings) for image in pixels.tolist()])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("colour", "cell"),
    [((255, 0, 0), (0, 1, 2)), ((0, 255, 0), (1, 1, 2)), ((0, 0, 255), (2, 1, 2)), ((255, 255, 255), (0, 0, 2))],
)
def test_a_plain_colour_fills_one_bin_of_every_stripe(colour: tuple[int, ...], cell: tuple[int, ...]) -> None:
    pixels = torch.tensor(colour, dtype=torch.uint8).expand(1, 6, 4, 3)
    cells = SETTINGS.build(0).embed(normalise(pixels), torch.ones(1)).view(3, 4, 2, 3)
    expected = torch.zeros(3, 4, 2, 3)
    expected[(slice(None), *cell)] = 1
    torch.testing.assert_close(cells, expected)


def test_nothing_learns_and_the_mirror_image_is_the_same(batch: PairBatch) -> None:
    method = ColourHistogramSettings().build(3)
    assert not method.state_dict()
    assert method.backbones() == ()
    assert method.players() == {"network": []}
    descriptors = method.embed(batch.low, batch.rates)
    assert descriptors.shape == (6, 6 * 8 * 8 * 8)
    torch.testing.assert_close(method.embed(batch.low.flip(3), batch.rates), descriptors)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(method.embed(batch.low, batch.rates), descriptors)


def test_a_run_of_no_epochs_has_a_record_of_no_parameters(tmp_path: Path, pixels: Path) -> None:
    run = teacher_run(profile_settings("smoke", "mlr-synthetic"))
    run = replace(run, method=ColourHistogramSettings(), schedule=replace(run.schedule, epochs=0))
    record = measure(run, open_workspace(tmp_path, pixels))
    assert (record.title, record.parameters, record.provenance["start"]) == ("HSV histograms", 0, "random")
    assert record.score("rank1") > 0
    training = replace(run, schedule=replace(run.schedule, epochs=1))
    with pytest.raises(InputError, match="has no trainable parameters; set epochs=0"):
        measure(training, open_workspace(tmp_path, pixels))


def test_refuses_no_bins() -> None:
    with pytest.raises(InputError, match="at least 1"):
        ColourHistogramSettings(bins=(8, 0, 8))
