"""CAD-Net's tables: recovered images, the two parts of the descriptor, and what each tells about the resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from crreid.evaluation.image_quality import peak_signal_to_noise_ratio, structural_similarity
from crreid.evaluation.neighbour_map import neighbour_map
from crreid.evaluation.resolution_probe import probe
from crreid.figures.feature_map import FeaturePoints
from crreid.figures.recovered_images import RecoveredImage
from crreid.records import Record
from crreid.runs import TrainedRun
from crreid.study.descriptors import DescribedImages
from crreid.study.pictures import restored_images
from crreid.study.published import published_numbers
from crreid.study.rates import at_rate
from crreid.study.restoration import image_quality, measures_of
from crreid.study.tables import mean_and_deviation, published_table, scores_table

__all__ = [
    "PROBE_RATES",
    "SEEN_RATES",
    "UNSEEN_RATE",
    "feature_points",
    "parts_table",
    "poster_quality",
    "poster_table",
    "probe_captions",
    "probe_table",
    "published_restoration",
    "recovered_images_of",
    "resolution_probes",
]

SEEN_RATES = (2.0, 3.0, 4.0)
UNSEEN_RATE = 8.0
PROBE_RATES = (1.0, *SEEN_RATES)
"""Resolutions that training showed, between which D_F was to see no difference."""

PUBLISHED_ROWS = {
    "CAD-Net": "CAD-Net",
    "CAD-Net without D_I": "without image adversary",
    "CAD-Net without D_F": "without feature adversary",
    "CAD-Net without L_rec": "without reconstruction",
    "CAD-Net without L_cls": "without classification",
}
PUBLISHED_PARTS = {"CAD-Net, f alone": "CAD-Net (f only)", "CAD-Net, g alone": "CAD-Net (g only)", "CAD-Net": "CAD-Net"}
HIGH_OR_LOW, WHICH_RATE = "high or low", "which rate"


def poster_quality(records: Mapping[str, list[Record]]) -> pd.DataFrame:
    """`image_quality` of the rows whose images were measured.

    Bicubic, whose input is enlarged by another filter, comes before the others: the input shown is the last row's.
    """
    measured = {row: of_row for row, of_row in records.items() if "restoration" in of_row[0].measured}
    first = {row: of_row for row, of_row in measured.items() if row == "Bicubic"}
    return image_quality(first | {row: of_row for row, of_row in measured.items() if row not in first})


def poster_table(quality: pd.DataFrame, records: Mapping[str, list[Record]]) -> pd.DataFrame:
    """SSIM, PSNR, perhaps LPIPS, and rank-1 at the seen rates (their mean) and the unseen one, beside the paper's.

    Args:
        quality: What `poster_quality` returned.
        records: Of its rows but the input; others are left out.

    Returns:
        One row a row. The columns named `published` hold the paper's numbers for MLR-CUHK03 in one text each, and `-`
        in rows that it does not have.
    """
    table = pd.DataFrame(index=pd.Index(quality["row"].unique(), name="row"))
    blocks = {"rates 2, 3, 4": SEEN_RATES, "rate 8": (UNSEEN_RATE,)}
    for title, rates in blocks.items():
        of_rates = quality[quality["rate"].isin(rates)]
        for metric, (name, digits) in measures_of(quality).items():
            of_seeds = of_rates.groupby(["row", "seed"])[metric].mean()
            cells = [mean_and_deviation(of_seeds[row], digits=digits) for row in table.index]
            table[f"{name} at {title}"] = cells
        table[f"rank-1 at {title}"] = [
            mean_and_deviation(_rank1_at(record, rates) for record in records.get(row, [])) for row in table.index
        ]
    for title, rates in blocks.items():
        texts = _published_texts(unseen=UNSEEN_RATE in rates)
        table[f"published, MLR-CUHK03 at {title}: SSIM / PSNR / LPIPS / rank-1"] = [
            texts.get(row, "-") for row in table.index
        ]
    return table.reset_index()


def published_restoration(*numbers: pd.DataFrame) -> pd.DataFrame:
    """Published SSIM, PSNR, LPIPS and rank-1 as the paper prints them: a row a method, a column a table.

    Args:
        numbers: Tables of `published_numbers`, each with all four metrics of its methods.
    """
    every = pd.concat(numbers)
    texts = _texts(every, "table", "method")
    columns = {
        table: [texts.get((table, method), "-") for method in every["method"].unique()]
        for table in every["table"].unique()
    }
    return pd.DataFrame({"row": every["method"].unique()} | columns)


def parts_table(tidy: pd.DataFrame) -> pd.DataFrame:
    """Rank-1 and rank-5 of f, g and both over the protocol, beside the poster's on each of its data sets.

    Args:
        tidy: What `tidy_scores` returned.
    """
    scores = scores_table(tidy, metrics=("rank1", "rank5"))
    table = scores.loc[[row for row in PUBLISHED_PARTS if row in scores.index]].copy()
    published = published_table(published_numbers(source="cad-net-poster-2019"))
    for dataset in published.columns:
        name = f"published, {dataset}: rank-1 / rank-5"
        table[name] = [str(published.loc[PUBLISHED_PARTS[row], dataset]) for row in table.index]
    return table.reset_index()


def resolution_probes(described: Mapping[str, Sequence[tuple[TrainedRun, DescribedImages]]]) -> pd.DataFrame:
    """How well a probe tells the resolution from f and from g, one line a row, seed, part, question and fold.

    Args:
        described: Of every row and seed the trained run and its descriptors of images at PROBE_RATES.

    Returns:
        Columns row, seed, record, part, question (`high or low`, `which rate`), fold (from 1), accuracy (balanced, per
        cent), chance (per cent), descriptors (their number).
    """
    lines = []
    for row, of_row in described.items():
        for result, images in of_row:
            targets = {HIGH_OR_LOW: (images.rates > 1).astype(np.float64), WHICH_RATE: images.rates}
            origin = {"row": row, "seed": result.run.seed, "record": result.run.digest}
            for part in images.parts or ("",):
                for question, target in targets.items():
                    found = probe(images.part(part), target, images.identities)
                    said = {"part": part, "question": question}
                    lines += [
                        origin
                        | said
                        | {"fold": fold, "accuracy": 100 * accuracy}
                        | {"chance": 100 * found.chance, "descriptors": found.descriptors}
                        for fold, accuracy in enumerate(found.accuracies, start=1)
                    ]
    return pd.DataFrame(lines)


def probe_table(probes: pd.DataFrame) -> pd.DataFrame:
    """One row a row and part: the probe's accuracy for both questions, mean over folds and seeds, chance in the name.

    Args:
        probes: What `resolution_probes` returned. Deviations are those of the folds, over all seeds.
    """
    lines = []
    for (row, part), of_part in probes.groupby(["row", "part"], sort=False):
        cells = {"row": row, "part": part or "whole"}
        for question, of_question in of_part.groupby("question", sort=False):
            chance = of_question["chance"].iloc[0]
            cells[f"probe, {question} (chance {chance:.0f})"] = mean_and_deviation(of_question["accuracy"])
        lines.append(cells | {"descriptors": str(of_part["descriptors"].iloc[0])})
    return pd.DataFrame(lines)


def probe_captions(probes: pd.DataFrame, part: str = "f") -> dict[str, str]:
    """By row what the probe reads from a part, as `crreid.figures.feature_map` writes it below its panels."""
    chosen = probes[(probes["part"] == part) & (probes["question"] == HIGH_OR_LOW)]
    return {
        str(
            row
        ): f"a probe tells high from low: {lines['accuracy'].mean():.0f} % (chance {lines['chance'].iloc[0]:.0f})"
        for row, lines in chosen.groupby("row", sort=False)
    }


def feature_points(images: DescribedImages, *, part: str = "f", persons: int = 10) -> FeaturePoints:
    """The t-SNE of a part of the descriptors of the first persons, as `crreid.figures.feature_map` draws it."""
    chosen = images.of_persons(persons)
    return FeaturePoints(
        places=neighbour_map(chosen.part(part)), identities=chosen.identities.tolist(), rates=chosen.rates.tolist()
    )


def recovered_images_of(
    result: TrainedRun, queries: Sequence[int], rates: Sequence[float]
) -> dict[str, list[RecoveredImage]]:
    """Queries at several rates as E sees them and as G recovers them, as `crreid.figures.recovered_images` shows them.

    Args:
        result: A trained method that recovers images.
        queries: Rows of the query table.
        rates: By which the high-resolution files are shrunk; 1 leaves them.

    Returns:
        By person, with PSNR and SSIM against the high-resolution image; the input of rate 1 is that image.
    """
    shown: dict[str, list[RecoveredImage]] = {}
    for query in queries:
        people = []
        for picture in restored_images(result, [query], rates):
            assert picture.restored is not None
            captions = []
            for image in (picture.low, picture.restored):
                psnr = peak_signal_to_noise_ratio(picture.high, image)
                ssim = structural_similarity(picture.high, image)
                captions.append("original" if np.isinf(psnr) else f"{psnr:.1f} dB, {ssim:.2f}")
            people.append(
                RecoveredImage(
                    rate=picture.rate,
                    given=picture.low,
                    recovered=picture.restored,
                    captions=(captions[0], captions[1]),
                )
            )
        shown[f"query {query}"] = people
    return shown


def _rank1_at(record: Record, rates: Sequence[float]) -> float:
    """Rank-1 in per cent, mean over tests with all queries at one rate each."""
    return float(np.mean([record.score("rank1", test=at_rate(rate)) for rate in rates]))


def _published_texts(*, unseen: bool) -> dict[str, str]:
    """By our rows what the paper prints of the images and of rank-1, e.g. `0.73 / 20.2 / 0.07 / 82.1`."""
    names = ("2 (r = 8, unseen)",) if unseen else ("2 (r in {2,3,4})", "3 (ablation)")
    numbers = pd.concat([published_numbers(source="cad-net-2019", table=name) for name in names])
    texts = _texts(numbers.drop_duplicates(["method", "metric"]), "method")
    return {row: texts[method] for row, method in PUBLISHED_ROWS.items() if method in texts}


def _texts(numbers: pd.DataFrame, *keys: str) -> dict[Any, str]:
    """By the keys SSIM, PSNR, LPIPS and rank-1 as `0.73 / 20.2 / 0.07 / 82.1`."""
    digits = {"ssim": 2, "psnr": 1, "lpips": 2, "rank1": 1}
    ordered = numbers.set_index("metric").loc[list(digits)].reset_index()
    ordered["text"] = [f"{value:.{digits[metric]}f}" for metric, value in ordered[["metric", "value"]].to_numpy()]
    return ordered.groupby(list(keys) if len(keys) > 1 else keys[0])["text"].agg(" / ".join).to_dict()
