"""torchvision's models as ours."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from initsuite.activations import activation
from initsuite.data.torchvision_import import import_torchvision
from initsuite.errors import ConfigError
from initsuite.models import TorchvisionModel

ROUNDING = 1e-4
"""Absolute, of outputs of order 1 in float32: 6e-8 a term, over tens of layers of thousands of terms."""
RELU = activation("relu")
SMALL = "shufflenet_v2_x0_5"


def zoo(arch: str = SMALL, channels: int = 3, side: int = 32, **options: Any) -> TorchvisionModel:
    return TorchvisionModel((channels, side, side), 10, RELU, arch=arch, **options)


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_it_is_torchvisions_own() -> None:
    ours, images = zoo().eval(), noise(2, 3, 32, 32)
    theirs = import_torchvision().models.get_model(SMALL, num_classes=10).eval()
    theirs.load_state_dict(ours.model.state_dict())
    assert torch.equal(ours(images), theirs(images))
    assert ours.label == SMALL
    assert ours.training is False
    assert zoo().training is True


def test_one_channel_is_repeated_to_three() -> None:
    grey, coloured = zoo(channels=1).eval(), zoo().eval()
    coloured.load_state_dict(grey.state_dict())
    image = noise(2, 1, 32, 32)
    assert torch.equal(grey(image), coloured(torch.cat([image] * 3, 1)))


def test_images_are_scaled_on_request() -> None:
    scaled, whole = zoo(side=8, image_size=32).eval(), zoo().eval()
    whole.load_state_dict(scaled.state_dict())
    images = noise(2, 3, 8, 8)
    larger = nn.functional.interpolate(images, size=(32, 32), mode="bilinear")
    assert torch.equal(scaled(images), whole(larger))
    assert scaled.label == f"{SMALL}-32px"


def test_nothing_is_drawn_in_a_step() -> None:
    """Dropout and stochastic depth are off, and named; two passes in training mode agree."""
    model = zoo("efficientnet_b0")
    assert "model.classifier.0" in {f"model.{name}" for name in model.switched_off}
    assert sum("features" in name for name in model.switched_off) >= 8  # stochastic depth of each block with a shortcut
    assert all(name in repr(model) for name in model.switched_off)
    images, before = noise(2, 3, 32, 32), torch.get_rng_state()
    assert torch.equal(copy.deepcopy(model)(images), model(images))
    assert torch.equal(before, torch.get_rng_state())


def test_a_model_without_random_numbers_has_nothing_to_switch_off() -> None:
    assert zoo().switched_off == ()


def test_no_layer_writes_over_its_input() -> None:
    assert not any(getattr(module, "inplace", False) for module in zoo("mobilenet_v3_small").modules())


def test_the_fused_kernels_are_back_after_a_pass() -> None:
    model = zoo()
    for enabled in (True, False):
        torch.backends.mha.set_fastpath_enabled(enabled)
        try:
            model(noise(2, 3, 32, 32))
            assert torch.backends.mha.get_fastpath_enabled() is enabled
        finally:
            torch.backends.mha.set_fastpath_enabled(True)


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["resnet18", "vgg11", "vit_b_16", "mobilenet_v3_small", "swin_t", "googlenet"])
@pytest.mark.filterwarnings("error:.*(dot_product|multi_head)")  # attention that vmap would run as a loop
def test_an_architecture_can_be_stacked(arch: str) -> None:
    """Mapped over two trials, gradients included; outputs equal those of each alone."""
    torch.manual_seed(0)
    has_batch_norm = arch in ("resnet18", "mobilenet_v3_small", "googlenet")  # over few examples: needs float64
    dtype = torch.float64 if has_batch_norm else torch.float32
    model = zoo(arch, image_size=64 if arch == "googlenet" else None).to(dtype)
    images = noise(2, 4, 3, 32, 32).to(dtype)
    params = {name: torch.stack([value.detach(), 0.9 * value.detach()]) for name, value in model.named_parameters()}
    params = {name: value.requires_grad_() for name, value in params.items()}
    buffers = {name: torch.stack([value] * 2) for name, value in model.named_buffers()}

    def outputs(params: Any, buffers: Any, images: Tensor) -> Tensor:
        buffers = {name: value.clone() for name, value in buffers.items()}
        return functional_call(model, (params, buffers), (images,))

    for is_training in (True, False):
        stacked = vmap(outputs)(params, buffers, images)
        for trial in range(2):
            alone = outputs(
                {name: value[trial] for name, value in params.items()},
                {name: value[trial] for name, value in buffers.items()},
                images[trial],
            )
            torch.testing.assert_close(stacked[trial], alone, rtol=ROUNDING, atol=ROUNDING)
        if is_training:
            grads = torch.autograd.grad(stacked.square().sum(), list(params.values()))
            assert all(grad.isfinite().all() for grad in grads)
        model.eval()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arch": "resnet19"}, "unknown `arch`='resnet19'. Expected one of: .*resnet18.*Did you mean"),
        ({"channels": 2}, r"`input_shape`=\(2, 32, 32\). Expected images of 1 or 3 channels"),
        ({"image_size": 0}, "`image_size`=0. Expected a whole number from 1"),
        (
            {"arch": "squeezenet1_0", "side": 4},
            "`arch`='squeezenet1_0' cannot take images of 4x4.*Set model.image_size",
        ),
        ({"arch": "vit_b_16", "side": 20}, "`arch`='vit_b_16' cannot be built: .*divisible by patch size"),
    ],
    ids=str,
)
def test_it_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"TorchvisionModel: .*{message}"):
        zoo(**options)


def test_it_refuses_inputs_that_are_not_images() -> None:
    with pytest.raises(ConfigError, match=r"TorchvisionModel: .*Expected \[channel, height, width\]"):
        TorchvisionModel((64,), 10, RELU)
