"""From what a person asks to jobs: their own network, data and laws under the configuration of the command line."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from initsuite.apply.own.arms import Wish, arm_of, wishes
from initsuite.apply.own.examples import Examples, examples_of
from initsuite.apply.own.frame import DTYPES, Frame, Tree
from initsuite.apply.own.measures import levels_of
from initsuite.apply.own.reading import WHERE, read
from initsuite.config.build import Arm, Builder, Job, make_cell, protocol_of
from initsuite.config.groups import identity, label, names_of
from initsuite.config.settings import Settings, settings_of
from initsuite.config.sweep import compose_each
from initsuite.config.workload import make_dataset
from initsuite.data import losses
from initsuite.engine.workload import Cell
from initsuite.errors import ConfigError, as_overrides, bad_value, check_whole_number, unknown_choice
from initsuite.protocol.yardstick import METRICS
from initsuite.wording import first_line, format_first

KEYS = (
    "data_dir", "max_stack", "workers", "checkpoint_every_s", "on_error", "replan", "experiment_name", "diagnostics",
)  # fmt: skip
"""Keys of the command line that are passed on as they are."""
_DEFAULTS = {"protocol": "standard", "activation": "relu"}
_EVALUATIONS, _EVAL_EVERY = 10, 50
FROM_PYTHON = "{}"


@dataclass(frozen=True)
class Question:
    """What a person asks.

    Attributes:
        measures: loss, metric, direction, chance, targets, output, dtype.
        activation: of a model of the suite; None = the default.
        choices: by group, a name or (name, options); None = the default.
        keys: by key of the command line; None = the default.
    """

    model: Any
    data: Any
    init: Any
    measures: Mapping[str, Any]
    activation: Any
    choices: Mapping[str, Any]
    keys: Mapping[str, Any]

    @property
    def names_model(self) -> bool:
        return _is_choice(self.model)

    @property
    def names_data(self) -> bool:
        return _is_choice(self.data)

    @property
    def is_of_suite(self) -> bool:
        """Whether a command could ask the same, apart from the initializers: its trials have the same ids."""
        named = [self.measures["loss"] in (None, *losses.LOSSES), self.measures["metric"] in (None, *losses.SCORES)]
        plain = self.measures["output"] is None and self.measures["dtype"] == "float32"
        return self.names_model and self.names_data and all(named) and plain


@dataclass
class Prepared:
    """Jobs, how to run them, and what is to be known about them."""

    jobs: list[Job]
    settings: Settings
    notes: list[str] = field(default_factory=list)


def prepared(question: Question, say: Callable[[str], None]) -> Prepared:
    """Check all that is asked, before anything is trained.

    Raises:
        ConfigError: what cannot be used, or does not fit.
        InitsuiteError: a law or a Dataset that raises.
    """
    wanted = wishes(question.init)
    _check_dtype(question)
    examples = None if question.names_data else examples_of(read(question.data, say))
    trees = _composed(question, wanted, examples)
    for note in examples.notes if examples else ():
        say(note)
    tried: list[tuple[Cell, list[str]]] = []
    left_out: list[str] = []
    make = _of_suite(question) if question.is_of_suite else _of_own(question, trees[0], examples, say)
    for wish, tree in zip(wanted, trees, strict=True):
        try:
            tried.append(make(wish, tree))
        except Exception as error:
            if not wish.is_optional:
                raise
            left_out.append(f"{wish.name} ({first_line(error).partition(': ')[2][:90]})")
    jobs = [Job(cell, protocol_of(trees[0])) for cell in {cell.cell_id: cell for cell, _ in tried}.values()]
    found = Prepared(jobs, settings_of(trees[0]))
    if left_out:
        found.notes.append(f"Left out, as they are not for this model: {format_first(left_out, 6)}.")
    _note_unread(found, sorted({name for _, unread in tried for name in unread}))
    for note in found.notes:
        say(note)
    return replace(found, settings=_placed(found, tried, say))


def _is_choice(given: Any) -> bool:
    is_pair = isinstance(given, tuple | list) and len(given) == 2 and isinstance(given[1], Mapping)
    return isinstance(given, str) or (is_pair and isinstance(given[0], str))


def _check_dtype(question: Question) -> None:
    dtype = question.measures["dtype"]
    if dtype not in DTYPES:
        raise unknown_choice(WHERE, "dtype", dtype, DTYPES)


# ---- configuration --------------------------------------------------------------------------------------------------


def _composed(question: Question, wanted: Sequence[Wish], examples: Examples | None) -> list[Tree]:
    """The resolved configuration of each arm."""
    shared = [*_choices(question), *_keys(question, examples)]
    trees = []
    for composed in compose_each([[*shared, *wish.overrides] for wish in wanted]):
        if composed.error or composed.tree is None:
            raise ConfigError(f"{WHERE}: {composed.error}") from composed.error
        trees.append(composed.tree)
    return [{**tree, "dataset": _dataset(question, tree["dataset"])} for tree in trees]


def _choices(question: Question) -> list[str]:
    given: dict[str, Any] = {
        "activation": question.activation,
        "model": question.model if question.names_model else "custom",
        "dataset": question.data if question.names_data else "custom",
        **question.choices,
    }
    if question.activation is not None and not question.names_model:
        expected = "none, beside a model of your own, which has its own"
        raise bad_value(WHERE, "activation", question.activation, expected)
    overrides = []
    for group, value in given.items():
        value: Any = _DEFAULTS.get(group) if value is None else value
        if value == "custom" and group in ("model", "dataset"):
            overrides.append(f"{group}=custom")
            continue
        if not _is_choice(value):
            expected = f"a name, or (name, options). Names: {', '.join(names_of(group))}"
            raise bad_value(WHERE, group, value, expected)
        name, options = (value, {}) if isinstance(value, str) else value
        if name not in names_of(group):
            raise unknown_choice(WHERE, "data" if group == "dataset" else group, name, names_of(group))
        if group == "activation" and question.activation is None:
            continue  # a model may choose its own
        overrides += [f"{group}={name}", *(as_overrides({f"++{group}.{key}": options[key]}) for key in options)]
    return overrides


def _keys(question: Question, examples: Examples | None) -> list[str]:
    given = {name: value for name, value in question.keys.items() if value is not None}
    for name in ("max_steps", "eval_every", "batch_size"):
        if name in given:
            check_whole_number(WHERE, name, given[name])
    if examples:
        size = len(examples.dataset.train)
        given.setdefault("batch_size", examples.batch_size)
        if given["batch_size"] > size:
            raise bad_value(WHERE, "batch_size", given["batch_size"], f"at most the {size:,} training examples")
        if "eval_every" not in given and "max_steps" in given:
            given["eval_every"] = max(1, min(_EVAL_EVERY, given["max_steps"] // _EVALUATIONS))
    return [as_overrides({name: str(value) if name == "results_dir" else value}) for name, value in given.items()]


def _dataset(question: Question, tree: Tree) -> Tree:
    """The configuration of the data set, with the measures that were asked for by name."""
    asked = question.measures
    loss, metric = (asked[name] if isinstance(asked[name], str) else None for name in ("loss", "metric"))
    changed = {"loss": loss} if loss in losses.LOSSES else {}
    if metric in losses.SCORES and metric != tree["metric"]:
        changed |= {"metric": metric, "direction": METRICS[metric].direction, "levels": dict.fromkeys(tree["levels"])}
    changed |= {} if asked["chance"] is None else {"chance": asked["chance"]}
    changed |= {} if asked["targets"] is None else {"levels": levels_of(asked["targets"])}
    return {**tree, **changed}


# ---- cells ----------------------------------------------------------------------------------------------------------

Make = Callable[[Wish, Tree], tuple[Cell, list[str]]]
"""From an initializer and its configuration to a cell, and the code whose source cannot be read."""


def _of_suite(question: Question) -> Make:
    """Cells of a model and a data set of the suite, with the ids that the command line gives them."""
    builder = Builder()

    def make(wish: Wish, tree: Tree) -> tuple[Cell, list[str]]:
        if wish.name:
            return builder.build(tree)[0].cell, []
        context, workload = builder.context(tree)
        arm, unread = arm_of(wish, workload, tree, is_own=False)
        return make_cell(context, workload, _once(arm, unread), tree, FROM_PYTHON), unread

    return make


def _of_own(question: Question, tree: Tree, examples: Examples | None, say: Callable[[str], None]) -> Make:
    """Cells of a person's own model or data."""
    if examples is None:
        dataset = make_dataset(tree["dataset"])
        identified = [identity("dataset", tree["dataset"]), dataset.fingerprint]
        examples = Examples(dataset, label("dataset", tree["dataset"]), tree["batch_size"], ())
    else:
        identified = examples.dataset.fingerprint
    asked = {**question.measures, "levels": None}
    if question.measures["targets"] is not None:
        asked["levels"] = levels_of(question.measures["targets"])
    frame = Frame(None if question.names_model else question.model, examples, identified, asked)
    frame.made(tree)
    for note in frame.notes:
        say(note)

    def make(wish: Wish, tree: Tree) -> tuple[Cell, list[str]]:
        context, required = frame.context(tree), frame.required(tree) if wish.name else tree
        workload = frame.made(required).workload
        arm, unread = arm_of(wish, workload, tree, is_own=frame.model is not None)
        cell = make_cell(context, workload, _once(arm, unread), frame.tree(tree, context), FROM_PYTHON)
        return cell, [*frame.unread, *unread]

    return make


def _once(arm: Arm, unread: list[str]) -> Arm:
    """An arm with an identity that no other call has, where its source cannot be read."""
    return replace(arm, identity={**arm.identity, "once": uuid.uuid4().hex}) if unread else arm


def _note_unread(found: Prepared, unread: list[str]) -> None:
    if unread:
        found.notes.append(
            f"No source can be read of {format_first(unread, 3)}, so nothing says whether it has changed: trials that "
            "are stored are not used again. Put it into a file to resume."
        )


def _placed(found: Prepared, tried: list[tuple[Cell, list[str]]], say: Callable[[str], None]) -> Settings:
    """Training stays in this process: others would have to start the script of the user again, and import its classes.

    With `workers`, processes are used where all code can be imported.
    """
    settings = found.settings
    if settings.workers is None:
        return replace(settings, has_processes=False)
    local = sorted({name for cell, _ in tried for name in _of_main(cell)})
    if local:
        say(
            f"{format_first(local, 3)} cannot be imported by worker processes: training in threads. Put it in a module."
        )
    return replace(settings, has_processes=not local)


def _of_main(cell: Cell) -> set[str]:
    """Classes of the script or notebook that a cell holds."""
    workload = cell.workload
    held = [*workload.model.modules(), cell.initializer, getattr(cell.initializer, "weight", None)]
    kinds = {*map(type, held), workload.loss, workload.score, cell.initializer}
    return {str(getattr(kind, "__qualname__", kind)) for kind in kinds if getattr(kind, "__module__", "") == "__main__"}
