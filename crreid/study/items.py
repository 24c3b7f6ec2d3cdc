"""The items of the study: which notebook shows which table or figure, and what it must leave behind."""

from __future__ import annotations

from dataclasses import dataclass

from crreid.errors import InputError
from crreid.study.rows import (
    Rows,
    backbone_rows,
    loss_ablation_rows,
    pooling_rows,
    restoration_rows,
    sequence_rows,
    start_here_rows,
    state_of_the_art_rows,
    super_resolution_rows,
)
from crreid.study.system_rows import cad_net_rows, lrar_rows, unseen_resolution_rows

__all__ = ["ITEMS", "StudyItem", "find_items"]


@dataclass(frozen=True, kw_only=True)
class StudyItem:
    """A table or figure of the paper.

    Attributes:
        name: Of the notebook, without its suffix.
        paper: What it reproduces.
        rows: Gives the runs of one seed, by the rows' names.
        tables: Names of the tables it writes, each as CSV and Markdown.
        figures: Names of the figures it writes, each as SVG and PNG.
        pictures: Names of figures that show images: written for the built-in data only.
    """

    name: str
    paper: str
    rows: Rows
    tables: tuple[str, ...]
    figures: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()

    def artefacts(self, *, synthetic: bool) -> list[str]:
        """File names that a successful rendering leaves in the results folder."""
        figures = self.figures + (self.pictures if synthetic else ())
        names = [f"{table}{suffix}" for table in self.tables for suffix in (".csv", ".md")]
        return names + [f"{figure}{suffix}" for figure in figures for suffix in (".svg", ".png")]


ITEMS = (
    StudyItem(
        name="00_start_here",
        paper="Figures 1 and 2: the problem and the system",
        rows=start_here_rows,
        tables=("00_start_here",),
        figures=("00_resolution_curve", "00_training_curves"),
        pictures=("00_people", "00_degradation", "00_ranked_lists", "00_restored_images"),
    ),
    StudyItem(
        name="table1_state_of_the_art",
        paper="Table I: the state of the art",
        rows=state_of_the_art_rows,
        tables=("table1_state_of_the_art", "table1_published"),
        figures=("table1_rank1_by_year",),
    ),
    StudyItem(
        name="table2_loss_ablation",
        paper="Table II: the losses",
        rows=loss_ablation_rows,
        tables=("table2_loss_ablation",),
        figures=("table2_loss_ablation", "table2_resolution_curve"),
    ),
    StudyItem(
        name="table3_restoration_quality",
        paper="Table III: restoration quality",
        rows=restoration_rows,
        tables=("table3_restoration_quality", "table3_scores"),
        figures=("table3_restoration_quality",),
    ),
    StudyItem(
        name="table4_super_resolution_modules",
        paper="Table IV: super-resolution modules",
        rows=super_resolution_rows,
        tables=("table4_super_resolution_modules", "table4_costs"),
        figures=("table4_super_resolution_modules",),
    ),
    StudyItem(
        name="table5_pooling",
        paper="Table V: pooling",
        rows=pooling_rows,
        tables=("table5_pooling",),
        figures=("table5_pooling",),
    ),
    StudyItem(
        name="table6_backbones",
        paper="Table VI: backbones",
        rows=backbone_rows,
        tables=("table6_backbones",),
        figures=("table6_backbones",),
    ),
    StudyItem(
        name="table7_sequence_combinations",
        paper="Table VII: members of the pseudo-siamese loss",
        rows=sequence_rows,
        tables=("table7_sequence_combinations", "table7_members"),
        figures=("table7_sequence_combinations",),
    ),
    StudyItem(
        name="figure5_restored_images",
        paper="Figure 5: restored images",
        rows=restoration_rows,
        tables=("figure5_restored_images",),
        pictures=("figure5_restored_images",),
    ),
    StudyItem(
        name="cad_net",
        paper="CAD-Net: recover and identify",
        rows=cad_net_rows,
        tables=("cad_net_restoration", "cad_net_parts", "cad_net_scores", "cad_net_probe"),
        figures=("cad_net_features",),
        pictures=("cad_net_recovered",),
    ),
    StudyItem(
        name="lrar",
        paper="LRAR: descriptors that follow the resolution",
        rows=lrar_rows,
        tables=("lrar", "lrar_wrong_level", "lrar_masks"),
        figures=("lrar_masks", "lrar_resolution_curve"),
    ),
    StudyItem(
        name="unseen_resolution",
        paper="All systems at resolutions that training did not see",
        rows=unseen_resolution_rows,
        tables=("unseen_resolution", "unseen_crossings", "unseen_choices"),
        figures=("unseen_resolution",),
    ),
    StudyItem(
        name="costs",
        paper="What each method costs",
        rows=state_of_the_art_rows,
        tables=("costs",),
        figures=("costs",),
    ),
)


def find_items(names: tuple[str, ...]) -> tuple[StudyItem, ...]:
    """The items of the given names, in the order of the study; all for no names.

    Raises:
        InputError: A name that the study does not have.
    """
    known = {item.name: item for item in ITEMS}
    for name in names:
        if name not in known:
            raise InputError(f"the study has no notebook {name!r}; expected {', '.join(known)}")
    return tuple(item for item in ITEMS if not names or item.name in names)
