"""What architecture-bound initializers need of a model, and how they refuse one that lacks it."""

from __future__ import annotations

from torch import nn

from initsuite.errors import ConfigError
from initsuite.init.base.blocks import ATTENTION, stacks
from initsuite.models.describe.layers import NORM_PARAMETERS, NORMS, WEIGHTS
from initsuite.spec import Role, Specs
from initsuite.wording import format_first

PARTS = ATTENTION | {"mlp"}
"""What the weights of a transformer's residual branches are for."""
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
        expected = "a residual network, whose branches `describe` knows by their models.branch.Branch"
        raise refusal(where, "no layer that closes a residual branch", expected, ELSEWHERE)
    if role not in closing:
        expected = "a network whose branches end in a norm layer"
        fix = "Use model.norm=batch, or init=he."
        raise refusal(where, f"no {role.value} that closes a residual branch", expected, fix)


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
        raise refusal(where, "no attention layer", expected, "Use model=vit or model=transformer, or init=xavier.")
    return layers


def need_parts(where: str, specs: Specs) -> None:
    """Refuse a model that has weights in its residual branches of which it is not known what they are for.

    A law that treats them by their parts would be applied by half.
    """
    inside = [spec for spec in specs if spec.branch_layers and spec.role in WEIGHTS]
    unknown = [f"`{spec.name}`" for spec in inside if not spec.parts or not PARTS.issuperset(spec.parts)]
    if unknown:
        lacks = f"weights in residual branches that are neither of attention nor of an MLP: {format_first(unknown, 4)}"
        fix = "Give inputs as example=... where no forward pass was recorded, or use init=xavier."
        raise refusal(where, lacks, f"branches of {', '.join(sorted(PARTS))} alone", fix)


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
        fix = "Use model.norm=none; in a model of your own, put nn.Identity() in the place of every norm layer."
        raise refusal(where, f"a norm layer (`{norms[0]}`)", "a model without norm layers", fix)
