"""Where backbones start: at random, at timm's pretrained weights, or at local files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import timm

from crreid.errors import InputError
from crreid.models.weights import digest_of_file

PERCEPTUAL = "lpips"
NO_FILES = ("random", "timm")


@dataclass(frozen=True, kw_only=True)
class StartingWeights:
    """The start of every backbone of a study.

    Attributes:
        default: `random`, `timm` or `file <sha256>`, for every backbone that `of_backbone` does not name.
        of_backbone: Pairs of a backbone's name in timm and its start.
        perceptual: `file <sha256>` of AlexNet's weights, with which LPIPS is measured; empty for no LPIPS.
        files: Pairs of `file <sha256>` and the local file that it means.
    """

    default: str = "random"
    of_backbone: tuple[tuple[str, str], ...] = ()
    perceptual: str = ""
    files: tuple[tuple[str, Path], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a notebook's parameter.

        `text` is `random`, `timm` or a path, for all backbones; or, separated by commas, `resnet50=PATH` for some, the
        others starting at random (or as an entry without `=` says). `lpips=PATH` is no start, but LPIPS's AlexNet.

        Raises:
            InputError: A file cannot be read, a name is given twice, or LPIPS no file.
        """
        starts, files = dict[str, str](), dict[str, Path]()
        for name, value in weights_entries(text):
            if name and name in starts:
                raise InputError(f"weights name {name} twice: {text!r}")
            if value not in NO_FILES:
                file = Path(value).expanduser().resolve()
                value = f"file {digest_of_file(file)}"
                files[value] = file
            starts[name] = value
        default, perceptual = starts.pop("", "random"), starts.pop(PERCEPTUAL, "")
        if perceptual in NO_FILES:
            raise InputError(f"{PERCEPTUAL} needs a file with AlexNet's weights, not {perceptual!r}")
        of_backbone, found = tuple(starts.items()), tuple(files.items())
        return cls(default=default, of_backbone=of_backbone, perceptual=perceptual, files=found)

    def of(self, backbone: str) -> str:
        """Return the start of a backbone by its name in timm; a method without one (empty name) starts at random."""
        return dict(self.of_backbone).get(backbone, self.default) if backbone else "random"


def weights_entries(text: str) -> list[tuple[str, str]]:
    """Split a notebook's parameter into entries: a backbone, `lpips` or nothing, and a value.

    A path may hold an equals sign: what stands before it counts only where it is one of those names.
    """
    entries = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = entry.partition("=")
        named = equals and (name == PERCEPTUAL or timm.is_model(name))
        entries.append((name, value) if named else ("", entry))
    return entries


RANDOM_WEIGHTS = StartingWeights()
