import numpy as np
import pytest

from crreid.data.degradation import Degradation, degrade, shrink
from crreid.errors import InputError
from crreid.figures.contact_sheet import contact_sheet, degradation_sheet, identities_across_cameras
from crreid.figures.style import WIDTH
from crreid.synthetic.dataset import SyntheticSettings, synthetic_pedestrians


def shown(figure):
    return [axes.images[0].get_array() for axes in figure.axes]


def test_images_come_in_reading_order(images, assert_readable):
    pictures = images(7)
    figure = contact_sheet(pictures, columns=3)
    assert all(np.array_equal(image, picture) for image, picture in zip(shown(figure), pictures, strict=True))
    corners = [axes.get_position() for axes in figure.axes]
    assert len({round(box.x0, 4) for box in corners}) == 3
    assert [round(box.y0, 4) for box in corners] == sorted((round(box.y0, 4) for box in corners), reverse=True)
    assert figure.axes[0].images[0].get_interpolation() in ("antialiased", "auto")
    assert_readable(figure)


def test_titles_and_row_labels(images, texts, assert_readable):
    titles = [f"{index:04d}, camera 3" for index in range(8)]
    figure = contact_sheet(images(8), titles, columns=4, row_labels=["training", "test"])
    assert sorted(texts(figure)) == sorted([*titles, "training", "test"])
    assert_readable(figure)


def test_a_full_page_of_long_titles(images, assert_readable):
    figure = contact_sheet(images(12), ["a caption that is too long"] * 12, columns=12)
    assert figure.get_size_inches()[0] == pytest.approx(WIDTH)
    assert_readable(figure)


def test_few_images_are_not_blown_up(images):
    assert contact_sheet(images(2)).get_size_inches()[0] < 2.5


def test_sizes_may_differ(images):
    figure = contact_sheet([*images(1), *images(1, 48, 16)])
    low, high = (axes.get_position() for axes in figure.axes)
    assert high.height / low.height == pytest.approx(48 / 32)
    assert low.y0 - high.y0 == pytest.approx(high.y1 - low.y1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"titles": ["one"]}, "titles has 1 entries; expected 4"),
        ({"columns": 2, "row_labels": ["one"]}, "row_labels has 1 entries; expected 2"),
        ({"columns": 0}, "columns must be at least 1"),
    ],
)
def test_bad_input(images, options, message):
    with pytest.raises(InputError, match=message):
        contact_sheet(images(4), **options)


def test_no_images():
    with pytest.raises(InputError, match="images is empty"):
        contact_sheet([])


def test_svg_is_deterministic(images, svg):
    assert svg(contact_sheet(images(2), ["a", "b"])) == svg(contact_sheet(images(2), ["a", "b"]))


def test_identities_are_rows_and_cameras_are_columns(texts, assert_readable):
    table = synthetic_pedestrians(SyntheticSettings(train_identities=3, test_identities=2, height=32, width=16))
    rows = table.rows[table.rows["role"] == "train"]
    rows = rows[~((rows["identity"] == 2) & (rows["camera"] == 3))]
    pictures = [table.source.read(path) for path in rows["path"]]
    figure = identities_across_cameras(pictures, rows["identity"], rows["camera"])
    assert len(figure.axes) == 3 * 4 * 2 - 2
    assert texts(figure) == ["identity", "camera 1", "1", "2", "3", "camera 2", "camera 3", "camera 4"]
    assert len({round(axes.get_position().y0, 4) for axes in figure.axes}) == 3
    assert_readable(figure)


def test_one_identity_in_one_camera(images):
    assert len(identities_across_cameras(images(3), [7, 7, 7], [2, 2, 2], images_per_camera=1).axes) == 1


def test_bad_identities(images):
    with pytest.raises(InputError, match="cameras has 1 entries; expected 2"):
        identities_across_cameras(images(2), [1, 2], [1])
    with pytest.raises(InputError, match="too many"):
        identities_across_cameras(images(40), [1] * 40, list(range(40)))
    with pytest.raises(InputError, match="images_per_camera"):
        identities_across_cameras(images(1), [1], [1], images_per_camera=0)


def test_degradation_shows_small_and_enlarged(images, texts, assert_readable):
    image = images(1, 64, 32)[0]
    figure = degradation_sheet(image, (1, 2, 4), size=(128, 64))
    expected = [degrade(image, 1, (128, 64), Degradation())]
    for rate in (2, 4):
        expected += [shrink(image, rate, Degradation()), degrade(image, rate, (128, 64), Degradation())]
    assert all(np.array_equal(one, other) for one, other in zip(shown(figure), expected, strict=True))
    small, large = (figure.axes[index].get_position() for index in (3, 4))
    assert large.height / small.height == pytest.approx(4)
    assert large.width / small.width == pytest.approx(4)
    assert {"rate 4", "16 × 8\npixels"} <= set(texts(figure))
    assert_readable(figure)


def test_default_rates_fit_a_page(images, assert_readable):
    figure = degradation_sheet(images(1, 128, 64)[0])
    assert figure.get_size_inches()[0] <= WIDTH + 0.01
    assert_readable(figure)


@pytest.mark.parametrize(("rates", "message"), [((), "rates is empty"), ((1, 0.5), "rate must be at least 1")])
def test_bad_rates(images, rates, message):
    with pytest.raises(InputError, match=message):
        degradation_sheet(images(1)[0], rates)
