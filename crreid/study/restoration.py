"""Tables of how near restored images come to the originals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from crreid.data.degradation import shrink
from crreid.data.sources import UInt8Image
from crreid.evaluation.image_quality import peak_signal_to_noise_ratio, structural_similarity
from crreid.figures.restored_grid import RestoredRow
from crreid.records import Record
from crreid.runs import TrainedRun
from crreid.study.pictures import restored_images
from crreid.study.tables import mean_and_deviation

__all__ = [
    "grid_quality",
    "image_quality",
    "lower_is_better",
    "measures_of",
    "restoration_table",
    "restored_rows",
    "tidy_restoration",
]

INPUT = "Input (as enlarged for the network)"

MEASURES = {"ssim": ("SSIM", 3), "psnr": ("PSNR (dB)", 1), "lpips": ("LPIPS", 3)}
"""Of restored images: the name in tables and the digits; LPIPS only where its weights were given."""


def image_quality(records: dict[str, list[Record]]) -> pd.DataFrame:
    """PSNR and SSIM of every row, seed and rate, and of what the networks were given.

    Args:
        records: Of runs with `EvaluationSettings.restoration_rates`.

    Returns:
        Columns row, seed, record, rate, psnr in dB, ssim, lpips where it was measured, images. The input is the first
        row; it is the same for all runs but those whose data are enlarged by another filter, and therefore taken from
        the last row.
    """
    lines = [
        {"row": row, "seed": record.run["seed"], "record": record.digest, "rate": float(name.removeprefix("rate "))}
        | measured
        for row, of_row in records.items()
        for record in of_row
        for name, measured in record.measured["restoration"].items()
    ]
    quality = pd.DataFrame(lines)
    last = quality[quality["row"] == list(records)[-1]]
    measures = measures_of(quality)
    given = last.assign(row=INPUT, **{measure: last[f"input_{measure}"] for measure in measures})
    inputs = [f"input_{measure}" for measure in measures]
    return pd.concat([given, quality], ignore_index=True).drop(columns=inputs)


def measures_of(quality: pd.DataFrame) -> dict[str, tuple[str, int]]:
    """Those of MEASURES that a table has."""
    return {measure: shown for measure, shown in MEASURES.items() if measure in quality}


def tidy_restoration(quality: pd.DataFrame) -> pd.DataFrame:
    """What `image_quality` returned in the columns of `tidy_scores`: protocol `images`, metrics psnr (dB), ssim, ..."""
    measures = [measure for measure in ("psnr", "ssim", "lpips") if measure in quality]
    long = quality.melt(["row", "seed", "record", "rate", "images"], measures, "metric", "value")
    tests = long["rate"].map("rate {:g}".format)
    return pd.DataFrame(
        {"row": long["row"], "seed": long["seed"], "record": long["record"], "test": tests, "protocol": "images"}
        | {"rate": "all", "metric": long["metric"], "value": long["value"].round(4), "queries": long["images"]}
        | {"unmatched": 0}
    )


def restoration_table(quality: pd.DataFrame, records: dict[str, list[Record]]) -> pd.DataFrame:
    """One row a row: SSIM, PSNR, perhaps LPIPS, and rank-1 at every rate, means over seeds with their deviation."""
    table = pd.DataFrame(index=pd.Index(quality["row"].unique(), name="row"))
    rates = sorted(quality["rate"].unique())
    for metric, (title, digits) in measures_of(quality).items():
        for rate in rates:
            of_rate = quality[quality["rate"] == rate].groupby("row", sort=False)[metric]
            table[f"{title} at rate {rate:g}"] = of_rate.agg(mean_and_deviation, digits=digits)
    for rate in rates:
        rank1 = {
            row: mean_and_deviation(record.score("rank1", test=f"rate {rate:g}") for record in of_row)
            for row, of_row in records.items()
        }
        table[f"rank-1 at rate {rate:g}"] = [rank1.get(row, "-") for row in table.index]
    return table.reset_index()


def lower_is_better(table: pd.DataFrame) -> list[str]:
    """Columns of a table of restored images whose smallest number is the best: LPIPS."""
    return [str(name) for name in table.columns if str(name).startswith("LPIPS")]


def restored_rows(
    results: Mapping[str, TrainedRun], queries: Sequence[int], rates: Sequence[float]
) -> list[RestoredRow]:
    """Queries at several rates, each as every method restores it, with PSNR and SSIM under it.

    Args:
        results: Trained methods that restore, by the column's name; all tested on the same queries. The original is
            the last one's: a method whose data are enlarged by another filter has a slightly different one.
        queries: Rows of the query table.
        rates: By which the high-resolution files are shrunk.
    """
    last = list(results.values())[-1]
    pictures = {name: restored_images(result, queries, rates) for name, result in results.items()}
    rows = []
    for index, picture in enumerate(pictures[list(results)[-1]]):
        query = queries[index // len(rates)]
        image = last.data.pixels.read(last.data.query.rows["path"][query])
        images = {name: of_method[index].restored for name, of_method in pictures.items()}
        restored = {name: pixels for name, pixels in images.items() if pixels is not None}
        measured = {name: _quality(picture.high, pixels) for name, pixels in restored.items()}
        rows.append(
            RestoredRow(
                rate=picture.rate,
                low=shrink(image, picture.rate, last.data.query.degradation),
                images=restored,
                original=picture.high,
                captions={name: f"{psnr:.1f} dB, {ssim:.2f}" for name, (psnr, ssim) in measured.items()},
                person=f"query {query}",
            )
        )
    return rows


def grid_quality(rows: Sequence[RestoredRow]) -> pd.DataFrame:
    """PSNR and SSIM of what `restored_rows` returned: columns query, rate, row, psnr in dB, ssim."""
    lines = []
    for row in rows:
        for name, pixels in row.images.items():
            psnr, ssim = _quality(row.original, pixels)
            lines.append({"query": row.person, "rate": row.rate, "row": name, "psnr": psnr, "ssim": ssim})
    return pd.DataFrame(lines)


def _quality(original: UInt8Image, image: UInt8Image) -> tuple[float, float]:
    return peak_signal_to_noise_ratio(original, image), structural_similarity(original, image)
