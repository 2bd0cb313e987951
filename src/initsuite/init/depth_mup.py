"""The maximal update parametrization in depth: one learning rate for every width and every number of blocks."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from initsuite.errors import check_number, check_whole_number
from initsuite.init.base.blocks import blocks_beside, closing
from initsuite.init.base.compose import Laws, Scaled
from initsuite.init.base.requirements import need_branches, refuse_closing_norm
from initsuite.init.mup import Mup
from initsuite.init.variance_scaling import VarianceScaling
from initsuite.spec import Specs


@dataclass(frozen=True)
class DepthMup(Mup):
    """`mup`, with what each residual branch adds divided by D^alpha, D = blocks / base_depth, and lr factors to match.

    Var[w] as in `mup`, but gain^2 / (D^(2 alpha) fan_in) for the layer that closes a branch; its bias is 0 like all
    others. alpha = 1/2 is depth-muP: independent branches add up to the same variance at any depth. alpha = 1 is
    CompleteP: the stream becomes smooth in depth, and every layer keeps learning features of its own. The lr factors
    are those of `mup` times

        |                                             | adam        | sgd           |
        | in a branch: weight, bias, norm             | D^(alpha-1) | D^(2 alpha-1) |
        | closing a branch: weight, bias, norm        | D^-1        | D^-1          |
        | everything else                             | 1           | 1             |

    In the papers D^-alpha is a constant of the architecture, x + D^-alpha branch(x), under which each tensor of a
    branch has the lr D^(alpha-1) with Adam. Here it sits in the last weight of the branch, the same function, which
    divides the lr of that tensor by D^alpha more (for SGD, whose step goes with the square, by D^(2 alpha)). Where a
    block is one branch, as in a ResNet, branches are counted; D = 1 is `mup`.

    Departures: CompleteP also changes AdamW's epsilon by D^-alpha and its decay with the width, which are not an
    initializer's to set. It was made for AdamW; its sgd column is derived here as that of depth-muP, so that an update
    of a branch changes the output by 1/D. Depth-muP was made for branches of one layer, and its authors find that it
    falls short for those of a transformer, which have two. A norm layer at the end of a branch would undo the factor,
    and is refused.

    Args:
        depth_exponent: alpha, from 0; 0.5 is depth-muP, 1 CompleteP.
        base_depth: number of blocks whose factors are 1, from 1.
        optimizer, base_width, gain, output: see `Mup`.

    References:
        Yang, Yu, Zhu & Hayou 2023, Tensor Programs VI: Feature Learning in Infinite-Depth Neural Networks, table 1.
        Dey et al. 2025, Don't be lazy: CompleteP enables compute-efficient deep transformers, table 1.
    """

    depth_exponent: float = 0.5
    base_depth: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("DepthMup", "depth_exponent", self.depth_exponent, minimum=0)
        check_whole_number("DepthMup", "base_depth", self.base_depth)

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        need_branches("DepthMup", specs)
        refuse_closing_norm("DepthMup", specs)
        law, blocks = VarianceScaling(self.gain), blocks_beside(specs)
        factors = {spec.name: self._depth(blocks[spec.branch]) ** -self.depth_exponent for spec in closing(specs)}
        last = {spec.name: (Scaled(law, factors[spec.name]), spec) for spec in closing(specs)}
        return super().laws(model, specs) | last

    def lr_factors(self, specs: Specs) -> dict[str, float]:
        exponent = self.depth_exponent - 1 if self.optimizer == "adam" else 2 * self.depth_exponent - 1
        factors, blocks = super().lr_factors(specs), blocks_beside(specs)
        for spec in specs:
            if spec.branch_layers:
                factors[spec.name] *= self._depth(blocks[spec.branch]) ** (-1 if spec.closes_residual else exponent)
        return factors

    def _depth(self, blocks: int) -> float:
        return blocks / self.base_depth
