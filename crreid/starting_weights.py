"""Where backbones start: at random, at timm's ImageNet weights, or at local files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import timm

from crreid.errors import InputError
from crreid.models.weights import digest_of_file

__all__ = ["RANDOM_WEIGHTS", "StartingWeights"]


@dataclass(frozen=True, kw_only=True)
class StartingWeights:
    """The start of every backbone of a study.

    Attributes:
        default: `random`, `timm` or `file <sha256>`, for every backbone that `of_backbone` does not name.
        of_backbone: Pairs of a backbone's name in timm and its start.
        files: The local files meant.
    """

    default: str = "random"
    of_backbone: tuple[tuple[str, str], ...] = ()
    files: tuple[Path, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a notebook's parameter.

        Args:
            text: `random`, `timm` or a path, for all backbones; or, separated by commas, `resnet50=PATH` for some, the
                others starting at random (or as an entry without `=` says).

        Raises:
            InputError: A file is not there, or a backbone is named twice.
        """
        default, of_backbone, files = "random", dict[str, str](), list[Path]()
        for entry in filter(None, (part.strip() for part in text.split(","))):
            backbone, equals, value = entry.partition("=")
            if not equals or not timm.is_model(backbone):
                backbone, value = "", entry
            if value not in ("random", "timm"):
                files.append(Path(value).expanduser().resolve())
                value = f"file {digest_of_file(files[-1])}"
            if not backbone:
                default = value
            elif backbone in of_backbone:
                raise InputError(f"weights name the backbone {backbone} twice: {text!r}")
            else:
                of_backbone[backbone] = value
        return cls(default=default, of_backbone=tuple(of_backbone.items()), files=tuple(files))

    def of(self, backbone: str) -> str:
        """The start of a backbone, by its name in timm; a method without one (empty name) starts at random."""
        return dict(self.of_backbone).get(backbone, self.default) if backbone else "random"


RANDOM_WEIGHTS = StartingWeights()
