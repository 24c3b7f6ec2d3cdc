import pytest
import timm
import torch
from torch import nn

from crreid.models.cross_resolution_encoder import CrossResolutionEncoder, CrossResolutionEncoderSettings
from crreid.models.discriminators import DiscriminatorSettings, StridedDiscriminator
from crreid.models.image_decoder import ImageDecoder, ImageDecoderSettings

SMALL = CrossResolutionEncoderSettings(backbone="resnet18")


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def encoder() -> CrossResolutionEncoder:
    torch.manual_seed(0)
    return CrossResolutionEncoder(SMALL).eval()


def decoder_of(encoder: CrossResolutionEncoder, **settings: int | bool) -> ImageDecoder:
    torch.manual_seed(1)
    return ImageDecoder(ImageDecoderSettings(**{"width": 2, **settings}), encoder.channels)


def test_the_papers_size_on_paper() -> None:
    with torch.device("meta"):
        encoder = CrossResolutionEncoder(CrossResolutionEncoderSettings())
        decoder = ImageDecoder(ImageDecoderSettings(), encoder.channels)
        judges = DiscriminatorSettings()
        feature_judge, image_judge = judges.build_for_features(encoder.channels[-1]), judges.build_for_images()
        features = encoder(torch.zeros(2, 3, 256, 128))
        assert features[-1].shape == (2, 2048, 8, 4)
        assert decoder(features, torch.zeros(2, 3, 256, 128)).shape == (2, 3, 256, 128)
        assert feature_judge(features[-1]).shape == (2, 1, 8, 4)
        assert image_judge(torch.zeros(2, 3, 256, 128)).shape == (2, 1)
    assert parameters(encoder) == 23_508_032  # ResNet-50 without its classifier
    assert parameters(image_judge) == 11_176_512 + 513  # ResNet-18's, and one output
    kernels = [2048 * 64, 64 * 128, 128 * 256, 256 * 512, 512]
    assert parameters(feature_judge) == 9 * sum(kernels) + 64 + 128 + 256 + 512 + 1


def test_the_last_map_is_the_backbones_and_pretrained_names_fit(encoder: CrossResolutionEncoder) -> None:
    plain = timm.create_model("resnet18", pretrained=False, num_classes=0, global_pool="").eval()
    plain.load_state_dict(encoder.backbone.state_dict())
    images = torch.randn(2, 3, 64, 32)
    with torch.inference_mode():
        torch.testing.assert_close(encoder(images)[-1], plain(images))


def test_a_block_of_the_decoder_is_miyatos(encoder: CrossResolutionEncoder) -> None:
    """Its shortcut, convolved before it is enlarged, equals the original's order."""
    block = decoder_of(encoder).blocks[1].eval()
    x = torch.randn(2, 32, 4, 2)
    with torch.inference_mode():
        enlarged = block.enter(x).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        shortcut = block.shortcut(x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))
        torch.testing.assert_close(block(x), block.then(block.first(enlarged)) + shortcut)


def test_the_decoders_gradient_by_finite_differences() -> None:
    torch.manual_seed(0)
    decoder = ImageDecoder(ImageDecoderSettings(width=1), (1, 1, 1, 1, 1)).double().eval()
    sizes = [(2**k, 2**k) for k in range(4, -1, -1)]
    features = [torch.randn(1, 1, *size, dtype=torch.float64, requires_grad=True) for size in sizes]
    images = torch.zeros(1, 3, 32, 32, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *deep: decoder([*features[:2], *deep], images).square().mean(), features[2:])


@pytest.mark.parametrize("shape", [(64, 8, 4), (64, 2, 1), (64, 1, 1), (3, 64, 32)])
def test_gradients_over_the_smallest_maps_are_right_in_half_precision(shape: tuple[int, int, int]) -> None:
    """PyTorch 2.15 on processors leaves memory unwritten for some kernels; memory left full of NaN shows it."""
    torch.manual_seed(0)
    settings = DiscriminatorSettings(widths=(64, 64, 64, 64), image_backbone=None)
    judge = settings.build_for_images() if shape[0] == 3 else settings.build_for_features(64)
    maps = torch.randn(12, *shape)
    judge(maps).square().sum().backward()
    expected = [parameter.grad for parameter in judge.parameters()]
    for _ in range(5):
        left = torch.full((64 * 64 * 9,), torch.nan)
        del left
        judge.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16):
            judge(maps.bfloat16()).float().square().sum().backward()
        for parameter, gradient in zip(judge.parameters(), expected, strict=True):
            scale = max(gradient.abs().max().item(), 1e-3)
            torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=0.3 * scale)


@pytest.mark.parametrize("backbone", ["resnet18", None])
@pytest.mark.parametrize("size", [(128, 64), (64, 32)])
def test_an_image_is_judged_alone(backbone: str | None, size: tuple[int, int]) -> None:
    """Neither in training nor in testing does the rest of the batch matter."""
    torch.manual_seed(0)
    judge = DiscriminatorSettings(image_backbone=backbone, widths=(4, 4, 4, 4)).build_for_images().train()
    images = torch.randn(3, 3, *size)
    with torch.no_grad():
        together, alone = judge(images), judge(images[:1])
        torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-5)
    assert together.shape[:2] == (3, 1)
    assert isinstance(judge, StridedDiscriminator) == (backbone is None)
