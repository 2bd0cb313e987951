"""From laws for one tensor to an initializer for a model."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from initsuite import rng
from initsuite.errors import ConfigError, InitsuiteError
from initsuite.init.base.layout import assembled, each_block
from initsuite.init.constant import Constant
from initsuite.init.distributions import Normal
from initsuite.init.in_place import as_law
from initsuite.init.variance_scaling import VarianceScaling
from initsuite.models.describe.layers import WEIGHTS
from initsuite.spec import Initialization, Initializer, ParamSpec, Probe, Role, Specs, TensorInit, is_finite

TENSOR_SIGNATURE = "__call__(self, spec, generator) for one tensor"
MODEL_SIGNATURE = "__call__(self, model, specs, *, seed, probe=None) for a model"
ZERO, ONE, UNIT_NORMAL = Constant(0.0), Constant(1.0), Normal(0.0, 1.0)


@dataclass(frozen=True)
class Own:
    """The value that the model itself gives to a scale or multiplier; 1 in the models of this suite."""

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        return torch.full(spec.shape, 1.0 if spec.own is None else spec.own)

    def declared_std(self, spec: ParamSpec) -> float:
        return 0.0


OWN = Own()


Laws = dict[str, tuple[TensorInit, ParamSpec]]
"""The law of each tensor, by its name, and the facts that it is drawn with."""


class ByLaws(ABC):
    """An initializer that draws every tensor by a law of its own, and can say which.

    Attributes:
        checks_model: whether it refuses the models that it is not for. One whose file in conf/init `requires` options
            of a model must, to be used on a model that was built elsewhere.
    """

    checks_model: ClassVar[bool] = False

    @abstractmethod
    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        """The law of every tensor.

        Raises:
            ConfigError: the initializer is not for this model.
        """

    def __call__(self, model: nn.Module, specs: Specs, *, seed: int, probe: Probe | None = None) -> Initialization:
        return Initialization({name: draw(law, spec, seed) for name, (law, spec) in self.laws(model, specs).items()})


@dataclass(frozen=True)
class PerTensor(ByLaws):
    """A law for each role, applied to every tensor of the model on its own.

    The stream of a tensor depends only on (seed, name of the tensor). Independent matrices fused into one tensor
    (`spec.blocks`) are drawn one after the other.

    Args:
        weight, bias, embedding, norm_scale, norm_shift: the law for the tensors of each role. By default biases are 0,
            embeddings N(0, 1), norm scales 1 and norm shifts 0, the last three as in torch.
        recurrent: the law for hidden-to-hidden weights; None = that of `weight`.
        branch_scale, multiplier: the law for the scales of each role; by default 1, or a foreign model's own value.
    """

    weight: TensorInit
    recurrent: TensorInit | None = None
    bias: TensorInit = ZERO
    embedding: TensorInit = UNIT_NORMAL
    norm_scale: TensorInit = ONE
    norm_shift: TensorInit = ZERO
    branch_scale: TensorInit = ONE
    multiplier: TensorInit = ONE

    def __post_init__(self) -> None:
        for field in fields(self):
            if not _is_tensor_law(getattr(self, field.name)) and (field.name, self.recurrent) != ("recurrent", None):
                raise ConfigError(
                    f"PerTensor: bad law `{field.name}`={getattr(self, field.name)!r}. Expected an instance with "
                    f"{TENSOR_SIGNATURE}."
                )

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        return {spec.name: (OWN if self._stays(spec) else self.law(spec.role), spec) for spec in specs}

    def _stays(self, spec: ParamSpec) -> bool:
        """Whether a tensor keeps the model's own value: a scale that no law is given for, an idle adapter."""
        return spec.own is not None and (spec.role in WEIGHTS or self.law(spec.role) == ONE)

    def law(self, role: Role) -> TensorInit:
        """The law for the tensors of a role."""
        if role is Role.RECURRENT and self.recurrent is None:
            return self.weight
        return getattr(self, role.value)


def weights_by_place(law: Callable[[ParamSpec], TensorInit], specs: Specs) -> Laws:
    """Weights by a law that depends on where they stand; the rest by the defaults of `PerTensor`."""
    others = PerTensor(weight=ZERO)
    laws = others.laws(nn.Module(), specs)
    drawn = {spec.name: (law(spec), spec) for spec in specs if spec.role in WEIGHTS and spec.own is None}
    return {**laws, **drawn}


@dataclass(frozen=True)
class Scaled:
    """A law, times a factor."""

    law: VarianceScaling
    factor: float

    def factor_of(self, spec: ParamSpec) -> float:
        """The factor of one tensor."""
        return self.factor

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        return self.law(spec, generator) * self.factor_of(spec)

    def declared_std(self, spec: ParamSpec) -> float:
        return self.factor_of(spec) * self.law.declared_std(spec)


def draw(law: TensorInit, spec: ParamSpec, seed: int) -> Tensor:
    """One tensor by its law, checked; its stream depends only on the seed and its name, whatever torch's defaults are.

    Raises:
        ConfigError: the law refuses, or returns what the contract does not allow.
        InitsuiteError: the law raised anything else.
    """
    generator = rng.generator(seed, "init", spec.name)
    with torch.no_grad(), rng.float32_on_cpu():
        drawn = [_checked(_called(law, block, generator), law, block) for block in each_block(spec)]
    return assembled(spec, drawn)


def _called(law: TensorInit, spec: ParamSpec, generator: torch.Generator) -> object:
    """What the law returns; an error says for which tensor."""
    try:
        return law(spec, generator)
    except Exception as error:  # a user's law may raise anything
        kind = ConfigError if isinstance(error, ConfigError) else InitsuiteError
        where = f"`{spec.name}` of shape {spec.shape}"
        reason = str(error) if isinstance(error, InitsuiteError) else f"{type(error).__name__}: {error}"
        if reason.startswith(f"{_name(law)}: "):  # the message names the law itself
            raise kind(f"{reason} (Met at {where}.)") from error
        raise kind(f"{_name(law)}: failed on {where}. {reason}") from error


def _name(law: object) -> str:
    """The class of a law; for a law that is a method, that of the object it belongs to."""
    return type(getattr(law, "__self__", law)).__name__


def _checked(tensor: object, law: TensorInit, spec: ParamSpec) -> Tensor:
    """The tensor, if it is what the contract expects of a law."""
    expected = f"a float32 CPU tensor of shape {spec.shape}, finite everywhere"
    if not isinstance(tensor, Tensor):
        got = type(tensor).__name__
    elif (tuple(tensor.shape), tensor.dtype, tensor.device.type) != (spec.shape, torch.float32, "cpu"):
        got = f"{tensor.dtype} on {tensor.device} of shape {tuple(tensor.shape)}"
    elif not is_finite(tensor):
        got = "values that are not finite"
    else:
        return tensor.detach()
    raise ConfigError(
        f"{_name(law)}: bad tensor for `{spec.name}`: {got}. Expected {expected}. "
        "Return a new tensor built with torch.empty(spec.shape) and filled with `generator`."
    )


def as_initializer(law: object) -> Initializer:
    """An initializer from either level of the contract.

    A law for one tensor becomes `PerTensor(weight=law)`: zero biases, norms and embeddings as in torch. So does a plain
    function that fills a tensor, as those of `torch.nn.init` do (`InPlace`).

    Args:
        law: an instance with `__call__(model, specs, *, seed, probe=None)` or `__call__(spec, generator)`, or such a
            function.

    Raises:
        ConfigError: it has neither.
    """
    law = as_law(law)
    if _accepts(law, 2, seed=0, probe=None):
        return cast("Initializer", law)
    if _is_tensor_law(law):
        return PerTensor(weight=cast("TensorInit", law))
    got = f"the class {law.__name__}, not an instance" if inspect.isclass(law) else _described(law)
    raise ConfigError(
        f"as_initializer: not an initializer: {got}. Expected an instance with {MODEL_SIGNATURE}, or with "
        f"{TENSOR_SIGNATURE}, or a function that fills a tensor, such as torch.nn.init.orthogonal_."
    )


def _is_tensor_law(law: object) -> bool:
    # a `seed` says that a model's initializer was meant, even where its default would let two arguments pass
    return _accepts(law, 2) and "seed" not in inspect.signature(cast("Callable[..., Any]", law)).parameters


def _accepts(law: object, num_positional: int, **keywords: Any) -> bool:
    if not callable(law) or inspect.isclass(law):
        return False
    try:
        inspect.signature(law).bind(*[None] * num_positional, **keywords)
    except TypeError:
        return False
    return True


def _described(law: object) -> str:
    return type(law).__name__ + (f" with __call__{inspect.signature(law)}" if callable(law) else " without __call__")
