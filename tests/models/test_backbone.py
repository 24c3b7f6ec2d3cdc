import pytest
from torch import nn

from crreid.models.backbone import create_backbone


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


@pytest.mark.parametrize("name", ["hrnet_w18_small", "resnet18"])
def test_refuses_options_that_the_network_does_not_have(name: str) -> None:
    with pytest.raises(TypeError, match="colour"):
        create_backbone(name, (("colour", 1),))


def shapes(network: nn.Module, parts: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Of the tensors of some parts, by name."""
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items() if name.startswith(parts)}
