from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from crreid.errors import InputError
from crreid.evaluation import cost as cost_module
from crreid.evaluation.cost import cost, multiply_adds, peak_bytes
from crreid.models.vdsr import VDSR, VDSRSettings

CPU = torch.device("cpu")
HEIGHT, WIDTH, BATCH = 12, 10, 2
PIXELS = HEIGHT * WIDTH * BATCH
FLOAT = 4  # bytes
IMAGES = torch.zeros(BATCH, 3, HEIGHT, WIDTH)


def convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1)


def test_a_convolution_by_hand() -> None:
    found = cost(convolution(3, 8), size=(HEIGHT, WIDTH), batch=BATCH, device=CPU, repeats=3)
    assert found.parameters == 3 * 8 * 9 + 8
    assert found.multiply_adds == 3 * 8 * 9 * PIXELS
    assert found.peak_bytes == 8 * PIXELS * FLOAT
    assert 0 < found.latency_milliseconds < 1000


def test_a_linear_layer_by_hand() -> None:
    values = 3 * HEIGHT * WIDTH
    network = nn.Sequential(nn.Flatten(), nn.Linear(values, 7))
    network[1].weight.requires_grad_(False)  # frozen ones count too
    found = cost(network, size=(HEIGHT, WIDTH), batch=BATCH, device=CPU, repeats=1)
    assert found.parameters == 7 * values + 7
    assert found.multiply_adds == 7 * values * BATCH
    assert found.peak_bytes == 7 * BATCH * FLOAT  # the flat images are a view of the input


def test_groups_and_strides_save_multiply_adds() -> None:
    grouped = nn.Conv2d(4, 8, kernel_size=3, padding=1, stride=2, groups=4)
    network = nn.Sequential(nn.Conv2d(3, 4, kernel_size=1), grouped)
    assert multiply_adds(network, IMAGES) == 3 * 4 * PIXELS + 8 * 9 * PIXELS // 4


@pytest.mark.parametrize(("inplace", "alive"), [(True, 4 + 8), (False, 8 + 8)])
def test_peak_memory_is_of_the_tensors_alive_at_once(inplace: bool, alive: int) -> None:
    # 3 -> 4 -> 8 -> rectified -> 1: with a copy for the rectified ones, 8 and 8 channels stand beside each other
    network = nn.Sequential(convolution(3, 4), convolution(4, 8), nn.ReLU(inplace=inplace), convolution(8, 1))
    assert peak_bytes(network, IMAGES) == alive * PIXELS * FLOAT


class Kept(nn.Module):
    """Holds its first result until the end."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        first = images + 1
        second = first.reshape(-1) * 2
        return first, (second + 1).mean()


def test_a_tensor_that_is_kept_counts_until_the_end() -> None:
    assert peak_bytes(Kept(), IMAGES) == 3 * 3 * PIXELS * FLOAT + FLOAT  # the mean is one more


def test_nothing_is_free_of_cost() -> None:
    found = cost(nn.Identity(), size=(HEIGHT, WIDTH), device=CPU, repeats=1)
    assert (found.parameters, found.multiply_adds, found.peak_bytes) == (0, 0, 0)


def test_vdsr_of_the_paper() -> None:
    found = cost(VDSR(VDSRSettings()), size=(256, 128), device=CPU, repeats=1)
    assert found.parameters == 677_448
    convolutions = (2 * 3 * 64 + 18 * 64 * 64) * 9 * 256 * 128
    attention = 18 * 2 * 64 * 4
    assert found.multiply_adds == convolutions + attention  # 21.86 billion
    # a layer's input, its convolution and its attended result, and the first layer's output, which the call holds
    assert found.peak_bytes == pytest.approx(4 * 64 * 256 * 128 * FLOAT, rel=1e-3)


def test_multiply_adds_need_no_computation() -> None:
    settings = VDSRSettings(depth=200)  # minutes on a processor
    with torch.device("meta"):
        network, images = VDSR(settings), torch.empty(8, 3, 256, 128)
    assert multiply_adds(network, images) > 1e12


def test_everything_but_the_latency_repeats() -> None:
    network = VDSR(VDSRSettings(depth=4, width=8)).train()
    first, second = (cost(network, size=(32, 16), batch=BATCH, device=CPU, repeats=2) for _ in range(2))
    assert replace(first, latency_milliseconds=0) == replace(second, latency_milliseconds=0)
    assert not network.training


def test_multiply_adds_grow_with_the_batch_and_weights_do_not() -> None:
    network = VDSR(VDSRSettings(depth=4, width=8))
    one, four = (cost(network, size=(32, 16), batch=batch, device=CPU, repeats=1) for batch in (1, 4))
    assert four.multiply_adds == 4 * one.multiply_adds
    assert four.peak_bytes == 4 * one.peak_bytes
    assert four.parameters == one.parameters


def test_runs_in_evaluation_mode_without_gradients() -> None:
    class Watchful(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            assert not self.training
            assert torch.is_inference_mode_enabled()
            assert images.dtype == torch.float32
            return images

    cost(Watchful().train(), size=(HEIGHT, WIDTH), device=CPU, repeats=1)


def test_short_passes_are_repeated_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(nn.Module):
        passes = 0

        def forward(self, images: Tensor) -> Tensor:
            self.passes += 1
            return images

    passes = []
    for seconds in (0.0, 0.05):
        monkeypatch.setattr(cost_module, "LEAST_SECONDS", seconds)
        network = Counting()
        cost(network, size=(HEIGHT, WIDTH), device=CPU, repeats=5)
        passes.append(network.passes)
    assert passes[0] == 5 + 2
    assert passes[1] > 100


def test_refuses_no_repeats() -> None:
    with pytest.raises(InputError, match="repeats must be at least 1, not 0"):
        cost(nn.Identity(), size=(HEIGHT, WIDTH), device=CPU, repeats=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_peak_memory_on_a_gpu_is_at_least_that_of_the_tensors() -> None:
    network = VDSR(VDSRSettings(depth=4))
    found = cost(network, size=(256, 128), device=torch.device("cuda"), repeats=2)
    expected = cost(network, size=(256, 128), device=CPU, repeats=1)
    assert found.multiply_adds == expected.multiply_adds
    assert found.peak_bytes >= 0.99 * expected.peak_bytes
