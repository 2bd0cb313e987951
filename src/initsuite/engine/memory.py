"""What a trial takes of memory, what is free, and what to say where that is too little."""

from __future__ import annotations

from collections.abc import Iterable

import psutil
import torch
from torch import Tensor, nn

from initsuite.data.base import map_tree
from initsuite.engine.container import container_free
from initsuite.engine.passes import arguments
from initsuite.engine.workload import Workload
from initsuite.wording import format_bytes

NUMBER = 4
"""Bytes of a number in float32."""
COPIES = 5
"""Copies of the parameters of a trial in training: themselves, gradients, at most two moments, the steps of Adam."""
SET_UP_COPIES = 4
"""Further copies while it is set up: the model's, those drawn, and reordered. Measured: 7.8 in all."""
ACTIVATION_COPIES = 3
"""Copies of each layer's output: itself, its gradient, and what the backward pass keeps."""


def set_up_bytes(model: nn.Module) -> int:
    """Memory of the CPU that it takes to make a model and to draw its parameters, in bytes, whatever it trains on."""
    return NUMBER * SET_UP_COPIES * _num_parameters(model)


def bytes_a_trial(workload: Workload) -> int:
    """Memory that a trial of a stack takes, in bytes: state and the activations of one batch, estimated."""
    activations = workload.batch_size * sum(_outputs_of_one_example(workload))
    return NUMBER * (COPIES * _num_parameters(workload.model) + ACTIVATION_COPIES * activations)


def least_free(devices: Iterable[str]) -> tuple[int, str]:
    """Bytes that are free on the device that has the fewest, and this device."""
    return min((_free(torch.device(device)), device) for device in devices)


def lacking(name: str, model: nn.Module, needed: int, why: str, devices: Iterable[str] = ("cpu",)) -> str:
    """An error message for a model that needs more memory than there is; empty where there is enough.

    Args:
        name: of the model in its group.
        needed: bytes.
        why: what they are for.
        devices: each of them must have so many.
    """
    free, device = least_free(devices)
    if needed <= free:
        return ""
    return (
        f"model={name}: its {_num_parameters(model):,} parameters do not fit into memory. Got about "
        f"{format_bytes(needed)} to {why}. Expected at most the {format_bytes(free)} that are free on {device}. "
        "Use a narrower model."
    )


def _num_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _free(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return int(min(psutil.virtual_memory().available, container_free()))


def _outputs_of_one_example(workload: Workload) -> list[int]:
    """How many numbers each layer of a model outputs for one example, found by running it without values."""
    model, sizes = workload.model, list[int]()

    def note(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel())

    hooks = [module.register_forward_hook(note) for module in model.modules() if not any(module.children())]
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    shells = {name: torch.empty_like(value, device="meta") for name, value in state.items()}
    was_training = model.training
    try:
        inputs = map_tree(lambda tensor: torch.empty_like(tensor[:1], device="meta"), workload.dataset.train.inputs)
        # in training, BatchNorm refuses one example
        torch.func.functional_call(model.eval(), shells, *arguments(inputs))
    except Exception:  # a model that looks at values; its parameters alone are counted
        return []
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return sizes
