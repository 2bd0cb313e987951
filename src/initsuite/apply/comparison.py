"""The Python door: compare initializers on your own network and data."""

from __future__ import annotations

import inspect
import math
import multiprocessing
import time
from dataclasses import replace
from typing import Any

from initsuite.apply.own.arms import USUAL
from initsuite.apply.own.budget import fitted, seconds_of
from initsuite.apply.own.compared import Compared
from initsuite.apply.own.preparing import KEYS, Question, prepared
from initsuite.config.build import Job
from initsuite.config.settings import Settings
from initsuite.errors import InitsuiteError, TrialsFailed, bad_value, unknown_choice
from initsuite.train.launch import Outcome, run_cells
from initsuite.wording import last_line


def compare(
    model: Any,
    data: Any,
    init: Any = USUAL,
    *,
    loss: Any = None,
    metric: Any = None,
    direction: str | None = None,
    chance: float | None = None,
    targets: Any = None,
    output: str | int | None = None,
    activation: Any = None,
    optimizer: Any = "adam",
    schedule: Any = "constant",
    protocol: Any = None,
    seeds: int | None = None,
    max_steps: int | None = None,
    eval_every: int | None = None,
    batch_size: int | None = None,
    budget: str | float | None = None,
    dtype: Any = "float32",
    device: str = "auto",
    results_dir: Any = "results",
    tracking: Any = "disabled",
    **more: Any,
) -> Compared:
    """Compare initializers on your own network and data, as a command compares them on those of the suite.

    The learning rate is tuned for each initializer on seeds of its own; fresh seeds are trained at the best one; all
    initializers of a seed see the same batches. Every trial is stored in `results_dir`: the same call trains only what
    is missing. Ids hold the bytes of the data, the source and the structure of the model, and the source of your own
    laws and losses; where no source can be read, as in an interactive session, nothing that is stored is used again.

    Args:
        model: a class or function without arguments; an instance, of which only the structure counts and which is left
            as it is; or the name of a model of the suite, or (name, options).
        data: (inputs, targets) as tensors or arrays, a torch Dataset or DataLoader, which is read into memory once, or
            the name of a data set. A pair or triple of these gives validation and test data as well, and so does a
            dictionary by the names train, validation and test. Without, a sixth each is held out, by a fixed split,
            stratified by class. Inputs that are a tuple are passed on as arguments, a dictionary as keywords; without
            targets, the loss gets the inputs instead. Numbers are used as they are: standardise them.
        init: an initializer, or several: names in `initializers()`, (name, options) pairs, your own laws (see
            `initsuite.spec`), or "all that fit".
        loss: cross_entropy, mse, or a function of (outputs, targets) that returns one number, or one for each example.
            By default cross-entropy for classes, mean squared error for values, the model's own where it returns one.
        metric: accuracy, mse, bits_per_char, loss, or a function like `loss`, with `direction` max or min.
        chance: score of a model that knows nothing; by default that of a constant.
        targets: the score to reach, which speed is measured at, set before the comparison and not after it; or easy,
            primary and hard ones by name. Without, the area under the validation loss ranks, and the final score stands
            beside it: a level that is taken from the trials themselves would favour one of them.
        output: the name or index of the outputs in what the model returns.
        activation: of a model of the suite.
        optimizer, schedule, protocol, tracking: a choice of the group, or (choice, options). `tracking="auto"` logs
            each scoring trial to Weights & Biases.
        seeds, max_steps, eval_every, batch_size, device, results_dir: the keys of the command line; so are data_dir,
            max_stack, workers, checkpoint_every_s, on_error, replan, experiment_name and
            diagnostics.
        budget: a time such as "5 min": the seeds and learning rates that fit into it are chosen by a plan, and it stops
            then.
        dtype: float32, float64, or bfloat16 for the forward pass, by name or as torch.float64.

    Returns:
        What was found: print it, or look at `.table`, `.trials`, `.curves`, `.plot()`, `.report(folder)` and
        `.snippet()`, the chosen initializer in plain torch.

    Raises:
        ConfigError: an argument that cannot be used, or data and a model that do not fit.
        InitsuiteError: a law or a Dataset that raises.
        TrialsFailed: no trial could be trained.

    Example:
        result = initsuite.compare(MyNet, (images, labels), init=["he", "orthogonal", MyLaw()], max_steps=500)
        print(result)
    """
    _check_call(budget, protocol, seeds)
    begin = time.monotonic()
    keys = {
        "seeds": seeds, "max_steps": max_steps, "eval_every": eval_every, "batch_size": batch_size, "device": device,
        "results_dir": results_dir, **_checked(more),
    }  # fmt: skip
    choices = {"optimizer": optimizer, "schedule": schedule, "protocol": protocol, "tracking": tracking}
    measures = {"loss": loss, "metric": metric, "direction": direction, "chance": chance, "targets": targets}
    measures |= {"output": output, "dtype": str(dtype).removeprefix("torch.")}
    found = prepared(Question(model, data, init, measures, activation, choices, keys), print)
    jobs, settings = found.jobs, found.settings
    if budget is not None:
        jobs = fitted(jobs, settings, seconds_of(budget), print)
        settings = replace(settings, deadline=begin + seconds_of(budget))
    outcome = run_cells(jobs, settings)
    _raise_if_nothing(outcome, jobs, settings)
    return Compared(jobs, settings.results_dir, tuple(found.notes), outcome.is_complete)


def _check_call(budget: object, *chosen: object) -> None:
    """Refuse what a budget would choose beside it, and to run in a worker process that starts a script again.

    Raises:
        ConfigError: beside a budget, something is chosen.
        InitsuiteError: this is such a process.
    """
    if budget is not None and any(each is not None for each in chosen):
        raise bad_value("compare", "budget", budget, "no protocol and no seeds beside it: it chooses them")
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # as `multiprocessing.spawn` itself asks
        raise InitsuiteError(
            "compare: a worker process has started your script again. Expected a call that only the script itself "
            'makes. Put it under `if __name__ == "__main__":`, or leave out `workers`.'
        )


def _checked(more: dict[str, Any]) -> dict[str, Any]:
    """The other keys, if they are such.

    Raises:
        ConfigError: one is not.
    """
    for name in more:
        if name not in KEYS:
            raise unknown_choice("compare", "keyword", name, NAMES)
    return more


NAMES = [*(name for name in inspect.signature(compare).parameters if name != "more"), *KEYS]
"""All keywords."""


def _raise_if_nothing(outcome: Outcome, jobs: list[Job], settings: Settings) -> None:
    """Raise where every trial failed; otherwise the result says which did.

    Raises:
        TrialsFailed: with the last line of one traceback.
    """
    cells = {job.cell.cell_id for job in jobs}
    if len(outcome.failed) and cells <= set(outcome.failed.cell_id) and all(map(math.isnan, outcome.scores)):
        raise TrialsFailed(
            f"compare: no trial could be trained. The last one ended with: {last_line(outcome.failed.error.iloc[-1])} "
            f"The tracebacks are in the column `error` of initsuite.load_results({str(settings.results_dir)!r}).trials."
        )
