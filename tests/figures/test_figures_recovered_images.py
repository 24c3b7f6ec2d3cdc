from dataclasses import replace

import numpy as np
import pytest

from crreid.errors import InputError
from crreid.figures.recovered_images import RecoveredImage, recovered_images

RATES = (1, 2, 4, 8)


def rows(images, people=("query 4", "query 12"), captions=True):
    made = {}
    pictures = iter(images(2 * len(RATES) * len(people)))
    for person in people:
        made[person] = [
            RecoveredImage(
                rate=rate,
                given=next(pictures),
                recovered=next(pictures),
                captions=("original" if rate == 1 else f"3{rate}.0 dB, 0.9{rate}", f"2{rate}.1 dB, 0.7{rate}")
                if captions
                else ("", ""),
            )
            for rate in RATES
        ]
    return made


def test_inputs_and_recovered_images_stand_in_pairs(images):
    people = rows(images)
    shown = [axes.images[0].get_array() for axes in recovered_images(people).axes]
    expected = [pixels for row in people.values() for image in row for pixels in (image.given, image.recovered)]
    assert len(shown) == len(expected) == 16
    assert all(np.array_equal(*pair) for pair in zip(shown, expected, strict=True))


def test_places_follow_rates_and_persons(images):
    figure = recovered_images(rows(images))
    boxes = np.array([axes.get_position().bounds for axes in figure.axes]).reshape(2, 8, 4)
    assert (np.diff(boxes[:, :, 0], axis=1) > 0).all()
    assert (boxes[0, :, 1] > boxes[1, :, 1]).all()
    gaps = boxes[0, 1:, 0] - boxes[0, :-1, 0] - boxes[0, :-1, 2]
    assert gaps[1::2].min() > gaps[::2].max() > 0  # the two of a pair stand closer


def test_titles_and_captions(images, texts, assert_readable):
    figure = recovered_images(rows(images), unseen=8)
    found = texts(figure)
    assert {"high resolution", "rate 2", "rate 4", "rate 8 (unseen)", "query 4", "query 12"} <= set(found)
    assert found.count("input") == found.count("recovered") == 4
    assert found.count("original") == found.count("24.1 dB, 0.74") == 2
    assert_readable(figure)
    assert "rate 8" in texts(recovered_images(rows(images)))


def test_without_captions_it_is_lower(images, assert_readable):
    with_them, without = recovered_images(rows(images)), recovered_images(rows(images, captions=False))
    assert without.get_figheight() < with_them.get_figheight()
    assert_readable(without)


def test_the_same_every_time(images, svg):
    assert svg(recovered_images(rows(images))) == svg(recovered_images(rows(images)))


def test_bad_input(images):
    good = rows(images)
    first = good["query 4"]
    small = images(1, 16, 8)[0]
    cases = [
        ({}, "rows is empty"),
        ({"query 4": []}, "a person without images"),
        (good | {"query 12": first[:3]}, "'query 12'.* has other rates than the first row"),
        ({"query 4": [replace(first[0], recovered=small)]}, r"shape \(16, 8, 3\); expected \(32, 16, 3\)"),
        ({"query 4": [replace(first[0], given=first[0].given.astype(float))]}, "given.*float64"),
        ({"query 4": [replace(first[0], rate=rate) for rate in range(1, 15)]}, "14 rates; expected fewer"),
    ]
    for people, message in cases:
        with pytest.raises(InputError, match=message):
            recovered_images(people)
