"""The files of a report from planted stores: read back, and held against the views that they are made from."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from rich.console import Console

from initsuite.errors import StoreError
from initsuite.protocol.guideline import ARTICLE
from initsuite.protocol.yardstick import yardstick_of
from initsuite.report import files
from initsuite.report.figures import FIGURES, drawings
from initsuite.report.figures.scores import stretch
from initsuite.report.figures.style import COLUMN, FONT_SIZE, PAGE, PAGE_HEIGHT, STYLE, look, wrapped
from initsuite.report.files import write_report
from initsuite.report.text.documents import report_json
from initsuite.report.text.tables import recommendations_html, recommendations_latex, scorecard_html, scorecard_latex
from initsuite.report.text.terminal import print_report
from initsuite.report.verdicts.recommendations import build_report
from initsuite.report.verdicts.views import Views
from initsuite.results.store import Store, load_results
from support.crossed import TRUTH
from support.crossed import plant as plant_crossed
from support.markup import Markup
from support.planter import DIVERGED, LEVELS, MISS, STUCK, TRAINS, Planter

ARMS = ("zero", "normal", "xavier", "he", "orthogonal", "torch_default")
HERE = [name for name in FIGURES if name != "worth"]  # which needs norms and optimizers: see test_worth
Written = tuple[Views, Path, list[Path]]
ODD = "own_%_&_#_$x$_{y}_~^\\z"
"""Each character that TeX reads as a command."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page has tests of its own and costs megabytes."""
    monkeypatch.setattr(files, "html_page", lambda views: "the page")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A report with all figures: its views, its folder and the paths that writing it gave."""
    store = Store(tmp_path_factory.mktemp("store"))
    plant(store)
    views, folder = views_of(store), tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "html_page", lambda views: "the page")
        return views, folder, write_report(views, folder)


def views_of(store: Store) -> Views:
    return Views(build_report(load_results(store.directory)))


def plant(store: Store, num_contexts: int = 4, num_seeds: int = 6) -> None:
    """Contexts of two activations and growing depth in which he leads at relu and xavier at tanh."""
    for place in range(num_contexts):
        activation, depth = ("relu", "tanh")[place % 2], 2 + 2 * (place // 2)
        planter = Planter(store, activation=activation, depth=depth, model=f"mlp-{depth}x64")
        for rank, init in enumerate(sorted(ARMS, key=lambda name: name != ("he", "xavier")[place % 2])):
            if init == "zero":
                planter.arm(init, [MISS] * num_seeds, STUCK, easy=False)
            else:
                fates = [140.0 + 40 * rank + 20 * (seed % 3) for seed in range(num_seeds)]
                planter.arm(init, [DIVERGED, *fates[1:]] if init == "normal" else fates, TRAINS)


@pytest.mark.slow
def test_every_view_becomes_files(written: Written) -> None:
    views, folder, paths = written
    assert paths[0] == folder / "recommendations.html"
    assert sorted(paths) == sorted(path for path in folder.rglob("*") if path.is_file()), "the list is what is there"
    assert {path.stem for path in paths if path.parent.name == "figures"} == set(HERE)
    for name in HERE:
        suffixes = {path.suffix for path in paths if path.parent.name == "figures" and path.stem == name}
        assert suffixes == {".pdf", ".png", ".csv", ".txt"}
        caption = (folder / "figures" / f"{name}.txt").read_text(encoding="utf-8")
        assert caption.count("\n") == 1
        assert len(caption.split()) > 10
    for name, table in {"scorecard": views.scorecard, "votes": views.votes, "trials": views.trials}.items():
        read = pd.read_csv(folder / "tables" / f"{name}.csv")
        assert (len(read), list(read)) == (len(table), list(table))
    assert len(pd.read_csv(folder / "tables/aggregates.csv")) == len(ARMS)


@pytest.mark.slow
def test_the_data_beside_a_figure_are_the_view_with_units(written: Written) -> None:
    views, folder, _ = written
    data = {name: pd.read_csv(folder / "figures" / f"{name}.csv") for name in HERE}
    assert data["curves"]["median [metric]"].tolist() == pytest.approx(views.curves["median"].tolist())
    assert data["curves"].metric.unique().tolist() == ["accuracy"]
    assert "step [updates]" in data["curves"]
    steps = data["steps_to_target"]
    assert len(steps) == 4 * len(ARMS) * 6
    assert steps.loc[steps.init == "zero", "steps [updates]"].eq(math.inf).all()
    assert steps.query("init == 'he'")["steps [updates]"].min() == 140
    scores = data["final_scores"]
    assert len(scores) == 4 * len(ARMS) * 6
    arms = views.report.arms.set_index(["context", "init"])
    first = scores.groupby(["context", "init"]).first()
    assert first["mean [metric]"].to_dict() == pytest.approx(arms.test_score.to_dict())
    assert first["low [metric]"].to_dict() == pytest.approx(arms.test_score_low.to_dict())
    means = scores.groupby(["context", "init"])["score [metric]"].mean()
    assert means.to_dict() == pytest.approx(arms.test_score.to_dict())
    assert data["profiles"].share.tolist() == pytest.approx(views.profiles.share.tolist())
    assert views.ranks is not None
    assert data["critical_difference"].set_index("init").mean_rank.to_dict() == pytest.approx(views.ranks.mean_ranks)
    assert "hidden layers" in data["heat_depth"]
    assert "score [normalised]" in data["tuning_budget"]


def texts_of(figure: Figure) -> Iterator[Text]:
    """Those that show something."""
    for text in figure.findobj(Text):
        if isinstance(text, Text) and text.get_text().strip() and text.get_visible():
            yield text


def test_words_are_never_broken_within() -> None:
    """A title of one long word is broken at its signs; the words of any title are all still there."""
    title = "digits / resnet(stages=[1, 1], branch_scale=True) / leaky_relu(slope=0.2) / sgd+warmup_cosine(steps=100)"
    for width in (0.7, 1.0, 1.5, 2.2, 6.0):
        shown = wrapped(title, width)
        assert "".join(shown.split()) == "".join(title.split())
        for word in re.findall(r"[A-Za-z]+", title):
            assert word in shown, (width, word)


@pytest.mark.parametrize("scores", [(0.1, 0.5, 0.97), (0.2, 0.999), (0.3, 1.0)])
def test_good_accuracies_lie_apart_and_all_of_them_within_the_axis(scores: tuple[float, ...]) -> None:
    """From 0.97 to 0.98 as far as from 0.4 to 0.6: the distance to 1 falls by a third."""
    axes = Figure().subplots()
    stretch(
        axes, "y", yardstick_of({"metric": "accuracy", "direction": "max", "chance": 0.1, "levels": LEVELS}), scores
    )
    low, high = axes.get_ylim()
    assert low == 0
    assert high < 1
    assert high > min(max(scores), 0.9989)
    place = axes.transData.transform([(0, score) for score in (0.4, 0.6, 0.97, 0.98)])[:, 1]
    assert place[3] - place[2] == pytest.approx(place[1] - place[0])
    labels = [float(label.get_text()) for label in axes.get_yticklabels()]
    assert labels == sorted(labels)
    assert 0.9 in labels


def test_an_error_has_a_logarithmic_axis_and_an_unbounded_loss_its_own() -> None:
    levels = dict.fromkeys(LEVELS)
    axes, other = Figure().subplots(1, 2)
    stretch(
        axes, "x", yardstick_of({"metric": "mse", "direction": "min", "chance": 1.0, "levels": levels}), [0.01, 0.5]
    )
    assert axes.get_xscale() == "log"
    assert axes.get_xlim()[0] < 0.01 < 1.0 < axes.get_xlim()[1]
    stretch(
        other, "x", yardstick_of({"metric": "loss", "direction": "min", "chance": 1.0, "levels": levels}), [-2.0, 0.5]
    )
    assert other.get_xscale() == "linear"


@pytest.mark.slow
def test_figures_have_paper_size_and_nothing_is_cut_off(written: Written, store: Store) -> None:
    plant_crossed(store, TRUTH)
    with mpl.rc_context(STYLE):
        crossed = FIGURES["worth"](views_of(store))
    assert crossed is not None
    for drawing in (*drawings(written[0]), crossed):
        for page in drawing.pages:
            width, height = page.get_size_inches()
            assert COLUMN - 0.01 <= width <= PAGE + 0.01
            assert height <= PAGE_HEIGHT
            page.savefig(io.BytesIO(), format="png")  # positions are known once it is drawn
            axes = [axis for panel in page.axes for axis in (panel.xaxis, panel.yaxis)]
            # Ticks beyond the limits of an axis are not drawn.
            ticks = {label for axis in axes for label in axis.get_ticklabels()}
            for text in texts_of(page):
                assert float(text.get_fontsize()) >= FONT_SIZE
                box = text.get_window_extent()
                lies_inside = box.x0 > -1 and box.y0 > -1 and box.x1 < page.bbox.x1 + 1 and box.y1 < page.bbox.y1 + 1
                assert text in ticks or lies_inside, (drawing.name, text.get_text())


@pytest.mark.slow
def test_links_planted_in_the_folder_are_not_followed(written: Written, tmp_path: Path, no_page: None) -> None:
    home, folder = tmp_path / "home", tmp_path / "report"
    home.mkdir()
    folder.mkdir()
    for name in ("mine.txt", "curves.png"):
        (home / name).write_text("kept")
    (folder / "recommendations.html").symlink_to(home / "mine.txt")
    (folder / "arms.csv").symlink_to(home / "new.txt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_write_figures", lambda views, folder: [])
        write_report(written[0], folder)
        assert (folder / "recommendations.html").read_text() == "the page"
        (folder / "tables").rename(folder / "before")
        (folder / "tables").symlink_to(home)
        with pytest.raises(StoreError, match=r"tables.*a link that leads out"):
            write_report(written[0], folder)
    (folder / "figures").symlink_to(home)
    with pytest.raises(StoreError, match=r"figures.*a link that leads out"):
        write_report(written[0], folder)
    assert {path.name: path.read_text() for path in home.iterdir()} == {"mine.txt": "kept", "curves.png": "kept"}


def test_many_contexts_go_to_further_pages(store: Store, tmp_path: Path, no_page: None) -> None:
    for place in range(13):
        planter = Planter(store, depth=place + 1, model=f"mlp-{place + 1}x64")
        planter.arm("he", [100, 120])
        planter.arm("xavier", [140, 160])
    folder = tmp_path / "report"
    written = write_report(views_of(store), folder)
    assert folder / "figures/curves-2.png" in written
    assert folder / "figures/curves-3.png" not in written
    assert (folder / "figures/curves.pdf").read_bytes().count(b"/Type /Page ") == 2
    assert (folder / "figures/lr_sensitivity.csv").exists()
    with Image.open(folder / "figures/curves.png") as picture:
        assert picture.width == round(PAGE * files.RESOLUTION)
    # A report with less to show takes away what is no longer true.
    small = Store(tmp_path / "small")
    Planter(small).arm("he", [100, 120], tune=None, protocol="fixed")
    again = write_report(views_of(small), folder)
    assert sorted(path.name for path in (folder / "figures").iterdir()) == sorted(
        path.name for path in again if path.parent.name == "figures"
    )
    assert not (folder / "figures/curves-2.png").exists()
    assert not (folder / "figures/lr_sensitivity.pdf").exists()


@pytest.mark.slow
def test_text_in_a_pdf_is_text(written: Written) -> None:
    for path in (written[1] / "figures").glob("*.pdf"):
        content = path.read_bytes()
        assert b"/CIDFontType2" in content or b"/TrueType" in content, path.name
        assert b"/Type3" not in content, path.name


def test_an_initializer_looks_the_same_everywhere() -> None:
    assert look("he").items() <= look("he", has_marker=True).items()
    assert len({look(name, has_marker=True)["marker"] for name in ARMS}) == len(ARMS)
    assert look("somebodys_own", True) == look("somebodys_own", True)


def refuse_constant(name: str) -> None:
    raise AssertionError(f"not strict JSON: {name}")


def test_json_is_strict_and_whole(store: Store) -> None:
    plant(store, num_contexts=2, num_seeds=3)
    views = views_of(store)
    content = json.loads(report_json(views), parse_constant=refuse_constant)
    assert content["schema"] == 3
    assert content["protocol_version"] == views.report.trials.protocol_version.max()
    assert content["notes"] == list(views.report.notes)
    for name in ("recommendations", "arms"):
        table = getattr(views.report, name)
        assert [list(row) for row in content[name]] == [list(table)] * len(table)
    assert [row["verdict"] for row in content["scorecard"]] == views.scorecard.verdict.tolist()
    zero = next(row for row in content["arms"] if row["init"] == "zero")
    assert zero["median_steps"] == "Infinity"
    assert float(zero["median_steps"]) == math.inf
    assert zero["median_steps_low"] is None, "three seeds give no interval"
    assert (zero["near_chance"], zero["num_seeds"]) == (True, 3)


def brackets_match(text: str) -> bool:
    """Whether the braces and the environments of a piece of TeX close in order."""
    bare = re.sub(r"%[^\n]*", "", text.replace("\\\\", "").replace("\\%", ""))
    depth = 0
    for mark in re.findall(r"\\[{}]|[{}]", bare):
        depth += {"{": 1, "}": -1}.get(mark, 0)
        if depth < 0:
            return False
    open_now: list[str] = []
    for verb, name in re.findall(r"\\(begin|end)\{([^}]*)\}", bare):
        if verb == "begin":
            open_now.append(name)
        elif not open_now or open_now.pop() != name:
            return False
    groups = bare.count("\\begingroup") == bare.count("\\endgroup")
    return depth == 0 and not open_now and groups


def test_a_planted_error_in_tex_is_found() -> None:
    assert brackets_match(r"\begin{a}\{{50\%}\end{a} \begingroup\endgroup")
    for wrong in (r"{\{}{", r"}{", r"\begin{a}\end{b}", r"\begin{a}", r"\begingroup"):
        assert not brackets_match(wrong)


def test_tex_escapes_what_it_would_read_as_a_command(store: Store) -> None:
    planter = Planter(store)
    planter.arm(ODD, [100] * 8)
    planter.arm("torch_default", [300, 320] * 4)
    views = views_of(store)
    text = recommendations_latex(views)
    assert brackets_match(text)
    assert brackets_match(scorecard_latex(views))
    name = r"own\_\%\_\&\_\#\_\$x\$\_\{y\}\_\textasciitilde \textasciicircum \textbackslash z"
    assert name in text
    assert "P(better than torch\\_default) [95 \\%]" in text
    rows = [line for line in text.splitlines() if name in line]
    num_columns = text.count("\\arraybackslash")
    assert [len(re.findall(r"(?<!\\)&", row)) for row in rows] == [num_columns - 1]
    for rule in ("\\toprule", "\\midrule", "\\bottomrule"):
        assert rule in text
    widths = [float(width) for width in re.findall(r"p\{([0-9.]+)\\linewidth\}", text)]
    assert 0.8 < sum(widths) < 1


def test_the_tables_as_pages(store: Store) -> None:
    plant(store, num_contexts=2)
    Planter(store, activation="<script>odd</script>").arm("he", [300] * 2)
    views = views_of(store)
    page = recommendations_html(views)
    for text in (page, scorecard_html(views)):
        cells = Markup()
        cells.feed(text)
        assert "table" in cells.tags
        assert "script" not in cells.tags
        assert "http" not in text.replace("http://www.w3.org", ""), "nothing is fetched"
    assert "&lt;script&gt;odd" in page
    assert "mlp-2x64 / tanh / sgd" in page


def test_ties_and_too_few_seeds_are_words(store: Store) -> None:
    planter = Planter(store)
    planter.arm("he", [100, 140, 120, 160, 100, 140, 120, 160, 120, 140])
    planter.arm("orthogonal", [140, 100, 160, 120, 140, 100, 160, 120, 140, 160])
    few = Planter(store, activation="tanh")
    few.arm("he", [100] * 3)
    few.arm("xavier", [200] * 3)
    text = recommendations_latex(views_of(store))
    assert "orthogonal" in text
    assert "not enough seeds: xavier" in text


@pytest.mark.slow
def test_markdown_shows_the_scorecard_and_the_figures_that_are_there(written: Written) -> None:
    folder = written[1]
    text = (folder / "recommendations.md").read_text(encoding="utf-8")
    assert "## The article's recommendations" in text
    assert f"The article: {ARTICLE}." in text
    assert "Not tested: no context here holds both sides (he against he\\_random\\_biases" in text
    assert (folder / "tables/scorecard.md").read_text(encoding="utf-8").strip() in text
    pictures = re.findall(r"!\[[^]]*\]\(([^)]*)\)", text)
    assert "figures/curves.png" in pictures
    for picture in pictures:
        assert (folder / picture).exists()


def printed_report(views: Views, width: int = 80) -> str:
    screen = io.StringIO()
    print_report(views, Console(file=screen, width=width))
    return screen.getvalue()


def test_the_terminal_begins_with_a_row_for_each_context_and_uses_its_width(store: Store) -> None:
    plant(store, num_contexts=3, num_seeds=8)
    views = views_of(store)
    contexts = len(views.report.recommendations)
    assert contexts > 1
    narrow, wide = (printed_report(views, width).splitlines() for width in (80, 200))
    for lines in (narrow, wide):
        assert lines[0].startswith("Recommendations (")
        assert "fastest" in "".join(lines[:4])
    first, leader = views.report.recommendations.iloc[0], views.report.recommendations.recommended.iloc[0]
    assert sum(f" {leader} " in line and "[" in line for line in wide[3 : 4 + contexts]) > 0
    assert max(map(len, wide)) <= 200
    steps = f"{first.median_steps:.0f} [{first.median_steps_low:.0f}, {first.median_steps_high:.0f}]"
    assert any(steps in line for line in wide), "an interval stands beside its number where there is room"
    assert not any(steps in line for line in narrow[3:10])
    assert len(wide) < len(narrow)


def test_the_terminal_tells_tested_rules_within_80_columns(store: Store) -> None:
    plant(store, num_contexts=2, num_seeds=8)
    printed = printed_report(views_of(store))
    assert max(map(len, printed.splitlines())) <= 80
    assert "The article's recommendations against the trials" in printed
    assert f"The article: {ARTICLE}." in " ".join(printed.split())
    words = " ".join(printed.split())
    assert "Not tested here: 3. Orthogonal for recurrent and very deep networks; 4. Biases zero" in words
    assert "6. Zero" in printed


def test_the_terminal_is_silent_on_rules_where_none_was_tested(store: Store) -> None:
    Planter(store).arm("he", [100] * 3)
    assert "recommendations against the trials" not in printed_report(views_of(store))


def test_a_folder_that_cannot_be_written_teaches(store: Store, tmp_path: Path) -> None:
    Planter(store).arm("he", [100])
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot write to `out`=.* Choose another with --out DIR"):
        write_report(views_of(store), tmp_path / "file")
