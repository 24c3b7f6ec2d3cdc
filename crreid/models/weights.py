"""Weights on disk: safetensors written atomically, and read with a report of what fitted.

Files in PyTorch's own format are read with `weights_only=True`, which refuses anything but tensors and plain
containers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import safetensors.torch
import timm
import torch
from torch import Tensor, nn

from crreid.errors import InputError
from crreid.files import write_atomically

PREFIXES = ("module.", "model.", "network.", "encoder.", "backbone.")
"""Prefixes of wrappers, and of this package's methods; removed where only that makes a tensor's name known."""

CONTAINERS = ("state_dict", "model")  # keys under which training scripts keep the tensors
COUNTER = "num_batches_tracked"  # of batch normalisation; many files lack it, it changes nothing at momentum 0.1
KINDS = (".safetensors", ".pth", ".pt", ".bin")

PACKAGED = {"osnet_x0_25": "osnet_x0_25_msmt17.safetensors"}
"""Backbones for which this package has weights, and their files: see `crreid/weights/README.md`."""


def fill_module(module: nn.Module, tensors: Mapping[str, Tensor], *, origin: str, complete: bool = False) -> str:
    """Fill a module from named tensors; return a sentence on what was loaded, missing, unused or of another shape.

    Names decide, without PREFIXES; the tensors of a whole network fill its backbone, too. `origin` says in messages
    where they come from. If `complete`, none may be missing or of another shape; else some may be missing, and
    classifiers, which depend on the identities of the training set, of another shape.

    Raises:
        InputError: They fill less than half of the module, disagree in a shape, or are not finite; the module is left
            as it was.
    """
    expected = module.state_dict()
    found, unused = _by_expected_name(tensors, expected, origin)
    fitting = {name: tensor for name, tensor in found.items() if tensor.shape == expected[name].shape}
    needed = [name for name in expected if not name.endswith(COUNTER)]
    missing, misshapen = [name for name in needed if name not in found], [name for name in found if name not in fitting]
    if 2 * sum(name in fitting for name in needed) < len(needed):
        raise InputError(
            f"{origin}: weights of another architecture; of the {len(needed)} tensors needed {len(missing)} are "
            f"missing and {len(misshapen)} have another shape; {len(unused)} of the file's have no place"
        )
    for name in (*misshapen, *missing):
        if complete or (name in found and not name.startswith("classifier")):
            problem = f"has shape {tuple(found[name].shape)}" if name in found else "is missing"
            raise InputError(f"{origin}: tensor {name} {problem}; expected shape {tuple(expected[name].shape)}")
    for name, tensor in fitting.items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"{origin}: tensor {name} holds values that are not finite numbers")
    module.load_state_dict(fitting, strict=False)
    parts = [f"{origin}: {len(fitting)} tensors loaded"]
    for label, names in {"missing": missing, "unused": unused, "of another shape, left alone": misshapen}.items():
        if names:
            parts.append(f"{len(names)} {label} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})")
    return "; ".join(parts)


def read_weights(file: Path) -> dict[str, Tensor]:
    """Return all tensors of a file by name, on the CPU; InputError for a file that holds something else.

    The file is `.safetensors`, or PyTorch's `.pth`, `.pt` or `.bin` with the tensors at the top or below CONTAINERS.
    """
    if not file.is_file():
        raise InputError(f"{file}: no such file; expected weights as {', '.join(KINDS)}")
    if file.suffix not in KINDS:
        raise InputError(f"{file}: unknown kind of weights {file.suffix!r}; expected {', '.join(KINDS)}")
    try:
        if file.suffix == ".safetensors":
            return safetensors.torch.load_file(file)
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # both readers raise many types on broken or forbidden content
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{file}: not readable as weights ({type(error).__name__}: {reason})") from error
    while isinstance(content, Mapping) and (
        inner := [content[key] for key in CONTAINERS if isinstance(content.get(key), Mapping)]
    ):
        content = inner[0]
    tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, Mapping) else {}
    if not tensors:
        raise InputError(f"{file}: holds no named tensors; expected them at the top or below state_dict or model")
    return tensors


def save_weights(source: nn.Module | Mapping[str, Tensor], file: Path) -> None:
    """Write a module or its named tensors (perhaps none) as safetensors, whole or, with an InputError, not at all."""
    named = source.state_dict() if isinstance(source, nn.Module) else source
    # copies, since safetensors refuses two names for one memory
    tensors = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in named.items()}
    write_atomically(file, safetensors.torch.save(tensors))


def load_timm_backbone(name: str) -> dict[str, Tensor]:
    """Fetch timm's pretrained weights by name from the Hugging Face hub, or from its cache on this machine.

    The name is with or without a recipe, `hrnet_w32` or `hrnet_w32.ms_in1k`; tensors have the names of timm's
    `features_only` model. Raises InputError where they cannot be had (offline after half a minute).
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
    """Return the SHA-256 of a file as 64 hexadecimal digits. Raises InputError where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def packaged_file(backbone: str) -> Path:
    """Return the file of this package with weights of one of the backbones of PACKAGED."""
    return Path(__file__).parents[1] / "weights" / PACKAGED[backbone]


@cache
def packaged_starts() -> dict[str, str]:
    """Return `file <sha256>` of the packaged weights by the backbones of PACKAGED."""
    return {backbone: f"file {digest_of_file(packaged_file(backbone))}" for backbone in PACKAGED}


def _by_expected_name(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], origin: str
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors that the module knows, in its order and by its names, and the names of the others."""
    found: dict[str, Tensor] = {}
    unused = []
    for given, tensor in tensors.items():
        name = given
        while name not in expected and (prefix := next((p for p in PREFIXES if name.startswith(p)), None)):
            name = name.removeprefix(prefix)
        if name in found:
            raise InputError(f"{origin}: two tensors claim the name {name}; expected the weights of one network")
        if name in expected:
            found[name] = tensor
        else:
            unused.append(given)
    return {name: found[name] for name in expected if name in found}, unused


PERCEPTUAL = "lpips"
NO_FILES = ("packaged", "random", "timm")


@dataclass(frozen=True, kw_only=True)
class StartingWeights:
    """The start of every backbone of a study.

    Attributes:
        default: `packaged`, `random`, `timm` or `file <sha256>`, for every backbone that `of_backbone` does not name.
        of_backbone: Pairs of a backbone's name and its start.
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

        `text` is `packaged` (this package's weights for the backbones of PACKAGED, the others at random), `random`,
        `timm` or a path, for all backbones; or, separated by commas, `resnet50=PATH` for some, the others starting at
        random (or as an entry without `=` says). `lpips=PATH` is no start, but LPIPS's AlexNet.

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
        """Return `random`, `timm` or `file <sha256>` for a backbone; a method without one (empty name) has `random`."""
        start = dict(self.of_backbone).get(backbone, self.default) if backbone else "random"
        return packaged_starts().get(backbone, "random") if start == "packaged" else start


def weights_entries(text: str) -> list[tuple[str, str]]:
    """Split a notebook's parameter into entries: a backbone, `lpips` or nothing, and a value.

    A path may hold an equals sign: what stands before it counts only where it is one of those names.
    """
    entries = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = entry.partition("=")
        named = equals and (name == PERCEPTUAL or name in PACKAGED or timm.is_model(name))
        entries.append((name, value) if named else ("", entry))
    return entries


RANDOM_WEIGHTS = StartingWeights()
