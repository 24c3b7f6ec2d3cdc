"""The synthetic data set: the table, the same pixels everywhere, and people who differ in fine patterns."""

import hashlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crreid.errors import InputError
from crreid.synthetic.bodies import body, draw_pose, walk
from crreid.synthetic.cameras import blur, box_mean
from crreid.synthetic.dataset import SyntheticSettings, SyntheticSource, synthetic_pedestrians
from crreid.synthetic.drawing import Canvas, Tube, View, plain
from crreid.synthetic.people import PATTERNS, Garment, draw_person, paint
from crreid.synthetic.renderer import Renderer
from crreid.synthetic.scenes import smooth_noise

SMALL = SyntheticSettings(train_identities=3, test_identities=5, cameras=3, images_per_camera=4)
SOURCE = SyntheticSource(SMALL)
PATHS = ("0001_c1_01.png", "5001_c3_02.png", "5005_c2_04.png", "0000_c1_01.png", "0000_c1_02.png")

RED, GREEN = plain((1, 0, 0)), plain((0, 1, 0))
FRONT = View(yaw=0, pitch=0, scale=50, foot=(20, 55))


def digest(source: SyntheticSource) -> str:
    return hashlib.sha256(b"".join(source.read(path).tobytes() for path in PATHS)).hexdigest()


@pytest.fixture(scope="module")
def pixels() -> str:
    return digest(SOURCE)


def test_the_table_follows_the_settings():
    table = synthetic_pedestrians(SMALL)
    assert (table.name, table.source.location) == ("synthetic", "built-in")
    counts = table.rows["role"].value_counts().to_dict()
    assert counts == {"train": 3 * 3 * 4, "query": 5 * 3, "gallery": 5 * 3 * 3, "distractor": 6}
    by_default = synthetic_pedestrians().rows["role"].value_counts().to_dict()
    assert by_default == {"train": 1600, "gallery": 1200, "query": 400, "distractor": 160}
    assert set(table.rows["rate"]) == {1}
    assert table.rows["path"].is_unique
    assert "5001_c3_02.png" in set(table.rows["path"])
    for path, identity, camera in table.rows[["path", "identity", "camera"]].itertuples(index=False):
        assert path.startswith(f"{identity:04d}_c{camera}_")

    # training and test people are disjoint, and each query has a match in another camera
    train, query, gallery = (table.with_role(role).rows for role in ("train", "query", "gallery"))
    assert set(train["identity"]) == {1, 2, 3}
    assert set(query["identity"]) == set(gallery["identity"]) == set(range(5001, 5006))
    assert not query.duplicated(["identity", "camera"]).any()
    assert (gallery.groupby("identity")["camera"].nunique() == 3).all()
    assert set(table.with_role("distractor").rows["identity"]) == {0}
    assert set(table.rows["camera"]) == {1, 2, 3}


def test_every_path_of_the_table_can_be_read_in_another_size():
    few = SyntheticSettings(train_identities=2, test_identities=3, cameras=3, images_per_camera=3, height=48, width=20)
    table = synthetic_pedestrians(few)
    for path in table.rows["path"]:
        image = table.source.read(path)
        assert (image.shape, image.dtype) == ((48, 20, 3), np.uint8)
        assert image.std() > 5


def test_another_process_draws_the_same_bytes_in_another_order(pixels):
    program = (
        "import hashlib; from crreid.synthetic.renderer import Renderer;"
        "renderer = Renderer(seed=0, height=128, width=64);"
        "numbers = ((1, 1, 1), (5001, 3, 2), (5005, 2, 4), (0, 1, 1), (0, 1, 2));"
        "images = {n: renderer.image(*n).tobytes() for n in reversed(numbers)};"
        "print(hashlib.sha256(b''.join(images[n] for n in numbers)).hexdigest())"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == pixels


def test_a_pickled_source_is_small_and_draws_the_same_bytes(pixels):
    data = pickle.dumps(SOURCE)
    assert len(data) < 2000
    assert digest(pickle.loads(data)) == pixels


def test_images_depend_on_the_seed_and_not_on_how_many_people_there_are(pixels):
    more = SyntheticSource(SyntheticSettings(train_identities=30, test_identities=40, cameras=6, images_per_camera=9))
    assert digest(more) == pixels
    assert digest(SyntheticSource(SyntheticSettings(seed=1))) != pixels


def test_content_names_what_the_pixels_depend_on():
    other = [SyntheticSource(SyntheticSettings(**change)) for change in ({"seed": 1}, {"height": 256})]
    contents = {SOURCE.content(PATHS), SOURCE.content(PATHS[:2]), *(each.content(PATHS) for each in other)}
    assert [len(content) for content in contents] == [16] * 4
    assert SyntheticSource(SyntheticSettings()).content(PATHS) == SOURCE.content(PATHS)


def test_too_small_or_large_a_setting_is_named():
    bad = {"train_identities": 1, "test_identities": 1, "cameras": 1, "images_per_camera": 1, "height": 31, "width": 15}
    for name, value in {**bad, "seed": -1}.items():
        with pytest.raises(InputError, match=f"{name} must be at least {value + 1}, not {value}"):
            SyntheticSettings(**{name: value})
    with pytest.raises(InputError, match="train_identities must be below 5000"):  # where those of the test begin
        SyntheticSettings(train_identities=5000)


def test_unknown_paths_are_refused():
    numbers = ((4, "1", 1), (5006, "1", 1), (1, "0", 1), (1, "4", 1), (1, "1", 0), (1, "1", 5), (0, "1", 3))
    wrong = [f"{identity:04d}_c{camera}_{index:02d}.png" for identity, camera, index in numbers]
    for path in [*wrong, "0001_c01_01.png", "00001_c1_01.png", "0001_c1_01.jpg", "nobody.png", ""]:
        with pytest.raises(InputError, match=f"built-in:{path}: no such image"):
            SOURCE.read(path)


def test_cameras_colour_people_differently_and_images_of_one_person_differ():
    people = (1, 2, 3, *range(5001, 5006))
    means = np.array([[SOURCE.read(f"{i:04d}_c{c}_01.png").mean((0, 1)) for i in people] for c in (1, 2, 3)])
    tints = means / means.mean(2, keepdims=True)  # colour without brightness: (cameras, people, 3)
    assert tints.mean(1).std(0).max() > tints.std(1).mean()  # cameras differ more than people do

    # and images of one person in one camera differ
    first, second = (SOURCE.read(f"0002_c1_0{index}.png").astype(int) for index in (1, 2))
    assert np.abs(first - second).mean() > 3


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_the_mean_of_a_pattern_is_its_coarse_colour(pattern):
    mean = np.array([0.5, 0.4, 0.6])
    contrast = np.array([0.3, 0.3, -0.3]) if pattern != "plain" else np.zeros(3)
    across, along = (axis.ravel() for axis in np.meshgrid(*2 * [np.linspace(0, 0.75, 501, dtype=np.float32)]))
    for duty in (0.3, 0.5, 0.7):
        first, second = tuple(mean + (1 - duty) * contrast), tuple(mean - duty * contrast)
        cloth = Garment(first=first, second=second, pattern=pattern, period=0.03, duty=duty, phase=0.3, folds=0.5)
        colours = paint(cloth, across, along)
        np.testing.assert_allclose(colours.mean(0), mean, atol=0.035)
        assert (colours.std(0).max() > 0.02) == (pattern != "plain")


def test_a_tube_facing_the_camera_is_a_rectangle_with_its_front_in_the_middle():
    canvas = Canvas(60, 40)
    canvas.draw(Tube((0, 0.9, 0), (0, 0.1, 0), 0.2, RED, cap=0.0), FRONT)
    rows, columns = np.nonzero(np.isfinite(canvas.depth))
    assert (rows.min(), rows.max(), columns.min(), columns.max(), len(rows)) == (10, 49, 10, 29, 40 * 20)
    surface, colours, _ = canvas.layers[0]
    np.testing.assert_allclose(sum(part**2 for part in surface.normal), 1, atol=1e-5)
    np.testing.assert_allclose(surface.lateral, (columns - 19.5) / 50, atol=1e-5)
    assert surface.frontal.min() > 0
    assert (colours == (1, 0, 0)).all()
    canvas.draw(Tube((3, 0.9, 0), (3, 0.1, 0), 0.1, RED), FRONT)
    assert len(canvas.layers) == 1  # the other is outside the picture


def test_from_behind_the_back_is_seen_and_left_is_on_the_left():
    canvas = Canvas(60, 40)
    tube = Tube((0, 0.9, 0), (0, 0.1, 0), 0.2, RED, flatness=0.5)
    canvas.draw(tube, View(yaw=np.pi, pitch=0, scale=50, foot=(20, 55)))
    surface = canvas.layers[0][0]
    assert surface.frontal.max() < 0
    assert (surface.lateral[surface.index % 40 < 19] > 0).all()


@pytest.mark.parametrize("order", [1, -1])
def test_the_nearer_tube_hides_the_other_in_any_order(order):
    canvas, picture = Canvas(60, 40), np.zeros((60 * 40, 3))
    for z, colour in ((0.3, RED), (-0.3, GREEN))[::order]:
        canvas.draw(Tube((0, 0.9, z), (0, 0.1, z), 0.1, colour), FRONT)
    for surface, colours, _ in canvas.layers:
        picture[surface.index] = colours
    assert picture[:, 0].any()
    assert not picture[:, 1].any()


@settings(max_examples=20, deadline=None)
@given(phase=st.floats(0, 6.3), step=st.floats(0, 0.5), swing=st.floats(0, 0.5))
def test_walkers_keep_one_foot_on_the_ground_and_their_bones_their_length(phase, step, swing):
    pose = walk(phase=phase, step=step, swing=swing, bends=(0.3, 0.3), lean=0.0, shoulders=0.11)
    assert min(min(leg.heel[1], leg.toe[1]) for leg in pose.legs) == pytest.approx(0.014, abs=1e-9)
    for leg in pose.legs:
        assert np.linalg.norm(np.subtract(leg.hip, leg.knee)) == pytest.approx(0.235)
        assert np.linalg.norm(np.subtract(leg.knee, leg.ankle)) == pytest.approx(0.225)
    for arm in pose.arms:
        assert np.linalg.norm(np.subtract(arm.shoulder, arm.elbow)) == pytest.approx(0.165)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_drawn_person_has_a_body_and_colours_in_range(seed):
    generator = np.random.default_rng(seed)
    person = draw_person(generator, generator)
    canvas = Canvas(128, 64)
    for tube in body(person, draw_pose(generator, person.stride, person.shoulders)):
        canvas.draw(tube, View(yaw=0.4, pitch=0.2, scale=115, foot=(32, 124)))
    assert 0.1 < np.isfinite(canvas.depth).mean() < 0.7
    assert all(colours.min() >= 0 and colours.max() <= 1 for _, colours, _ in canvas.layers)


def mean_colours(person):
    """(6,) mean colours of the upper and the lower garment."""
    cloths = (person.upper, person.lower)
    return np.concatenate([c.duty * np.array(c.first) + (1 - c.duty) * np.array(c.second) for c in cloths])


def test_look_alikes_share_coarse_colours_but_not_their_details():
    people = [draw_person(np.random.default_rng([1, n]), np.random.default_rng([2, n // 4])) for n in range(100)]
    for first in range(0, 100, 4):
        group = people[first : first + 4]
        assert np.ptp([mean_colours(person) for person in group], axis=0).max() < 0.05
        assert len({person.hair_style for person in group}) == 1
    assert np.ptp([mean_colours(person) for person in people[::4]], axis=0).min() > 0.15
    details = {(p.upper.pattern, p.upper.period, p.upper.duty, p.lower.pattern, p.glasses, p.soles) for p in people}
    assert len(details) > 90


def test_smoothing_keeps_sums_and_agrees_with_scipy():
    filters = pytest.importorskip("scipy.ndimage")
    picture = np.random.default_rng(0).random((20, 15, 3)).astype(np.float32)
    expected = filters.gaussian_filter(picture, (0.8, 0.8, 0), mode="nearest", truncate=2.5)
    np.testing.assert_allclose(blur(picture, 0.8, 0.8), expected, atol=1e-5)
    np.testing.assert_allclose(box_mean(picture, 5)[6, 8], picture[4:9, 6:11].mean((0, 1)), rtol=1e-5)
    noise = smooth_noise(np.random.default_rng(0), (40, 30), 3.0, 0.5)
    assert noise.std() == pytest.approx(0.5, rel=1e-3)
    assert np.abs(np.diff(noise, axis=0)).mean() < 0.2


def test_some_distractors_show_nobody_and_people_are_always_there(monkeypatch):
    renderer, calls = Renderer(seed=0, height=32, width=16), []
    monkeypatch.setattr(Renderer, "_stand", lambda *arguments: calls.append(arguments))
    crowds = {0: [], 1: []}
    for identity, counts in crowds.items():
        for index in range(1, 41):
            calls.clear()
            renderer.image(identity, 1, index)
            counts.append(len(calls))
    assert 2 <= crowds[0].count(0) <= 20
    assert 0 not in crowds[1]
