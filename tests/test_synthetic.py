"""The synthetic data set: the table, the same pixels everywhere, and what shrinking leaves of a pattern."""

import hashlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crreid.data.degradation import Degradation, degrade
from crreid.errors import InputError
from crreid.synthetic.dataset import SyntheticSettings, SyntheticSource, synthetic_pedestrians
from crreid.synthetic.figures import figure
from crreid.synthetic.garments import PATTERNS, Garment, paint
from crreid.synthetic.people import draw_person
from crreid.synthetic.poses import draw_pose, walk
from crreid.synthetic.renderer import Renderer
from crreid.synthetic.smoothing import blur, box_mean, smooth_noise
from crreid.synthetic.tubes import Canvas, Tube, View, draw_tube, plain

SMALL = SyntheticSettings(train_identities=3, test_identities=5, cameras=3, images_per_camera=4)

PATHS = ("0001_c1_01.png", "0004_c3_02.png", "0008_c2_04.png", "0000_c1_01.png", "0000_c1_02.png")


def digest(source: SyntheticSource) -> str:
    return hashlib.sha256(b"".join(source.read(path).tobytes() for path in PATHS)).hexdigest()


@pytest.fixture(scope="module")
def source() -> SyntheticSource:
    return SyntheticSource(SMALL)


def test_counts_and_roles_follow_the_settings():
    table = synthetic_pedestrians(SMALL)
    assert table.name == "synthetic"
    assert table.source.location == "built-in"
    counts = table.rows["role"].value_counts().to_dict()
    assert counts == {"train": 3 * 3 * 4, "query": 5 * 3, "gallery": 5 * 3 * 3, "distractor": 6}
    assert (table.rows["rate"] == 1).all()
    assert table.rows["path"].is_unique


def test_training_and_test_people_are_disjoint_and_each_query_has_a_match_in_another_camera():
    table = synthetic_pedestrians(SMALL)
    train, query, gallery = (table.with_role(role).rows for role in ("train", "query", "gallery"))
    assert set(train["identity"]) == {1, 2, 3}
    assert set(query["identity"]) == set(gallery["identity"]) == {4, 5, 6, 7, 8}
    assert not query.duplicated(["identity", "camera"]).any()
    assert (gallery.groupby("identity")["camera"].nunique() == 3).all()
    assert set(table.with_role("distractor").rows["identity"]) == {0}
    assert set(table.rows["camera"]) == {1, 2, 3}


def test_paths_say_identity_camera_and_index():
    rows = synthetic_pedestrians(SMALL).rows
    assert "0004_c3_02.png" in set(rows["path"])
    for path, identity, camera in rows[["path", "identity", "camera"]].itertuples(index=False):
        assert path.startswith(f"{identity:04d}_c{camera}_")


def test_defaults_have_a_hundred_people_in_each_half():
    described = synthetic_pedestrians().describe().set_index("role")
    assert described.loc["train", "images"] == 1600
    assert described.loc["query", "images"] == 400
    assert described.loc["gallery", "images"] == 1200
    assert described.loc["distractor", "images"] == 160


def test_every_path_of_the_table_can_be_read(source):
    for path in synthetic_pedestrians(SMALL).rows["path"]:
        image = source.read(path)
        assert image.shape == (128, 64, 3)
        assert image.dtype == np.uint8
        assert image.std() > 5


@pytest.mark.parametrize(("height", "width"), [(32, 16), (96, 40), (256, 128)])
def test_any_size_can_be_drawn(height, width):
    source = SyntheticSource(SyntheticSettings(height=height, width=width))
    assert source.read("0002_c2_03.png").shape == (height, width, 3)


def test_two_sources_draw_the_same_bytes_in_any_order(source):
    other = SyntheticSource(SMALL)
    backwards = {path: other.read(path) for path in reversed(PATHS)}
    for path in PATHS:
        np.testing.assert_array_equal(source.read(path), backwards[path])


def test_another_process_draws_the_same_bytes(source):
    program = (
        "import hashlib; from crreid.synthetic.renderer import Renderer;"
        "renderer = Renderer(seed=0, height=128, width=64);"
        "numbers = ((1, 1, 1), (4, 3, 2), (8, 2, 4), (0, 1, 1), (0, 1, 2));"
        "print(hashlib.sha256(b''.join(renderer.image(*n).tobytes() for n in numbers)).hexdigest())"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == digest(source)


def test_a_pickled_source_is_small_and_draws_the_same_bytes(source):
    source.read(PATHS[0])
    data = pickle.dumps(source)
    assert len(data) < 2000
    assert digest(pickle.loads(data)) == digest(source)


def test_images_do_not_depend_on_how_many_people_there_are(source):
    more = SyntheticSource(SyntheticSettings(train_identities=30, test_identities=40, cameras=6, images_per_camera=9))
    assert digest(more) == digest(source)


def test_seeds_draw_different_worlds_and_contents_tell():
    sources = [SyntheticSource(SyntheticSettings(seed=seed)) for seed in (0, 1)]
    assert digest(sources[0]) != digest(sources[1])
    assert sources[0].content(PATHS) != sources[1].content(PATHS)
    assert sources[0].content(PATHS) == SyntheticSource(SMALL).content(PATHS)
    assert sources[0].content(PATHS) != sources[0].content(PATHS[:2])
    larger = SyntheticSource(SyntheticSettings(height=256, width=128))
    assert larger.content(PATHS) != sources[0].content(PATHS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train_identities", 1),
        ("test_identities", 1),
        ("cameras", 1),
        ("images_per_camera", 1),
        ("height", 31),
        ("width", 15),
        ("seed", -1),
    ],
)
def test_too_small_a_setting_is_named(name, value):
    with pytest.raises(InputError, match=name):
        SyntheticSettings(**{name: value})


@pytest.mark.parametrize(
    "path",
    [
        "nobody.png",
        "0009_c1_01.png",
        "0001_c0_01.png",
        "0001_c4_01.png",
        "0001_c1_00.png",
        "0001_c1_05.png",
        "0000_c1_03.png",
        "00001_c1_01.png",
        "0001_c01_01.png",
        "0001_c1_01.jpg",
        "",
    ],
)
def test_unknown_paths_are_refused(source, path):
    with pytest.raises(InputError, match="no such image"):
        source.read(path)


def test_cameras_colour_the_same_place_and_people_differently(source):
    means = np.array([[source.read(f"{i:04d}_c{c}_01.png").mean((0, 1)) for i in range(1, 9)] for c in (1, 2, 3)])
    casts = (means / means.mean(2, keepdims=True)).mean(1)  # colour without brightness, a row a camera
    spread = (means / means.mean(2, keepdims=True)).std(1).mean()
    assert casts.std(0).max() > spread  # cameras differ more than people do


def test_images_of_one_person_in_one_camera_differ(source):
    first, second = (source.read(f"0002_c1_0{index}.png").astype(int) for index in (1, 2))
    assert np.abs(first - second).mean() > 3


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
@pytest.mark.parametrize("duty", [0.3, 0.5, 0.7])
def test_the_mean_of_a_pattern_is_its_coarse_colour(pattern, duty):
    mean, contrast = np.array([0.5, 0.4, 0.6]), np.array([0.3, 0.3, -0.3])
    cloth = Garment(
        first=tuple(mean + (1 - duty) * contrast) if pattern != "plain" else tuple(mean),
        second=tuple(mean - duty * contrast),
        pattern=pattern,
        period=0.03,
        duty=duty,
        phase=0.3,
        folds=0.5,
    )
    across, along = (axis.ravel() for axis in np.meshgrid(*2 * [np.linspace(0, 3, 1201, dtype=np.float32)]))
    colours = paint(cloth, across, along)
    np.testing.assert_allclose(colours.mean(0), mean, atol=0.035)
    assert (colours.std(0).max() > 0.02) == (pattern != "plain")


def test_shrinking_by_four_takes_stripes_away_and_leaves_the_colour():
    fine = np.full((128, 64, 3), 110, np.uint8)
    fine[np.arange(128) % 4 < 2] = 150
    plain_cloth = np.full((128, 64, 3), 130, np.uint8)
    difference = [
        np.abs(degrade(fine, rate, (128, 64), Degradation()).astype(int) - plain_cloth).mean() for rate in (1, 4)
    ]
    assert difference[0] == 20
    assert difference[1] < 2


def test_a_tube_facing_the_camera_is_a_rectangle_with_its_front_in_the_middle():
    canvas = Canvas.empty(60, 40)
    tube = Tube(start=(0, 0.9, 0), end=(0, 0.1, 0), width=0.2, cap=0.0, material=plain((1, 0, 0)))
    draw_tube(canvas, tube, View(yaw=0, pitch=0, scale=50, foot=(20, 55)))
    seen = np.isfinite(canvas.depth)
    rows, columns = np.nonzero(seen)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 49, 10, 29)
    assert seen.sum() == 40 * 20
    surface, colours, _ = canvas.layers[0]
    right, down, towards = surface.normal
    np.testing.assert_allclose(right**2 + down**2 + towards**2, 1, atol=1e-5)
    np.testing.assert_allclose(surface.lateral, (columns - 19.5) / 50, atol=1e-5)
    assert surface.frontal.min() > 0
    assert (colours == (1, 0, 0)).all()


def test_from_behind_the_back_is_seen_and_left_is_on_the_left():
    canvas = Canvas.empty(60, 40)
    tube = Tube(start=(0, 0.9, 0), end=(0, 0.1, 0), width=0.2, flatness=0.5, material=plain((1, 0, 0)))
    draw_tube(canvas, tube, View(yaw=np.pi, pitch=0, scale=50, foot=(20, 55)))
    surface = canvas.layers[0][0]
    assert surface.frontal.max() < 0
    assert (surface.lateral[surface.index % 40 < 19] > 0).all()


@pytest.mark.parametrize("reverse", [False, True])
def test_the_nearer_tube_hides_the_other_in_any_order(reverse):
    canvas = Canvas.empty(60, 40)
    near = Tube(start=(0, 0.9, 0.3), end=(0, 0.1, 0.3), width=0.1, material=plain((1, 0, 0)))
    far = Tube(start=(0, 0.9, -0.3), end=(0, 0.1, -0.3), width=0.1, material=plain((0, 1, 0)))
    picture = np.zeros((60 * 40, 3))
    for tube in (far, near) if not reverse else (near, far):
        draw_tube(canvas, tube, View(yaw=0, pitch=0, scale=50, foot=(20, 55)))
    for surface, colours, _ in canvas.layers:
        picture[surface.index] = colours
    assert picture[:, 0].any()
    assert not picture[:, 1].any()


def test_a_tube_outside_the_picture_is_left_out():
    canvas = Canvas.empty(20, 20)
    tube = Tube(start=(3, 0.9, 0), end=(3, 0.1, 0), width=0.1, material=plain((1, 0, 0)))
    draw_tube(canvas, tube, View(yaw=0, pitch=0, scale=50, foot=(10, 20)))
    assert not canvas.layers


@settings(max_examples=30, deadline=None)
@given(phase=st.floats(0, 6.3), step=st.floats(0, 0.5), swing=st.floats(0, 0.5))
def test_walkers_keep_one_foot_on_the_ground_and_their_bones_their_length(phase, step, swing):
    pose = walk(phase=phase, step=step, swing=swing, bends=(0.3, 0.3), lean=0.0, shoulders=0.11)
    lowest = min(min(leg.heel[1], leg.toe[1]) for leg in pose.legs)
    assert lowest == pytest.approx(0.014, abs=1e-9)
    for leg in pose.legs:
        assert np.linalg.norm(np.subtract(leg.hip, leg.knee)) == pytest.approx(0.235)
        assert np.linalg.norm(np.subtract(leg.knee, leg.ankle)) == pytest.approx(0.225)
    for arm in pose.arms:
        assert np.linalg.norm(np.subtract(arm.shoulder, arm.elbow)) == pytest.approx(0.165)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_drawn_person_has_a_body_and_colours_in_range(seed):
    generator = np.random.default_rng(seed)
    person = draw_person(generator, generator)
    canvas = Canvas.empty(128, 64)
    for tube in figure(person, draw_pose(generator, person.stride, person.shoulders)):
        draw_tube(canvas, tube, View(yaw=0.4, pitch=0.2, scale=115, foot=(32, 124)))
    assert 0.1 < np.isfinite(canvas.depth).mean() < 0.7
    for _, colours, _ in canvas.layers:
        assert colours.min() >= 0
        assert colours.max() <= 1


def mean_colours(person):
    """(6,) mean colours of the upper and the lower garment."""
    cloths = (person.upper, person.lower)
    return np.concatenate([c.duty * np.array(c.first) + (1 - c.duty) * np.array(c.second) for c in cloths])


def test_look_alikes_share_coarse_colours_but_not_their_details():
    people = [draw_person(np.random.default_rng([1, n]), np.random.default_rng([2, n // 4])) for n in range(100)]
    for first in range(0, 100, 4):
        colours = np.stack([mean_colours(person) for person in people[first : first + 4]])
        assert np.ptp(colours, axis=0).max() < 0.05
        assert len({person.hair_style for person in people[first : first + 4]}) == 1
    looks = np.stack([mean_colours(people[first]) for first in range(0, 100, 4)])
    assert np.ptp(looks, axis=0).min() > 0.15
    details = {(p.upper.pattern, p.upper.period, p.upper.duty, p.lower.pattern, p.glasses, p.soles) for p in people}
    assert len(details) > 90


def test_smoothing_keeps_sums_and_agrees_with_scikit_image():
    filters = pytest.importorskip("skimage.filters")
    picture = np.random.default_rng(0).random((20, 15, 3)).astype(np.float32)
    expected = filters.gaussian(picture, 0.8, mode="nearest", truncate=2.5, channel_axis=2)
    np.testing.assert_allclose(blur(picture, 0.8, 0.8), expected, atol=1e-5)
    window = picture[4:9, 6:11].mean((0, 1))
    np.testing.assert_allclose(box_mean(picture, 5)[6, 8], window, rtol=1e-5)
    noise = smooth_noise(np.random.default_rng(0), (40, 30), 3.0, 0.5)
    assert noise.std() == pytest.approx(0.5, rel=1e-3)
    assert np.abs(np.diff(noise, axis=0)).mean() < 0.2


def test_some_distractors_show_nobody_and_people_are_always_there(monkeypatch):
    renderer, calls = Renderer(seed=0, height=32, width=16), []
    monkeypatch.setattr(Renderer, "_stand", lambda *arguments: calls.append(arguments))
    crowds = []
    for identity in (0, 1):
        for index in range(1, 41):
            calls.clear()
            renderer.image(identity, 1, index)
            crowds.append((identity, len(calls)))
    empty = sum(count == 0 for identity, count in crowds if identity == 0)
    assert 2 <= empty <= 20
    assert all(count >= 1 for identity, count in crowds if identity == 1)
