"""Costs of networks and methods, counted by hand."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from crreid.bench import cost as cost_module
from crreid.bench.cost import (
    PAPER_PAIRS,
    cost,
    fastest_seconds,
    method_counts,
    method_speed,
    multiply_adds,
    peak_bytes,
    training_pairs,
)
from crreid.data.sources import FolderSource
from crreid.data.table import ImageTable
from crreid.models.rcan import RCANSettings
from crreid.models.srcnn import SRCNNSettings
from crreid.models.vdsr import VDSR, VDSRSettings
from crreid.profiles import profile_settings
from crreid.rows import trained_rows

CPU = torch.device("cpu")
HEIGHT, WIDTH, BATCH = 12, 10, 2
PIXELS = HEIGHT * WIDTH * BATCH
FLOAT = 4  # bytes
IMAGES = torch.zeros(BATCH, 3, HEIGHT, WIDTH)
ROWS = trained_rows(profile_settings("smoke", "mlr-synthetic"))


def convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1)


def test_a_convolution_by_hand() -> None:
    found = cost(convolution(3, 8), size=(HEIGHT, WIDTH), batch=BATCH, device=CPU, repeats=3)
    assert 0 < found.pop("latency_milliseconds") < 1000
    expected = {"parameters": 3 * 8 * 9 + 8, "multiply_adds": 3 * 8 * 9 * PIXELS}
    assert found == expected | {"peak_bytes": 8 * PIXELS * FLOAT}
    assert cost(convolution(3, 8), size=(HEIGHT, WIDTH), batch=BATCH, device="meta") == expected


def test_a_linear_layer_by_hand() -> None:
    values = 3 * HEIGHT * WIDTH
    network = nn.Sequential(nn.Flatten(), nn.Linear(values, 7))
    network[1].weight.requires_grad_(False)  # frozen ones count too
    found = cost(network, size=(HEIGHT, WIDTH), batch=BATCH, device=CPU, repeats=1)
    assert (found["parameters"], found["multiply_adds"]) == (7 * values + 7, 7 * values * BATCH)
    assert found["peak_bytes"] == 7 * BATCH * FLOAT  # the flat images are a view of the input


def test_groups_and_strides_save_multiply_adds() -> None:
    grouped = nn.Conv2d(4, 8, kernel_size=3, padding=1, stride=2, groups=4)
    network = nn.Sequential(nn.Conv2d(3, 4, kernel_size=1), grouped)
    assert multiply_adds(lambda: network(IMAGES)) == 3 * 4 * PIXELS + 8 * 9 * PIXELS // 4


class Kept(nn.Module):
    """Holds its first result until the end."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        first = images + 1
        second = first.reshape(-1) * 2
        return first, (second + 1).mean()


@pytest.mark.parametrize(
    ("network", "values"),
    [
        # 3 -> 4 -> 8 -> rectified -> 1: with a copy for the rectified ones, 8 and 8 channels stand beside each other
        (nn.Sequential(convolution(3, 4), convolution(4, 8), nn.ReLU(inplace=True), convolution(8, 1)), 12 * PIXELS),
        (nn.Sequential(convolution(3, 4), convolution(4, 8), nn.ReLU(inplace=False), convolution(8, 1)), 16 * PIXELS),
        (Kept(), 3 * 3 * PIXELS + 1),  # the mean is one more
        (nn.Identity(), 0),
    ],
)
def test_peak_memory_is_of_the_tensors_alive_at_once(network: nn.Module, values: int) -> None:
    with torch.inference_mode():
        assert peak_bytes(lambda: network(IMAGES), [IMAGES, *network.parameters()]) == values * FLOAT


def test_modules_of_table_4_at_the_published_size() -> None:
    pixels = 256 * 128
    srcnn = 9 * 9 * 3 * 64 + 5 * 5 * 64 * 32 + 5 * 5 * 32 * 3
    vdsr = 3 * 3 * (3 * 64 + 18 * 64 * 64 + 64 * 3)
    attention = 18 * (64 * 4 + 4 * 64)  # 1x1 convolutions of one pixel each
    modules = {"SRCNN": SRCNNSettings(), "VDSR": VDSRSettings(attention_channels=None), "VDSR-CA": VDSRSettings()}
    modules |= {"RCAN": RCANSettings(), "RCAN, packed by 4": RCANSettings(scale=4)}
    with torch.device("meta"):
        costs = {name: cost(each.build(), size=(256, 128), device="meta") for name, each in modules.items()}
    assert costs["SRCNN"] == {"parameters": srcnn + 64 + 32 + 3, "multiply_adds": pixels * srcnn}
    assert costs["VDSR"] == {"parameters": vdsr, "multiply_adds": pixels * vdsr}
    assert costs["VDSR-CA"] == {
        "parameters": vdsr + attention + 18 * (4 + 64),
        "multiply_adds": pixels * vdsr + attention,  # 21.86 billion
    }
    ratio = {name: found["multiply_adds"] / costs["VDSR-CA"]["multiply_adds"] for name, found in costs.items()}
    assert 20 < ratio["RCAN"] < 25
    assert 1.2 < ratio["RCAN, packed by 4"] < 1.6


def test_everything_but_the_latency_repeats_and_the_network_stays_as_it_was() -> None:
    network = VDSR(VDSRSettings(depth=4, width=8)).train()
    first, second, larger = (
        cost(network, size=(32, 16), batch=batch, device=CPU, repeats=2) for batch in (BATCH, BATCH, 4 * BATCH)
    )
    for name in ("parameters", "multiply_adds", "peak_bytes"):
        assert first[name] == second[name] == larger[name] / (1 if name == "parameters" else 4)
    assert network.training


def test_runs_in_evaluation_mode_without_gradients() -> None:
    class Watchful(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            assert torch.is_inference_mode_enabled()
            assert (self.training, images.dtype) == (False, torch.float32)
            return images

    cost(Watchful().train(), size=(HEIGHT, WIDTH), device=CPU, repeats=1)


@pytest.mark.parametrize(("seconds", "fewest", "most"), [(0.0, 5 + 1, 5 + 1), (0.05, 101, 10**9)])
def test_short_passes_are_repeated_for_a_while(monkeypatch, seconds: float, fewest: int, most: int) -> None:
    monkeypatch.setattr(cost_module, "LEAST_SECONDS", seconds)
    passes: list[None] = []
    fastest_seconds(lambda: passes.append(None), CPU, 5)
    assert fewest <= len(passes) <= most


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_peak_memory_on_a_gpu_is_at_least_that_of_the_tensors() -> None:
    network = VDSR(VDSRSettings(depth=4))
    found, expected = (cost(network, size=(256, 128), device=device, repeats=2) for device in ("cuda", "cpu"))
    assert found["multiply_adds"] == expected["multiply_adds"]
    assert found["peak_bytes"] >= 0.99 * expected["peak_bytes"]


def test_parts_of_ps_hrnet_are_its_restoration_and_its_network() -> None:
    both, alone = (method_counts(ROWS[row], 6) for row in ("PS-HRNet", "HRNet-ReID-H alone"))
    pixels, width = 64 * 32, 8
    weights = 9 * (3 * width + width * width + width * 3)
    attention = 2 * width * ROWS["PS-HRNet"].method.restoration.attention_channels
    assert both["parts"]["restoration"] == pixels * weights + attention
    assert "restoration" not in alone["parts"]
    assert both["embedding_multiply_adds"] - both["parts"]["restoration"] == alone["embedding_multiply_adds"]


def test_classifier_and_teacher_count_in_training_only() -> None:
    teacher, few, many = (
        method_counts(ROWS[row], identities)
        for row, identities in (("HRNet-ReID-H alone", 6), ("PS-HRNet", 6), ("PS-HRNet", 7))
    )
    assert few["parameters_embedding"] == many["parameters_embedding"]
    module = few["parameters_embedding"] - teacher["parameters_embedding"]
    assert module > 0
    assert few["parameters_training"] == 2 * teacher["parameters_training"] + module < many["parameters_training"]


@pytest.mark.parametrize("row", ROWS)
def test_every_method_is_counted_without_computing(row: str) -> None:
    count = method_counts(ROWS[row], 6)
    assert 0 < count["parameters_embedding"] < count["parameters_training"]
    assert 0 < count["embedding_multiply_adds"] < count["training_multiply_adds"]
    if row == "small ResNet-18":  # which trains on the pair's low-resolution image alone
        # a backward pass takes two products for each of the forward pass, but none for the image that comes in
        assert 2 < count["training_multiply_adds"] / count["embedding_multiply_adds"] < 3


def test_memory_of_a_step_grows_with_the_batch_and_the_generator_stays() -> None:
    run = ROWS["small ResNet-18"]
    state = torch.get_rng_state()
    small, large = (
        method_speed(replace(run, schedule=replace(run.schedule, images_per_identity=images)), 6, CPU)
        for images in (2, 4)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert (small["step_pairs"], large["step_pairs"]) == (6, 12)
    gradients_and_momenta = 2 * FLOAT * method_counts(run, 6)["parameters_training"]
    assert gradients_and_momenta <= small["step_peak_bytes"] < large["step_peak_bytes"]
    assert min(large["images_per_second"], large["query_milliseconds"]) > 0


def test_pairs_of_a_training_are_those_of_its_batches(tmp_path) -> None:
    rows = [(f"{identity}_{image}.png", identity, 1, "train", 1.0) for identity in range(6) for image in range(5)]
    frame = pd.DataFrame(rows, columns=["path", "identity", "camera", "role", "rate"])
    table = ImageTable(name="small", rows=frame, source=FolderSource(tmp_path))
    schedule = replace(ROWS["RAIN"].schedule, epochs=2)
    assert training_pairs(table, schedule) == 2 * (6 * 2 // 3) * 12  # five images are two groups of four
    assert PAPER_PAIRS == 71 * 12_936
