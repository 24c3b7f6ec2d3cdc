import pytest
import torch

from crreid.models.srcnn import SRCNN, SRCNNSettings


def test_the_published_shape_has_69251_parameters() -> None:
    assert sum(parameter.numel() for parameter in SRCNN(SRCNNSettings()).parameters()) == 69_251


def test_one_pixel_by_hand() -> None:
    torch.manual_seed(0)
    network = SRCNN(SRCNNSettings(widths=(2, 2)))
    image = torch.randn(1, 3, 1, 1)
    value = image[0, :, 0, 0]
    for layer, rectified in ((network.extraction, True), (network.mapping, True), (network.reconstruction, False)):
        value = layer.weight[:, :, layer.kernel_size[0] // 2, layer.kernel_size[0] // 2] @ value + layer.bias
        value = value.clamp(min=0) if rectified else value
    torch.testing.assert_close(network(image)[0, :, 0, 0], value)


@pytest.mark.parametrize("widths", [(6, 6), (16, 8)])
def test_may_start_at_the_identity(widths: tuple[int, int]) -> None:
    images = torch.randn(2, 3, 12, 8)
    assert torch.equal(SRCNN(SRCNNSettings(widths=widths, initialisation="identity"))(images), images)
