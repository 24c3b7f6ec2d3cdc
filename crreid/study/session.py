"""What a notebook works with: its parameters turned into a profile and a workspace, and a place for what it renders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from crreid.data.datasets import find_dataset, paper_name
from crreid.data.prepare import PreparedData, prepare
from crreid.errors import InputError
from crreid.files import write_atomically
from crreid.profiles import Profile, profile_settings
from crreid.records import Record
from crreid.rows import Rows
from crreid.runs import Run, TrainedRun, Workspace, trained
from crreid.starting_weights import StartingWeights
from crreid.study.parallel import measure_all, share_of_threads
from crreid.study.progress import ProgressLine, progress_file

if TYPE_CHECKING:
    from IPython.display import DisplayObject

__all__ = ["Session", "default_results_dir", "open_session"]

DOTS_PER_INCH = 120  # of PNG files
SHOWN_PER_INCH = 104  # pixels in a notebook


@dataclass(frozen=True, kw_only=True)
class Session:
    """One rendering of one item of the study.

    Attributes:
        item: The notebook's name, e.g. `table2_loss_ablation`.
        dataset: E.g. `mlr-synthetic`.
        profile: Settings of all runs.
        workspace: Folders and device.
        seeds: Every row is trained once for each.
        weights: Where backbones start.
        artefacts: Files written so far.
    """

    item: str
    dataset: str
    profile: Profile
    workspace: Workspace
    seeds: tuple[int, ...]
    weights: StartingWeights
    artefacts: list[Path] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """`results/<profile>/<dataset>`."""
        return self.workspace.results_dir / self.profile.name / self.dataset

    @property
    def synthetic(self) -> bool:
        """Whether the images are the built-in ones, which may be shown to anyone."""
        return find_dataset(self.dataset).built_in

    @property
    def data_name(self) -> str:
        """As a legend calls the images: the paper's name of the data set, or `synthetic images`."""
        return "synthetic images" if self.synthetic else paper_name(self.dataset) or self.dataset

    def data(self) -> PreparedData:
        """The tables and decoded images that all runs of the profile share."""
        return prepare(self.profile.data, self.workspace.data_root, self.workspace.runs_dir / "pixels")

    def runs(self, rows: Rows, only: Sequence[str] = ()) -> dict[str, list[Run]]:
        """The runs of every row, one a seed; `rows` is a function of `crreid.rows`.

        Args:
            rows: Of a table.
            only: Names of rows; none for all.

        Raises:
            InputError: The table has no row of a name.
        """
        of_seeds = [rows(self.profile, seed=seed, weights=self.weights) for seed in self.seeds]
        for row in only:
            if row not in of_seeds[0]:
                raise InputError(f"{self.item} has no row {row!r}; expected some of {', '.join(of_seeds[0])}")
        return {row: [of_seed[row] for of_seed in of_seeds] for row in of_seeds[0] if row in only or not only}

    def measure(self, runs: dict[str, list[Run]]) -> dict[str, list[Record]]:
        """The records of every row's runs, one a seed; what is not on record is trained, see `measure_all`."""
        records = measure_all([run for of_row in runs.values() for run in of_row], self.workspace)
        return {row: [records[run.digest] for run in of_row] for row, of_row in runs.items()}

    def trained(self, run: Run) -> TrainedRun:
        """The trained method of a run, for pictures."""
        with share_of_threads(self.workspace):
            return trained(run, self.workspace)

    def save_table(self, tidy: pd.DataFrame, shown: pd.DataFrame, name: str = "") -> None:
        """Writes `<name>.csv` (tidy numbers) and `<name>.md` (the table as shown); the item's name by default."""
        stem = self.folder / (name or self.item)
        self._write(stem.with_suffix(".csv"), tidy.to_csv(index=False))
        self._write(stem.with_suffix(".md"), shown.to_markdown(index=False, disable_numparse=True) + "\n")

    def save_figure(self, figure: Figure, name: str = "", *, shows_people: bool = False) -> DisplayObject:
        """Writes `<name>.svg` and `<name>.png` and returns what the notebook displays: the file that was written.

        A figure that shows images of a data set with terms of use goes below the runs' folder, which is never
        published, and is not displayed.
        """
        from IPython.display import Image, Markdown  # here: machines that only train have no notebooks

        folder = self.folder
        private = shows_people and not self.synthetic
        if private:
            folder = self.workspace.runs_dir / "private" / self.profile.name / self.dataset
        folder.mkdir(parents=True, exist_ok=True)
        stem = folder / (name or self.item)
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(stem.with_suffix(".png"), dpi=DOTS_PER_INCH)
        plt.close(figure)  # else the notebook shows it a second time
        self.artefacts.extend((stem.with_suffix(".svg"), stem.with_suffix(".png")))
        if private:
            return Markdown(f"*Images of {self.dataset} may not be published: {stem.name} is below runs/private only.*")
        return Image(filename=str(stem.with_suffix(".png")), width=round(figure.get_figwidth() * SHOWN_PER_INCH))

    def check_artefacts(self) -> pd.DataFrame:
        """The files written, with their sizes; the last cell of every notebook.

        Raises:
            AssertionError: Nothing was written, or a file is missing or empty, or a table holds no finite number.
        """
        assert self.artefacts, f"{self.item} wrote nothing"
        for file in self.artefacts:
            assert file.is_file(), f"{file.name} is missing"
            assert file.stat().st_size > 0, f"{file.name} is empty"
            if file.suffix == ".csv":
                numbers = pd.read_csv(file).select_dtypes("number")
                assert numbers.notna().any(axis=None), f"{file.name} holds no finite number"
        sizes = [(file.name, f"{file.stat().st_size / 1024:.1f} kB") for file in self.artefacts]
        return pd.DataFrame(sizes, columns=["file", "size"])

    def _write(self, file: Path, text: str) -> None:
        write_atomically(file, text.encode())
        self.artefacts.append(file)


def open_session(
    item: str,
    *,
    profile: str = "quick",
    dataset: str = "mlr-synthetic",
    data_root: str = "",
    device: str = "auto",
    seeds: Sequence[int] = (),
    weights: str = "random",
    results_dir: str = "",
    force: bool = False,
) -> Session:
    """Turns a notebook's parameters into a session.

    Args:
        item: The notebook's name.
        profile: `smoke`, `quick`, `reduced` or `paper`.
        dataset: A data set of the catalogue, `mlr-` before it for its cross-resolution build.
        data_root: Folder or file of the data set; empty for built-in data.
        device: `auto`, `cpu` or `cuda`.
        seeds: Trainings of every row; empty for the profile's number.
        weights: `random`, `timm`, a local file of backbone weights, or `resnet50=FILE`: see `StartingWeights.parse`.
        results_dir: Where results go; empty for the checkout's `results/`.
        force: Train again what is on record.

    Raises:
        InputError: A value that cannot be used.
    """
    settings = profile_settings(profile, dataset)
    root = Path(data_root).expanduser().resolve() if data_root else None
    if settings.data.dataset == "own":  # one name for everybody's data: the table's digest tells them apart
        version = find_dataset("own").read(root).digest
        settings = replace(settings, data=replace(settings.data, version=version))
    results = Path(results_dir).expanduser().resolve() if results_dir else default_results_dir()
    start = StartingWeights.parse(weights)
    runs = results / "runs" if results_dir else results.parent / "runs"
    return Session(
        item=item,
        dataset=dataset,
        profile=settings,
        workspace=Workspace(
            results_dir=results,
            runs_dir=runs,
            data_root=root,
            device=device,
            weights_files=start.files,
            force=force,
            report=ProgressLine(progress_file(runs)),
        ),
        seeds=tuple(seeds) or tuple(range(settings.seeds)),
        weights=start,
    )


def default_results_dir() -> Path:
    """`results/` of the checkout that this package lies in, or of the working directory where it was installed."""
    checkout = Path(__file__).resolve().parents[2]
    return (checkout if (checkout / "notebooks").is_dir() else Path.cwd()) / "results"
