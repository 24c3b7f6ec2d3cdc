"""Every data set that the project knows, by its name."""

from __future__ import annotations

import difflib
from pathlib import Path

from crreid.data.readers.caviar import caviar
from crreid.data.readers.cuhk03 import cuhk03
from crreid.data.readers.dukemtmc import dukemtmc
from crreid.data.readers.market1501 import market1501
from crreid.data.readers.own import own_csv, own_folders
from crreid.data.readers.splits import check_split
from crreid.data.readers.viper import viper
from crreid.data.table import ImageTable
from crreid.errors import InputError

__all__ = ["DATASET_NAMES", "default_low_resolution_cameras", "read_dataset"]

DATASET_NAMES = (
    "synthetic",
    "market-1501",
    "dukemtmc-reid",
    "cuhk03",
    "cuhk03-new",
    "viper",
    "caviar",
    "own",
)


def read_dataset(name: str, root: Path | None, *, split: int = 0) -> ImageTable:
    """Reads a data set by its name, with the reader's defaults.

    Args:
        name: One of `DATASET_NAMES`. `own` is a CSV file or folders by identity.
        root: The folder, zip or file that holds it (`~` is the home folder); not looked at for `synthetic`.
        split: Which of the splits of cuhk03 (20), viper (10) or caviar (10); 0 for the others, which have one.

    Returns:
        The images with rate 1; an own CSV file may say other rates.

    Raises:
        InputError: An unknown name or split, no root, or whatever the reader finds wrong.
    """
    if name not in DATASET_NAMES:
        raise _unknown(name)
    if name not in ("cuhk03", "viper", "caviar"):
        check_split(name, split, 1)
    if name == "synthetic":
        from crreid.synthetic.dataset import synthetic_pedestrians

        return synthetic_pedestrians()
    if root is None:
        raise InputError(f"{name}: expected data_root, the folder or file that holds the data set, but none was given")
    root = Path(root).expanduser()
    match name:
        case "market-1501":
            return market1501(root)
        case "dukemtmc-reid":
            return dukemtmc(root)
        case "cuhk03":
            return cuhk03(root, split=split, protocol="classic")
        case "cuhk03-new":
            return cuhk03(root, protocol="new")
        case "viper":
            return viper(root, split=split)
        case "caviar":
            return caviar(root, split=split)
        case _:
            return own_folders(root) if root.is_dir() else own_csv(root)


def default_low_resolution_cameras(name: str) -> tuple[int, ...]:
    """The cameras whose images the MLR protocol shrinks when nothing else is asked for.

    Args:
        name: One of `DATASET_NAMES`.

    Returns:
        Camera 3 of Market-1501 and 1 of DukeMTMC-reID, VIPeR (cam_a) and the synthetic set, the first camera of each
        CUHK03 pair; none for CAVIAR, whose low resolution is native, and for own data, where they must be given.

    Raises:
        InputError: An unknown name.
    """
    match name:
        case "market-1501":
            return (3,)
        case "synthetic" | "dukemtmc-reid" | "viper":
            return (1,)
        case "cuhk03" | "cuhk03-new":
            return (1, 3, 5, 7, 9)
        case "caviar" | "own":
            return ()
        case _:
            raise _unknown(name)


def _unknown(name: str) -> InputError:
    close = difflib.get_close_matches(name.lower(), DATASET_NAMES, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return InputError(f"there is no data set {name!r}; expected one of {', '.join(DATASET_NAMES)}{hint}")
