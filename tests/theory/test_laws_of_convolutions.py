"""Delta-orthogonal kernels: the spectrum of the convolution as a linear map of images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from initsuite.activations import ActivationLayer
from initsuite.errors import ConfigError
from initsuite.init import (
    DeltaOrthogonal,
    Orthogonal,
)
from initsuite.models.describe.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.spec import Activation
from support.laws import draw

ROUNDING = 1e-5
"""Of singular values in float32."""


def linear(first: int, second: int, phi: Activation) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Linear(first, second), ActivationLayer(phi), nn.Linear(second, 10))


PIXELS = 5


def operator(convolution: nn.Module, weight: Tensor, channels: int) -> Tensor:
    """The matrix [output, input] of a convolution of images of 5 x 5 pixels, column by column."""
    basis = torch.eye(channels * PIXELS**2).reshape(-1, channels, PIXELS, PIXELS)
    return torch.func.functional_call(convolution, {"weight": weight}, (basis,)).flatten(1).T


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("gain", [1.0, 1.5])
@pytest.mark.parametrize(
    "options",
    [{"padding": 1, "padding_mode": "circular"}, {"padding": 1}, {"kernel_size": 4, "padding": "same"}],
    ids=["circular", "zero", "even"],
)
@pytest.mark.parametrize(("inputs", "outputs", "groups"), [(3, 6, 1), (4, 4, 1), (4, 8, 2), (4, 4, 4)])
def test_delta_orthogonal_is_an_isometry_and_flattened_orthogonal_is_not(
    inputs: int, outputs: int, groups: int, options: dict[str, Any], gain: float
) -> None:
    options = {"kernel_size": 3, "bias": False, "groups": groups, **options}

    def build() -> nn.Module:
        return nn.Conv2d(inputs, outputs, **options)

    def singular_values(law: object) -> Tensor:
        return torch.linalg.svdvals(operator(build(), draw(law, build)["weight"], inputs))

    assert (singular_values(DeltaOrthogonal(gain)) - gain).abs().max() < ROUNDING
    flattened = singular_values(Orthogonal(gain))
    assert float(flattened.max() / flattened.min()) > 1.5


def test_delta_orthogonal_is_haar_at_the_centre_and_0_around_it() -> None:
    kernel = draw(DeltaOrthogonal(2.0), lambda: nn.Conv3d(4, 6, (3, 5, 1)))["weight"]
    centre = kernel[:, :, 1, 2, 0].double()
    torch.testing.assert_close(centre.T @ centre, 4 * torch.eye(4, dtype=torch.float64), atol=ROUNDING, rtol=0)
    assert int(kernel.count_nonzero()) == 24
    even = draw(DeltaOrthogonal(), lambda: nn.Conv1d(4, 4, 6))["weight"]
    assert even[..., 2].all()
    assert int(even.count_nonzero()) == 16


def test_delta_orthogonal_of_a_transposed_convolution() -> None:
    def build() -> nn.Module:
        return nn.ConvTranspose2d(3, 6, 3, padding=1, bias=False)

    weight = draw(DeltaOrthogonal(), build)["weight"]
    assert (torch.linalg.svdvals(operator(build(), weight, 3)) - 1).abs().max() < ROUNDING


def test_delta_orthogonal_draws_matrices_as_orthogonal_does() -> None:
    for build in (lambda: nn.Linear(64, 16), lambda: nn.Conv2d(64, 16, 1), lambda: nn.GRU(12, 8)):
        ours, theirs = draw(DeltaOrthogonal(1.3), build), draw(Orthogonal(1.3), build)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("build", [lambda: nn.Conv2d(8, 4, 3), lambda: nn.ConvTranspose1d(8, 4, 3)])
def test_delta_orthogonal_refuses_to_narrow(build: Callable[[], nn.Module]) -> None:
    with pytest.raises(ConfigError, match=r"no isometry in `weight`.*8 input channels, 4 output.*init=orthogonal, or"):
        draw(DeltaOrthogonal(), build)
    with pytest.raises(ConfigError, match=r"DeltaOrthogonal: bad value `gain`=0.*one of: auto, backward, torch"):
        DeltaOrthogonal(0)


def test_declared_std_of_orthogonal_laws_is_the_mean_square_of_the_entries() -> None:
    for law in (Orthogonal(1.2), DeltaOrthogonal(1.2)):
        for build in (lambda: nn.Conv2d(8, 16, 3), lambda: nn.Linear(30, 20), lambda: nn.ConvTranspose2d(8, 16, 3)):
            model = skeleton(build)
            weight = draw(law, build)["weight"]
            # exact: all singular values are the gain
            assert float(weight.square().mean().sqrt()) == pytest.approx(law.declared_std(describe(model)[0]), rel=1e-5)
