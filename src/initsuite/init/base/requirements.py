"""What architecture-bound initializers need of a model, and how they refuse one that lacks it."""

from __future__ import annotations

from initsuite.errors import ConfigError
from initsuite.models.describe.layers import NORM_PARAMETERS
from initsuite.spec import Role, Specs

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


def refuse_norm(where: str, specs: Specs) -> None:
    """Refuse a model with norm layers: a law made to replace them would be mixed with what it replaces."""
    norms = [spec for spec in specs if spec.role in NORM_PARAMETERS]
    if norms:
        raise refusal(where, f"a norm layer (`{norms[0].name}`)", "a model without norm layers", "Use model.norm=none.")
