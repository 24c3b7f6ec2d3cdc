"""Weights on disk: safetensors written atomically, and read with a report of what fitted.

Files in PyTorch's own format are read with `weights_only=True`, which refuses anything but tensors and plain
containers.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
from torch import Tensor, nn

from crreid.errors import InputError

__all__ = [
    "WeightsReport",
    "digest_of_file",
    "fill_module",
    "load_timm_backbone",
    "load_weights",
    "read_weights",
    "save_weights",
]

PREFIXES = ("module.", "model.", "backbone.")
"""What wrappers put before a tensor's name; taken off where only that makes the name known."""

CONTAINERS = ("state_dict", "model")
"""Keys under which training scripts keep the tensors."""

COUNTER = "num_batches_tracked"
"""Batch normalisation's step counter, which many files leave out; it changes nothing at momentum 0.1."""


@dataclass(frozen=True, kw_only=True)
class WeightsReport:
    """What became of each tensor; print it for one sentence.

    Attributes:
        origin: The file, or the timm name.
        matched: Tensors of the module that were filled.
        missing: Tensors of the module that the origin lacks; counters of batch normalisation are not listed.
        unexpected: Tensors of the origin that the module has no place for, by their names there.
        wrong_shape: Tensors of an ignored part with another shape, left as they were.
    """

    origin: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    wrong_shape: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{self.origin}: {len(self.matched)} tensors loaded"]
        for label, names in (
            ("missing", self.missing),
            ("unused", self.unexpected),
            ("of another shape and left alone", self.wrong_shape),
        ):
            if names:
                shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
                parts.append(f"{len(names)} {label} ({shown})")
        return "; ".join(parts)


def load_weights(
    module: nn.Module, file: Path, *, ignore: tuple[str, ...] = ("classifier",), complete: bool = False
) -> WeightsReport:
    """Fills a module from a file; on an error the module is left as it was.

    ImageNet weights of an HRNet go into `HRNetReID.backbone`; the classifier and the down-sampling head that the file
    also holds are listed as unexpected.

    Args:
        module: What to fill; names decide, a prefix of PREFIXES in the file does not matter.
        file: `.safetensors`, or PyTorch's `.pth`, `.pt` or `.bin` with the tensors at the top or below `state_dict` or
            `model`.
        ignore: Parts of the module (first parts of names) that may be absent or of another shape, because they depend
            on the identities of the training set.
        complete: Raise if any tensor outside the ignored parts is missing, as for a model that is to be evaluated.

    Raises:
        InputError: The file cannot be read, belongs to another architecture (it fills less than half of the module's
            tensors), disagrees in a shape, or holds a value that is not finite.
    """
    return fill_module(module, read_weights(file), origin=str(file), ignore=ignore, complete=complete)


def fill_module(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    origin: str,
    ignore: tuple[str, ...] = ("classifier",),
    complete: bool = False,
) -> WeightsReport:
    """Fills a module from named tensors, as `load_weights` does; `origin` names them in messages."""
    expected = module.state_dict()
    found, unexpected = _by_expected_name(tensors, expected, origin)
    wrong_shape = tuple(name for name, tensor in found.items() if tensor.shape != expected[name].shape)
    matched = {name: tensor for name, tensor in found.items() if name not in wrong_shape}
    needed = [name for name in expected if not name.endswith(COUNTER)]
    fitting = sum(name in matched for name in needed)
    if 2 * fitting < len(needed):
        raise InputError(
            f"{origin}: weights of another architecture; of the {len(needed)} tensors needed {fitting} fit, "
            f"{len(wrong_shape)} have another shape and {len(unexpected)} of the file's have no place"
        )
    for name in wrong_shape:
        if not _is_part_of(name, ignore):
            shapes = f"{tuple(found[name].shape)}; expected {tuple(expected[name].shape)}"
            raise InputError(f"{origin}: tensor {name} has shape {shapes}")
    missing = tuple(name for name in needed if name not in found)
    needed_but_missing = [name for name in missing if not _is_part_of(name, ignore)]
    if complete and needed_but_missing:
        raise InputError(
            f"{origin}: {len(needed_but_missing)} tensors are missing, the first is {needed_but_missing[0]}"
        )
    for name, tensor in matched.items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"{origin}: tensor {name} holds values that are not finite numbers")
    module.load_state_dict(matched, strict=False)
    return WeightsReport(
        origin=origin, matched=tuple(matched), missing=missing, unexpected=unexpected, wrong_shape=wrong_shape
    )


def read_weights(file: Path) -> dict[str, Tensor]:
    """Reads all tensors of a file by name, to the CPU; the formats are those of `load_weights`.

    Raises:
        InputError: The file is absent, damaged, of another kind, or holds something else than tensors.
    """
    file = Path(file)
    if not file.is_file():
        raise InputError(f"{file}: no such file; expected weights as .safetensors, .pth, .pt or .bin")
    if file.suffix not in (".safetensors", ".pth", ".pt", ".bin"):
        raise InputError(f"{file}: unknown kind of weights {file.suffix!r}; expected .safetensors, .pth, .pt or .bin")
    try:
        if file.suffix == ".safetensors":
            return safetensors.torch.load_file(file)
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # both readers raise many types on broken or forbidden content
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{file}: not readable as weights ({type(error).__name__}: {reason})") from error
    while isinstance(content, Mapping):
        inner = [content[key] for key in CONTAINERS if isinstance(content.get(key), Mapping)]
        if not inner:
            break
        content = inner[0]
    tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, Mapping) else {}
    if not tensors:
        raise InputError(
            f"{file}: holds no named tensors; expected a state dictionary, bare or under state_dict or model"
        )
    return tensors


def save_weights(source: nn.Module | Mapping[str, Tensor], file: Path, exclude_prefixes: tuple[str, ...] = ()) -> None:
    """Writes tensors as safetensors: the whole file appears, or the old one stays.

    Args:
        source: A module or its named tensors, on any device; perhaps none, for what has nothing to learn.
        file: Target, ending in `.safetensors`; its folder is made if need be.
        exclude_prefixes: First parts of names to leave out, e.g. `("classifier",)` for a model that only describes.

    Raises:
        InputError: The name ends otherwise, the prefixes leave nothing to save, or the disk refuses (full, read-only).
    """
    file = Path(file)
    named = source.state_dict() if isinstance(source, nn.Module) else source
    if file.suffix != ".safetensors":
        raise InputError(f"{file}: weights are saved as .safetensors, not {file.suffix or 'without an ending'}")
    tensors = {
        # copies, since safetensors refuses two names for one memory
        name: tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in named.items()
        if not _is_part_of(name, exclude_prefixes)
    }
    if named and not tensors:
        raise InputError(f"{file}: no tensor is left to save without {', '.join(exclude_prefixes)}")
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as stream:
            stream.write(safetensors.torch.save(tensors))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
    except OSError as error:
        raise InputError(f"{file}: weights cannot be written ({error.strerror}); nothing was changed") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def load_timm_backbone(name: str) -> dict[str, Tensor]:
    """Fetches timm's pretrained weights by name from the Hugging Face hub, or from its cache on this machine.

    Fill a model by `fill_module(model.backbone, load_timm_backbone("hrnet_w32"), origin="hrnet_w32")`. Without a
    network the hub's client tries for about half a minute before this gives up.

    Args:
        name: A timm model, with or without a recipe: `hrnet_w32`, `hrnet_w32.ms_in1k`.

    Returns:
        Tensors by the names of timm's `features_only` model.

    Raises:
        InputError: timm has no such model or no weights of it, or they cannot be fetched.
    """
    if not timm.is_model(name):
        raise InputError(f"{name}: timm has no such model")
    try:
        backbone: nn.Module = timm.create_model(name, pretrained=True, features_only=True)
    except Exception as error:  # the hub's client raises many types when it is offline
        raise InputError(
            f"{name}: pretrained weights cannot be fetched ({type(error).__name__}); offline, give a local file instead"
        ) from error
    return backbone.state_dict()


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file as 64 hexadecimal digits, as `sha256sum` prints it.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _by_expected_name(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], origin: str
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Splits tensors into those the module knows, in its order and under its names, and the others' names."""
    found: dict[str, Tensor] = {}
    unexpected = []
    for given, tensor in tensors.items():
        name = given
        while name not in expected and (prefix := next((p for p in PREFIXES if name.startswith(p)), None)):
            name = name.removeprefix(prefix)
        if name in found:
            raise InputError(f"{origin}: two tensors claim the name {name}; expected the weights of one network")
        if name in expected:
            found[name] = tensor
        else:
            unexpected.append(given)
    return {name: found[name] for name in expected if name in found}, tuple(unexpected)


def _is_part_of(name: str, parts: tuple[str, ...]) -> bool:
    """Whether the name begins with one of the parts, dots counted: `classifier.weight` is part of `classifier`."""
    return any(name == part or name.startswith(f"{part.rstrip('.')}.") for part in parts)
