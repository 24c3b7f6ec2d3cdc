import pytest
import torch

from crreid.errors import InputError
from crreid.models.interpolation import Interpolation, InterpolationSettings


def test_returns_its_input_and_has_no_weights() -> None:
    module = InterpolationSettings().build()
    images = torch.randn(2, 3, 5, 4)
    assert torch.equal(module(images), images)
    assert not list(module.parameters())
    assert isinstance(module, Interpolation)
    assert InterpolationSettings().title == "Bicubic"


def test_refuses_an_unknown_filter_and_other_shapes() -> None:
    with pytest.raises(InputError, match="no filter 'cubic'"):
        InterpolationSettings(filter="cubic")
    with pytest.raises(InputError, match="Bicubic expects images"):
        InterpolationSettings().build()(torch.zeros(2, 1, 4, 4))
