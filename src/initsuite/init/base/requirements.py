"""What architecture-bound initializers need of a model, and how they refuse one that lacks it."""

from __future__ import annotations

import warnings
from dataclasses import fields, is_dataclass

from torch import nn

from initsuite.errors import ConfigError, callers_level
from initsuite.init.base.blocks import ATTENTION, stacks
from initsuite.models.describe.layers import NORM_PARAMETERS, NORMS, WEIGHTS
from initsuite.spec import Role, Specs
from initsuite.wording import format_first

PARTS = ATTENTION | {"mlp"}
"""What the weights of a transformer's residual branches are for."""
UNRECORDED = "no forward pass of the model could be recorded"
WITHOUT_NORM = "Use model.norm=none; in a model of your own, put nn.Identity() in the place of every norm layer."
ELSEWHERE = "Use init=he, or another initializer that needs no special model."


def refusal(where: str, lacks: str, expected: str, fix: str) -> ConfigError:
    """The error for a model that an initializer cannot be used on.

    Example:
        >>> print(refusal("Gpt2", "no residual branches", "a network with a Branch", "Use init=he."))
        Gpt2: cannot initialize this model: it has no residual branches. Expected a network with a Branch. Use init=he.
    """
    return ConfigError(f"{where}: cannot initialize this model: it has {lacks}. Expected {expected}. {fix}")


def need_branches(where: str, specs: Specs, role: Role = Role.WEIGHT) -> None:
    """Refuse a model where no tensor of this role closes a residual branch."""
    closing = {spec.role for spec in specs if spec.closes_residual}
    if not closing:
        expected = "a residual network; in one that cannot be run, `describe` knows branches by models.branch.Branch"
        raise refusal(where, "no layer that closes a residual branch", expected, _fix(specs, ELSEWHERE))
    warn_of_order(where, specs, "which layers are in residual branches")
    if role not in closing:
        expected = "a network whose branches end in a norm layer"
        fix = "Use model.norm=batch, or init=he."
        raise refusal(where, f"no {role.value} that closes a residual branch", expected, fix)


def reads_nonlinearity(law: object) -> bool:
    """Whether what follows a layer counts in a law, or in one of those that it is made of.

    It does where a `gain` goes by a name (auto, backward, torch), and where the class says `reads_nonlinearity`.
    """
    if getattr(law, "reads_nonlinearity", False):
        return True
    inner = [getattr(law, field.name) for field in fields(law)] if is_dataclass(law) else []
    return isinstance(getattr(law, "gain", None), str) or any(reads_nonlinearity(each) for each in inner)


def warn_of_order(where: str, specs: Specs, what: str) -> None:
    """Say that a fact which a law goes by does not come from a recorded forward pass."""
    if _are_by_order(specs):
        warnings.warn(
            f"{where}: {UNRECORDED}: {what} is taken from the types of the layers and their order, and may be wrong. "
            "Give inputs that forward takes as example=...",
            stacklevel=callers_level(),
        )


def _are_by_order(specs: Specs) -> bool:
    return any(spec.described_by == "order" for spec in specs)


def _fix(specs: Specs, otherwise: str) -> str:
    if not _are_by_order(specs):
        return otherwise
    return f"If it has one: {UNRECORDED}, which would show it; give inputs as example=... {otherwise}"


def need_role(where: str, specs: Specs, role: Role, option: str) -> None:
    """Refuse a model without a parameter of this role; `option` gives it to the models of this suite."""
    if not any(spec.role is role for spec in specs):
        expected = f"a residual network with one in each branch, such as model=resnet {option}"
        raise refusal(where, f"no `{role.value}` parameter", expected, ELSEWHERE)


def need_attention(where: str, specs: Specs) -> int:
    """How many attention layers a model has; refuse one without any."""
    layers = sum(spec.role is Role.WEIGHT and "attention_out" in spec.parts for spec in specs)
    if not layers:
        expected = "a transformer, whose attention `describe` recognises"
        fix = _fix(specs, "Use model=vit or model=transformer, or init=xavier.")
        raise refusal(where, "no attention layer", expected, fix)
    warn_of_order(where, specs, "what the layers of a transformer are for")
    return layers


def need_parts(where: str, specs: Specs) -> None:
    """Refuse a model that has weights in its residual branches of which it is not known what they are for.

    A law that treats them by their parts would be applied by half.
    """
    inside = [spec for spec in specs if spec.branch_layers and spec.role in WEIGHTS]
    unknown = [f"`{spec.name}`" for spec in inside if not spec.parts or not PARTS.issuperset(spec.parts)]
    if unknown:
        lacks = f"weights in residual branches that are neither of attention nor of an MLP: {format_first(unknown, 4)}"
        expected = f"branches of {', '.join(sorted(PARTS))} alone"
        raise refusal(where, lacks, expected, _fix(specs, "Use init=xavier."))


def refuse_pair(where: str, specs: Specs) -> None:
    """Refuse an encoder and a decoder in one model."""
    if len(stacks(specs)) > 1:
        expected = "one of them: the paper has other factors for a pair"
        raise refusal(where, "an encoder and a decoder", expected, "Initialize each of them on its own.")


def refuse_norm(where: str, model: nn.Module, specs: Specs) -> None:
    """Refuse a model with norm layers: a law made to replace them would be mixed with what it replaces."""
    norms = [spec.name for spec in specs if spec.role in NORM_PARAMETERS]
    norms += [name for name, module in model.named_modules() if isinstance(module, NORMS)]  # perhaps without parameters
    if norms:
        raise refusal(where, f"a norm layer (`{norms[0]}`)", "a model without norm layers", WITHOUT_NORM)


def refuse_closing_norm(where: str, specs: Specs) -> None:
    """Refuse a model with a norm layer at the end of a residual branch, which would undo the factor of the law."""
    undoing = [spec.name for spec in specs if spec.closes_residual and spec.role is Role.NORM_SCALE]
    if undoing:
        lacks = f"a norm layer (`{undoing[0]}`) that ends a branch and undoes its scaling"
        raise refusal(where, lacks, "branches that end in a weight", WITHOUT_NORM)
