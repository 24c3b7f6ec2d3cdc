import pytest
import torch
from torch import nn

from crreid.models.backbone import create_backbone


def test_without_options_it_is_timms_own() -> None:
    network = create_backbone("hrnet_w18_small", features_only=True, out_indices=(1, 2, 3, 4))
    branches = network(torch.zeros(1, 3, 64, 32))
    assert [maps.shape[1:] for maps in branches] == [(128, 16, 8), (256, 8, 4), (512, 4, 2), (1024, 2, 1)]


def test_width_and_blocks_of_an_hrnet() -> None:
    """Two blocks of the small HRNet are timm's own but for the width of its first stage."""
    same = create_backbone("hrnet_w18_small", (("width", 16), ("blocks", 2)))
    own = create_backbone("hrnet_w18_small")
    assert shapes(same, ("stage2", "stage3", "stage4")) == shapes(own, ("stage2", "stage3", "stage4"))
    narrow = create_backbone("hrnet_w18_small", (("width", 8), ("blocks", 1), ("stem_width", 4)))
    found = shapes(narrow, ("conv1", "layer1", "stage4"))
    assert found["conv1.weight"] == (4, 3, 3, 3)
    assert found["layer1.0.conv2.weight"] == (8, 8, 3, 3)
    assert found["stage4.0.branches.3.0.conv1.weight"] == (64, 64, 3, 3)
    assert not any(name.startswith("stage4.0.branches.3.1") for name in found)


def test_other_networks_take_their_own_options() -> None:
    network = create_backbone("resnet18", (("layers", (1, 1, 1, 1)),), num_classes=0)
    assert len(network.get_submodule("layer1").state_dict()) == len(shapes(network, ("layer1.0",)))


@pytest.mark.parametrize("name", ["hrnet_w18_small", "resnet18"])
def test_refuses_options_that_the_network_does_not_have(name: str) -> None:
    with pytest.raises(TypeError, match="colour"):
        create_backbone(name, (("colour", 1),))


def shapes(network: nn.Module, parts: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Of the tensors of some parts, by name."""
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items() if name.startswith(parts)}
