"""The multiple-low-resolution (MLR) protocol: an image table in, the same images with rates out, and a manifest.

Jiao et al. (SING, AAAI 2018) made every image of one camera low resolution by a rate of 2, 3 or 4 and asked for the
same persons in the other cameras, at high resolution. Nobody published the files; builds differ in camera, rates,
filter and gallery. Here each of these is a setting, and a manifest written by `write_manifest` rebuilds the same
images.
"""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from crreid.data.degradation import Degradation, low_resolution_size
from crreid.data.sources import ImageSource
from crreid.data.table import COLUMNS, ImageTable
from crreid.errors import InputError
from crreid.files import write_atomically


@dataclass(frozen=True, kw_only=True)
class MLRSettings:
    """What one build of an MLR data set fixes.

    Attributes:
        cameras: Cameras whose test images become low resolution and are the queries; all others form the gallery.
            Empty: the data are low resolution natively and keep their roles (CAVIAR4REID).
        rates: Downsampling rates; each low-resolution image has one of them.
        train_rates: The same for training images, where it differs (e.g. 1, 2, 3, 4 to mix in high resolution).
        per: `image` draws one rate per image, in equal shares (SING); `camera` one per camera (the text of PS-HRNet).
        train: Which training images have a low-resolution version: `all` of them (the paper), those of the
            low-resolution `cameras` (the authors' release), or `none` (a network for high resolution).
        official_queries: Whether images of the official query folder take part in the test. The PS-HRNet release does
            not use Market-1501's; data sets whose two cameras are query and gallery need them.
        distractors: Whether distractors stay in the gallery. Junk boxes never do.
        degradation: The filters.
        seed: Seed for drawing the rates.
    """

    tag: ClassVar[str] = "MLRSettings"
    cameras: tuple[int, ...] = ()
    rates: tuple[float, ...] = (2, 3, 4)
    train_rates: tuple[float, ...] | None = None
    per: Literal["image", "camera"] = "image"
    train: Literal["all", "cameras", "none"] = "all"
    official_queries: bool = True
    distractors: bool = False
    degradation: Degradation = field(default_factory=Degradation)
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse no rates, or a rate below 1."""
        for name, rates in (("rates", self.rates), ("train_rates", self.train_rates)):
            if rates is not None and (not rates or not all(rate >= 1 for rate in rates)):
                raise InputError(f"{name} must be numbers of at least 1 (1 = high resolution), not {rates}")


def mlr(table: ImageTable, settings: MLRSettings) -> ImageTable:
    """Apply the protocol to a data set in high resolution: a pure function of the table and the settings.

    Returns:
        Rows of role train, query (low-resolution cameras) and gallery (all other cameras), with rates; rows that the
        build does not use are left out. Named `mlr-<name>`.

    Raises:
        InputError: A camera that the table does not have.
    """
    known = sorted(int(camera) for camera in table.rows.loc[table.rows["role"] != "junk", "camera"].unique())
    for camera in settings.cameras:
        if camera not in known:
            raise InputError(f"{table.name} has no camera {camera}; its cameras are {', '.join(map(str, known))}")
    low = table.rows["camera"].isin(settings.cameras).to_numpy()
    roles = table.rows["role"].to_numpy(copy=True)
    keep = np.isin(roles, ("train", "gallery", "distractor") if settings.distractors else ("train", "gallery"))
    keep |= (roles == "query") & settings.official_queries
    test = np.isin(roles, ("query", "gallery"))
    if settings.cameras:
        roles[test & low] = "query"
        roles[test & ~low] = "gallery"
        keep &= ~((roles == "distractor") & low)  # a low-resolution distractor is no gallery image

    train = (roles == "train") & {"all": np.ones_like(low), "cameras": low, "none": np.zeros_like(low)}[settings.train]
    rates = np.ones(len(table))
    parts = ((train & keep, settings.train_rates or settings.rates), (test & low & keep, settings.rates))
    for part, (mask, choices) in enumerate(parts):
        generator = np.random.default_rng([settings.seed, part])
        cameras = table.rows["camera"].to_numpy()[mask]
        if settings.per == "image":
            rates[mask] = balanced_rates(int(mask.sum()), choices, generator)
        else:
            drawn = {camera: generator.choice(choices) for camera in np.unique(cameras)}
            rates[mask] = [drawn[camera] for camera in cameras]
    rows = table.rows.assign(role=roles, rate=rates)[keep].reset_index(drop=True)
    return replace(table, name=f"mlr-{table.name}", rows=rows, degradation=settings.degradation)


def balanced_rates(count: int, rates: tuple[float, ...], generator: np.random.Generator) -> np.ndarray:
    """Return `count` rates in random order, each as often as any other to within one: (count,) float64."""
    return generator.permutation(np.resize(np.asarray(rates, dtype=np.float64), count))


def write_manifest(table: ImageTable, settings: MLRSettings, file: Path) -> str:
    """Write what makes the images of a build again: a CSV of one line per image, after a comment with its digest.

    `table` is what `mlr` made by `settings`. Returns the digest, 64 hexadecimal digits: equal ones mean the same build.
    """
    filters = {name: "" if value is None else value for name, value in asdict(settings.degradation).items()}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*COLUMNS, "lr_height", "lr_width", *filters, "seed"))
    for path, identity, camera, role, rate in table.rows.itertuples(index=False):
        image = table.source.read(path)
        size = low_resolution_size(image.shape[0], image.shape[1], rate)
        writer.writerow((path, identity, camera, role, f"{rate:g}", *size, *filters.values(), settings.seed))
    digest = hashlib.sha256(text.getvalue().encode()).hexdigest()
    write_atomically(file, f"# crreid manifest of {table.name}, sha256 {digest}\n{text.getvalue()}".encode())
    return digest


def read_manifest(file: Path, source: ImageSource) -> ImageTable:
    """Rebuild the table of a manifest, InputError if changed since; `source` reads the original images by its paths."""
    try:
        comment, _, text = file.read_text(encoding="utf8").partition("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as a manifest ({error})") from error
    if not comment.startswith("# crreid manifest of "):
        raise InputError(f"{file}: the first line is not that of a crreid manifest")
    name, digest = comment.removeprefix("# crreid manifest of ").split(", sha256 ")
    if hashlib.sha256(text.encode()).hexdigest() != digest:
        raise InputError(f"{file}: changed since it was written (its lines do not match the digest in the first line)")
    rows = pd.read_csv(io.StringIO(text), dtype={"path": str})
    if rows.empty:
        raise InputError(f"{file}: a manifest without images")
    first = rows.iloc[0]
    quality = None if pd.isna(first["jpeg_quality"]) else int(first["jpeg_quality"])
    filters = Degradation(
        shrink=first["shrink"], enlarge=first["enlarge"], antialias=bool(first["antialias"]), jpeg_quality=quality
    )
    return ImageTable(name=name, rows=rows, source=source, degradation=filters)
