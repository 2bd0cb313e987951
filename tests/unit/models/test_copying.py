"""Copies that compute what the model does, and models of which there can be none."""

import threading

import pytest
import torch
from torch import nn
from torch.nn.utils import weight_norm

from initsuite.models.copying import copied


@pytest.mark.parametrize(
    "model",
    [
        nn.TransformerDecoderLayer(4, 2, 8, activation=nn.GELU()),
        nn.TransformerEncoderLayer(4, 2, 8, activation=nn.Tanh()),
        weight_norm(nn.Linear(4, 4)),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_copy_computes_what_the_model_does(model) -> None:
    """deepcopy gives torch's decoder layer another activation, and refuses weights that a hook has computed."""
    inputs = [torch.randn(3, 4, generator=torch.Generator().manual_seed(0))]
    inputs *= 2 if isinstance(model, nn.TransformerDecoderLayer) else 1
    model.eval()
    made = copied(model)
    assert torch.equal(made(*inputs), model(*inputs))
    assert not {id(each) for each in made.parameters()} & {id(each) for each in model.parameters()}


def test_what_is_replaced_stays_tied() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    other = nn.Parameter(torch.ones(3, 3))
    made = copied(model, {model[0].weight: other})
    assert made[0].weight is made[1].weight is other
    assert model[0].weight is not other


class OfOther(nn.Linear):
    def __deepcopy__(self, memo: object) -> nn.Module:
        return nn.Sequential(nn.Linear(3, 3))


class Refusing(nn.Linear):
    def __deepcopy__(self, memo: object) -> nn.Module:
        raise ValueError("there is one of me")


@pytest.mark.parametrize("kind", ["lock", OfOther, Refusing])
def test_a_model_that_cannot_be_copied_stands_in_for_itself(kind) -> None:
    model = nn.Linear(3, 3) if kind == "lock" else kind(3, 3)
    if kind == "lock":
        model.lock = threading.Lock()
    assert copied(model) is model
