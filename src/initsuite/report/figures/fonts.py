"""The fonts of the figures, reduced once to what figures write.

For each PDF matplotlib reads the whole font, thousands of glyphs with their rules, to embed the few that are drawn: a
third of the time that all figures take. From a reduced font it takes less than half of that, and the pictures are the
same: outlines, hints, kerning and ligatures are kept. Other letters come from the whole font.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.font_manager import FontProperties, findfont, fontManager

FAMILY = "initsuite figures"
_WRITTEN = ((0x20, 0x180), (0x2010, 0x2040), (0x2190, 0x2194), (0x2208, 0x2270))
"""Latin letters, dashes and the ellipsis, arrows, signs of mathematics."""


@functools.cache
def reduced_fonts() -> list[str]:
    """The families to draw with, made when they are first asked for; the fonts of the user where these are no TrueType.

    The reduced font has a name of its own and is known to this process alone.
    """
    usual = list(mpl.rcParams["font.family"])
    found = {weight: Path(findfont(FontProperties(weight=weight))) for weight in ("normal", "bold")}
    if any(path.suffix.lower() != ".ttf" for path in found.values()):
        return usual
    for weight, path in found.items():
        reduced = Path(_folder().name) / f"{weight}.ttf"
        _reduce(path, reduced)
        fontManager.addfont(reduced)
    return [FAMILY, *usual]


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Removed when the process ends: matplotlib reads the files whenever it embeds them."""
    return tempfile.TemporaryDirectory(prefix="initsuite-fonts-")


def _reduce(whole: Path, reduced: Path) -> None:
    from fontTools import subset  # what matplotlib reduces fonts with, too

    options: Any = subset.Options(glyph_names=True, recommended_glyphs=True, legacy_kern=True, layout_features=["*"])
    options.drop_tables += ["FFTM"]  # a date
    font: Any = subset.load_font(str(whole), options)
    for record in font["name"].names:
        if record.nameID in (1, 16):  # the family
            record.string = FAMILY
    chosen = subset.Subsetter(options)
    chosen.populate(unicodes=[letter for first, end in _WRITTEN for letter in range(first, end)])
    chosen.subset(font)
    subset.save_font(font, str(reduced), options)
