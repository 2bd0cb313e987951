"""What can be measured of a network before its first step, or a few steps later: by name, for the files of claims."""

from collections.abc import Callable

from initsuite.literature.measures.correlations import born_dead, correlation, curve_length
from initsuite.literature.measures.first_steps import coordinates, rank_after
from initsuite.literature.measures.passing import Start
from initsuite.literature.measures.signals import gradients, signal, stream
from initsuite.literature.measures.spectra import convolution_spectrum, jacobian, weight_spectrum

MEASURES: dict[str, Callable[[Start], dict[str, float]]] = {
    each.__name__: each
    for each in (
        born_dead, convolution_spectrum, coordinates, correlation, curve_length, gradients, jacobian, rank_after,
        signal, stream, weight_spectrum,
    )
}  # fmt: skip
"""Each takes a start and returns columns, whose meaning its docstring says."""
