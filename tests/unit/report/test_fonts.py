"""Figures drawn with reduced fonts look the same, and their PDFs embed these."""

from __future__ import annotations

import io

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from initsuite.report.figures.fonts import FAMILY, reduced_fonts
from initsuite.report.figures.style import STYLE

TEXT = "AVA final fit of orthogonal_auto: 0.95 [0.9, 1.0] … µ ≥ → é"


def drawn(families: list[str], text: str = TEXT) -> tuple[np.ndarray, bytes]:
    with mpl.rc_context({**STYLE, "font.family": families}):
        figure = Figure((4, 1))
        figure.text(0.02, 0.6, text)
        figure.text(0.02, 0.2, text, weight="bold")
        canvas, document = FigureCanvasAgg(figure), io.BytesIO()
        canvas.draw()
        figure.savefig(document, format="pdf")
    return np.asarray(canvas.buffer_rgba()).copy(), document.getvalue()


def test_the_picture_is_the_same_and_the_pdf_has_the_reduced_font() -> None:
    whole, first = drawn(["sans-serif"])
    reduced, second = drawn(reduced_fonts())
    assert (whole < 255).any(), "something is drawn"
    assert np.array_equal(whole, reduced)
    assert reduced_fonts()[0] == FAMILY
    assert len(second) < 1.1 * len(first)


def test_a_letter_that_was_left_out_comes_from_the_whole_font() -> None:
    other = "\N{CYRILLIC CAPITAL LETTER ZHE}"
    assert np.array_equal(drawn(["sans-serif"], other)[0], drawn(reduced_fonts(), other)[0])
