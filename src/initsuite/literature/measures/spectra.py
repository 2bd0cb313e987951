"""Singular values: of weights, of convolutions, of the input-output Jacobian."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from initsuite.literature.measures.passing import Start


def weight_spectrum(start: Start) -> dict[str, float]:
    """singular_mean: the mean singular value of the square hidden weight matrices."""
    square = [start.params[spec.name] for spec in start.layers if len(set(spec.shape)) == 1]
    return {"singular_mean": float(torch.stack([torch.linalg.svdvals(each).mean() for each in square]).mean())}


def convolution_spectrum(start: Start) -> dict[str, float]:
    """singular_deviation: of the singular values of convolutions with as many inputs as outputs from 1, the largest;
    each taken as an operator on images that wrap around, whose singular values are those of the Fourier transform of
    its kernel."""
    size = start.batch[0].shape[-2:]
    found = []
    for spec in start.layers:
        module = start._owner(spec.name)
        if isinstance(module, nn.Conv2d) and spec.shape[0] == spec.shape[1]:
            spectrum = torch.fft.fft2(start.params[spec.name].double(), s=size).permute(2, 3, 0, 1)
            found.append((torch.linalg.svdvals(spectrum) - 1).abs().max())
    return {"singular_deviation": float(torch.stack(found).max())}


def jacobian(start: Start) -> dict[str, float]:
    """spread: Var[s^2] / E[s^2]^2 of the singular values s of d outputs / d inputs at one example; 0 is isometry."""

    def outputs(inputs: Tensor) -> Tensor:
        return functional_call(start.model, start.params, (inputs[None],))[0].flatten()

    matrix = jacrev(outputs)(start.batch[0][0])
    squares = torch.linalg.svdvals(matrix.flatten(1).double()).square()
    return {"spread": float(squares.var(correction=0) / squares.mean().square())}
