"""A diagnosis as a picture and as files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from initsuite.apply.diagnosis import diagnose
from initsuite.apply.examine import main
from initsuite.apply.pictures import Pictured
from initsuite.errors import StoreError
from initsuite.report.figures.depths import gradient_theory, over_depth

DEPTH = 12


@pytest.fixture(scope="module")
def found() -> Pictured:
    layers = [nn.Sequential(nn.Linear(48, 48), nn.ReLU()) for _ in range(DEPTH)]
    torch.manual_seed(0)
    batch = torch.randn(32, 48), torch.randint(0, 5, (32,))
    return diagnose(nn.Sequential(*layers, nn.Linear(48, 5)), batch, init="xavier", draws=3, jacobian=True)


def test_what_is_drawn_is_what_was_measured(found: Pictured) -> None:
    signal, gradient, *_, last = found.plot().axes
    means = next(line for line in signal.get_lines() if line.get_linestyle() == "-")
    assert np.allclose(np.asarray(means.get_ydata(), dtype=float), found.layers["q"])
    theory = next(line for line in signal.get_lines() if line.get_linestyle() == "--")
    assert np.allclose(np.asarray(theory.get_ydata(), dtype=float), found.layers["q_theory"])
    draws = next(line for line in gradient.get_lines() if line.get_linestyle() == "None")
    assert len(draws.get_xdata()) == 3 * (DEPTH + 1)
    assert np.allclose(np.asarray(last.get_lines()[0].get_ydata(), dtype=float), found.spectrum["singular_value"])


def test_no_text_is_cut_off_or_lies_on_another(found: Pictured) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = found.plot()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    whole = figure.bbox
    titles = [axes.title.get_window_extent() for axes in figure.axes]
    for box in (*titles, *(text.get_window_extent() for text in figure.texts)):
        assert box.x0 >= whole.x0
        assert box.x1 <= whole.x1
    labels = [axes.xaxis.label.get_window_extent() for axes in figure.axes]
    assert not any(title.overlaps(label) for title in titles for label in labels)


def test_the_gradient_of_theory_is_the_product_of_its_factors() -> None:
    layers = pd.DataFrame(
        {
            "layer": ["a", "b", "c", "d"],
            "link": ["", "a", "b", None],
            "chi_theory": [4.0, 9.0, math.nan, math.nan],
            "gradient_norm": [1.0, 1.0, 5.0, 7.0],
        }
    )
    assert np.allclose(gradient_theory(layers), [30.0, 15.0, 5.0, math.nan], equal_nan=True)


def test_a_network_of_zeros_is_drawn() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    figure = over_depth(diagnose(model, torch.randn(4, 8), init="zero", draws=1))
    assert "0 in all layers" in [text.get_text() for text in figure.axes[0].texts]


def test_a_notebook_shows_words_table_and_picture(found: Pictured) -> None:
    shown = found._repr_html_()
    assert shown.index("Vanishing forward from") < shown.index("<th>verdict</th>") < shown.index("data:image/png")
    assert repr(found) == str(found)


def test_it_is_written_into_a_folder(found: Pictured, tmp_path: Path) -> None:
    paths = found.save(tmp_path / "new" / "folder")
    assert [path.name for path in paths][:2] == ["diagnosis.png", "diagnosis.json"]
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert json.loads(paths[1].read_text())["is_healthy"] is False
    read = pd.read_csv(tmp_path / "new" / "folder" / "layers.csv")
    assert np.allclose(read["q"], found.layers["q"])
    assert not (tmp_path / "new" / "folder" / "blocks.csv").exists()  # no rows
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot write to `out`=.*Choose another"):
        found.save(tmp_path / "file")


@pytest.mark.slow
def test_the_door_writes_a_folder_for_each_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init=he,zero", "--draws", "1", "--examples", "8", "--out", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "1-digits-mlp-2x64-relu-he",
        "2-digits-mlp-2x64-relu-zero",
    ]
    assert (tmp_path / "1-digits-mlp-2x64-relu-he" / "diagnosis.png").exists()
    assert f"Written: {tmp_path}" in capsys.readouterr().out
