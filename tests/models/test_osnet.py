import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from crreid.data.datasets import find_dataset
from crreid.data.pixels import PixelCache
from crreid.errors import InputError
from crreid.evaluation.evaluate import embed_table
from crreid.evaluation.ranking import RetrievalLabels, multi_shot
from crreid.methods.lrar import squared_distances
from crreid.methods.restore_and_identify import RestoreAndIdentifySettings
from crreid.models.osnet import OmniScaleBlock, OSNet, OSNetSettings
from crreid.models.weights import fill_module, packaged_file, read_weights


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return read_weights(packaged_file("osnet_x0_25"))


@pytest.fixture(scope="module")
def network(tensors: dict[str, Tensor]) -> OSNet:
    network = OSNet()
    fill_module(network, tensors, origin="packaged", complete=True)
    return network.eval()


def test_the_papers_size() -> None:
    assert sum(parameter.numel() for parameter in OSNet().parameters()) == 201_864
    classifier = OSNetSettings().build(751)
    assert sum(parameter.numel() for parameter in classifier.parameters()) == 201_864 + 512 * 751 + 751
    assert classifier.backbone.num_features == 512


def test_the_packaged_weights_fill_it_by_name(tensors: dict[str, Tensor]) -> None:
    network = OSNet()
    names = {name for name in network.state_dict() if not name.endswith("num_batches_tracked")}
    assert names == set(tensors)
    report = fill_module(network, tensors, origin="packaged", complete=True)
    assert report == "packaged: 485 tensors loaded"
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in tensors.items())


def normalised(maps: Tensor, tensors: dict[str, Tensor], name: str) -> Tensor:
    mean, variance, scale, shift = (
        tensors[f"{name}.{part}"].view(-1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (maps - mean) / (variance + 1e-5).sqrt() * scale + shift


def block_by_hand(maps: Tensor, tensors: dict[str, Tensor], name: str) -> Tensor:
    """The paper's block, image by image and stream by stream."""
    w = {key.removeprefix(f"{name}."): tensor for key, tensor in tensors.items() if key.startswith(f"{name}.")}
    narrow = normalised(functional.conv2d(maps, w["conv1.conv.weight"]), w, "conv1.bn").clamp(min=0)
    total = torch.zeros_like(narrow)
    for depth, letter in enumerate("abcd", start=1):
        stream = narrow
        for step in range(depth):
            part = f"conv2{letter}" if depth == 1 else f"conv2{letter}.{step}"
            pointwise = torch.einsum("oi,nihw->nohw", w[f"{part}.conv1.weight"][:, :, 0, 0], stream)
            channels = [
                functional.conv2d(pointwise[:, [c]], w[f"{part}.conv2.weight"][[c]], padding=1)
                for c in range(pointwise.shape[1])
            ]
            stream = normalised(torch.cat(channels, dim=1), w, f"{part}.bn").clamp(min=0)
        averages = stream.sum(dim=(2, 3)) / (stream.shape[2] * stream.shape[3])
        hidden = (averages @ w["gate.fc1.weight"][:, :, 0, 0].T + w["gate.fc1.bias"]).clamp(min=0)
        gate = 1 / (1 + torch.exp(-(hidden @ w["gate.fc2.weight"][:, :, 0, 0].T + w["gate.fc2.bias"])))
        total = total + gate[:, :, None, None] * stream
    mixed = normalised(functional.conv2d(total, w["conv3.conv.weight"]), w, "conv3.bn")
    if "downsample.conv.weight" in w:
        maps = normalised(functional.conv2d(maps, w["downsample.conv.weight"]), w, "downsample.bn")
    return (mixed + maps).clamp(min=0)


@pytest.mark.parametrize("name", ["conv2.0", "conv2.1", "conv3.0", "conv4.0", "conv4.1"])
def test_a_block_equals_the_formulas(network: OSNet, tensors: dict[str, Tensor], name: str) -> None:
    block: Any = network.get_submodule(name)
    assert isinstance(block, OmniScaleBlock)
    maps = torch.randn(2, block.conv1.conv.in_channels, 8, 4, generator=torch.Generator().manual_seed(0)).abs()
    with torch.inference_mode():
        torch.testing.assert_close(block(maps), block_by_hand(maps, tensors, name), rtol=1e-4, atol=1e-4)


def test_maps_of_every_depth_and_what_follows_each_block(network: OSNet) -> None:
    images = torch.randn(2, 3, 128, 64, generator=torch.Generator().manual_seed(0))
    seen: list[tuple[int, ...]] = []

    def note(maps: Tensor) -> Tensor:
        seen.append(tuple(maps.shape[1:]))
        return torch.zeros_like(maps) if len(seen) == 6 else maps

    with torch.inference_mode():
        maps = network.maps(images)
        expected = [(16, 64, 32), (64, 32, 16), (96, 16, 8), (128, 8, 4), (128, 8, 4)]
        assert [tuple(each.shape[1:]) for each in maps] == expected
        torch.testing.assert_close(network.pooled(images), maps[-1].mean(dim=(2, 3)))
        torch.testing.assert_close(network(images), network.fc(maps[-1].mean(dim=(2, 3))))
        changed = network.maps(images, note)
    assert seen == [(64, 32, 16), (64, 32, 16), (96, 16, 8), (96, 16, 8), (128, 8, 4), (128, 8, 4)]
    torch.testing.assert_close(changed[2], maps[2])
    assert not changed[3].any()
    assert not torch.allclose(changed[4], maps[4])


def test_gradients_reach_all_parameters() -> None:
    torch.manual_seed(0)
    network = OSNetSettings().build(3).train()
    output = network(torch.randn(4, 3, 64, 32))
    assert output.features.shape == (4, 512)
    (functional.cross_entropy(output.logits[0], torch.tensor([0, 1, 2, 0])) + output.features.mean()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # a gate has one hidden unit, which may be off for all images
        assert parameter.grad.any() or ".gate." in name, name


def test_descriptors_are_float32_under_autocast_and_do_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    network, images = OSNetSettings().build(5).eval(), torch.randn(3, 3, 64, 32)
    with torch.inference_mode():
        together, alone = network.embed(images), network.embed(images[:1])
        torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(network(images).features, together)
        with torch.autocast("cpu", torch.bfloat16):
            assert network.embed(images).dtype == torch.float32


def test_a_shorter_descriptor_but_no_other_backbone_or_options() -> None:
    assert OSNetSettings(feature_length=32).build(3).embed(torch.randn(2, 3, 64, 32)).shape == (2, 32)
    assert (OSNetSettings().title, OSNetSettings().runs_on) == ("OSNet x0.25", "osnet_x0_25")
    with pytest.raises(InputError, match="backbone must be one of osnet_x0_25, not 'resnet50'"):
        OSNetSettings(backbone="resnet50")
    with pytest.raises(InputError, match="no options"):
        OSNetSettings(backbone_options=(("width", 8),))


@pytest.mark.slow
@pytest.mark.skipif(
    not {"CRREID_MARKET1501", "CRREID_OSNET_MARKET1501"} <= os.environ.keys(),
    reason="CRREID_MARKET1501 names no copy of Market-1501, or CRREID_OSNET_MARKET1501 no weights trained on it",
)
def test_the_authors_weights_give_the_authors_numbers(tmp_path: Path) -> None:
    """Proof of the whole evaluation: the paper's zoo prints a rank-1 of 91.2 and a mean average precision of 75.0."""
    method = RestoreAndIdentifySettings(network=OSNetSettings()).build(751)
    file = Path(os.environ["CRREID_OSNET_MARKET1501"])
    fill_module(method.network.backbone, read_weights(file), origin=file.name, complete=True)
    table = find_dataset("market-1501").read(Path(os.environ["CRREID_MARKET1501"]))
    tested = table.with_role("query", "gallery", "distractor")
    query, gallery = tested.with_role("query"), tested.with_role("gallery", "distractor")
    pixels, device = PixelCache(tested, tmp_path), torch.device("cpu")
    with torch.inference_mode():
        descriptors = [
            embed_table(method, each, pixels, (256, 128), flip=False, device=device, precision="fp32")
            for each in (query, gallery)
        ]
    scores = multi_shot(squared_distances(*descriptors), RetrievalLabels.from_tables(query, gallery))
    overall = scores[scores["rate"].isna()].set_index("metric")["value"]
    found = {metric: 100 * overall[metric] for metric in ("rank1", "map_hit", "map_trapezoid")}
    assert found == pytest.approx({"rank1": 91.18, "map_hit": 74.94, "map_trapezoid": 74.22}, abs=0.02)
