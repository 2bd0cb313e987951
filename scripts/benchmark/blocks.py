"""The arms of every block, by name; each is built, and its options are tried out, when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmark.former import FORMER, unpacked
from benchmark.launches import Place, first_launch_arm, one_trial_per_job_arm, suite_arm, training_arm
from benchmark.machine import SGEMM_SIZE, num_cores, sgemm
from benchmark.neighbours import beside_neighbours
from benchmark.plain import DEFAULT_LOADING, LOADING, Loading, PlainLoop
from benchmark.rows import GPU_WIDTHS, LIMIT, Sizes
from benchmark.timing import Arm
from benchmark.training import INITIALIZERS, Work, in_gflop, steps_arm, whole_arm

Arms = Mapping[str, Callable[[], Arm]]

DIGITS = ("dataset=digits", "model.widths=[128,128]", "batch_size=64", "optimizer=sgd")
FASHION = ("dataset=fashion_mnist", "model.widths=[64,128,64]", "model.norm=batch", "batch_size=128", "optimizer=adam")
WIDE = ("dataset=fashion_mnist", "model.widths=[512,512,512]", "batch_size=128", "optimizer=sgd")
SWEPT = f"init={','.join(INITIALIZERS)}"
EVAL_EVERY, EPOCH = 43, 430
"""Steps between evaluations of Fashion-MNIST: the data set's own, and about an epoch."""
DIGITS_EVAL_EVERY = 20
DIGITS_BUDGET, FASHION_BUDGET = 600, 1290
"""Steps of a trial in the configurations of the data sets: rates are in trials of so many."""


def digits_stack(sizes: Sizes, place: Place) -> Arms:
    every, width = Work(DIGITS, 60 * num_cores(), 0.1), 60
    return {
        "suite": lambda: steps_arm(every, width, sizes.stack_steps, DIGITS_BUDGET, num_cores()),
        "one": lambda: steps_arm(Work(DIGITS, sizes.ones, 0.1), 1, sizes.stack_steps, DIGITS_BUDGET),
        LIMIT: sgemm_arm,
    }


def fashion_stack(sizes: Sizes, place: Place) -> Arms:
    def arm(num_trials: int, width: int, lanes: int) -> Arm:
        work = Work(FASHION, num_trials, 0.003)
        return whole_arm(work, width, sizes.fashion_steps, EVAL_EVERY, FASHION_BUDGET, lanes)

    return {
        "suite": lambda: arm(30 * num_cores(), 30, num_cores()),
        "one": lambda: arm(sizes.ones, 1, 1),
        LIMIT: sgemm_arm,
    }


def fashion_rate(sizes: Sizes, place: Place) -> Arms:
    """Stacks of one seed, as the suite packs tuning trials of which one seed has more than a stack holds."""
    width, count = sizes.rate_trials, sizes.rate_trials * num_cores()
    work = Work(WIDE, count, 0.05, num_lrs=-(-count // len(INITIALIZERS)))
    return {
        "suite": lambda: in_gflop(steps_arm(work, width, sizes.rate_steps, FASHION_BUDGET, num_cores())),
        LIMIT: sgemm_arm,
    }


def sgemm_arm() -> Arm:
    return Arm(f"{SGEMM_SIZE} x {SGEMM_SIZE} float32, one product on each of {num_cores()} cores", sgemm)


def fashion_command(place: Place, budget: int, eval_every: int) -> list[str]:
    """Overrides of 30 scoring trials of Fashion-MNIST."""
    steps = [f"max_steps={budget}", f"eval_every={eval_every}"]
    fixed = [SWEPT, "protocol=fixed", "optimizer.lr=0.003", "seeds=6"]
    return [*fixed, *steps, *FASHION, f"data_dir={place.fashion_mnist()}"]


def digits_command(sizes: Sizes) -> list[str]:
    """Overrides of scoring trials of the default model."""
    fixed = [SWEPT, "protocol=fixed", "optimizer.lr=0.1", f"seeds={sizes.digits_trials // len(INITIALIZERS)}"]
    return [*fixed, f"max_steps={sizes.digits_steps}"]


def fashion_process(sizes: Sizes, place: Place, eval_every: int = EVAL_EVERY) -> Arms:
    budget = sizes.fashion_budget

    def suite(mode: str) -> Arm:
        overrides = [*fashion_command(place, budget, eval_every), f"tracking={mode}"]
        return suite_arm(place, f"30 trials of {budget} steps, W&B {mode}", overrides, 30)

    def plain(num_processes: int, options: Sequence[Loading] = LOADING[:1]) -> Arm:
        return PlainLoop(place, num_processes, sizes.plain_steps, EVAL_EVERY, budget, eval_every, 30, options).arm()

    return {
        "offline": lambda: suite("offline"),
        "disabled": lambda: suite("disabled"),
        "plain-default": lambda: plain(1, [DEFAULT_LOADING]),
        "plain-basic": lambda: plain(1, LOADING[: sizes.loadings]),
        "plain-joblib": lambda: plain(max(2, num_cores())),
    }


def kind(model: tuple[str, ...]) -> Callable[[Sizes, Place], Arms]:
    """Blocks that compare a launch of one kind of model, planning and worker processes included, with its trials
    trained in turn in this process. The suite has so many trials that worker processes may pay."""

    def block(sizes: Sizes, place: Place) -> Arms:
        trials, steps = sizes.kind_trials, sizes.kind_steps
        fixed = [SWEPT, "protocol=fixed", "optimizer.lr=0.02", f"seeds={trials // len(INITIALIZERS)}"]
        overrides = [*fixed, f"max_steps={steps}", f"eval_every={DIGITS_EVAL_EVERY}", "tracking=disabled", *model]
        few = Work(model, sizes.ones, 0.02)
        return {
            "suite": lambda: training_arm(place, f"{trials} trials of {steps} steps, as planned", overrides, trials),
            "one": lambda: whole_arm(few, 1, steps, DIGITS_EVAL_EVERY, steps),
        }

    return block


def digits_process(sizes: Sizes, place: Place) -> Arms:
    trials, steps = sizes.digits_trials, sizes.digits_steps

    def suite(mode: str) -> Arm:
        label = f"{trials:,} trials of {steps} steps, W&B {mode}"
        return suite_arm(place, label, [*digits_command(sizes), f"tracking={mode}"], trials)

    few = [SWEPT, "protocol=fixed", "optimizer.lr=0.05,0.1", "seeds=1", f"max_steps={steps}", "tracking=offline"]
    return {
        "offline": lambda: suite("offline"),
        "disabled": lambda: suite("disabled"),
        "one-per-job": lambda: one_trial_per_job_arm(place, few, 10, trials),
    }


def main_job(sizes: Sizes, place: Place) -> Arms:
    """The command of the README; whole launches, so the unit is one of them."""
    overrides = [SWEPT, f"max_steps={sizes.main_steps}", "tracking=offline"]

    def idle() -> Arm:
        return first_launch_arm(place, "the whole launch, tuning included, W&B offline", overrides, 1)

    return {"busy": lambda: beside_neighbours(idle(), place), "idle": idle}


def digits_former(sizes: Sizes, place: Place) -> Arms:
    return versions(place, lambda: digits_command(sizes), sizes.digits_trials)


def fashion_former(sizes: Sizes, place: Place) -> Arms:
    return versions(place, lambda: fashion_command(place, sizes.fashion_budget, EVAL_EVERY), 30)


def versions(place: Place, command: Callable[[], list[str]], num_trials: int) -> Arms:
    """The same launch by this version and by a former one."""

    def arm(version: str, tree: Path | None) -> Arm:
        overrides = [*command(), "tracking=disabled"]
        return first_launch_arm(place, f"{num_trials:,} trials, W&B disabled, {version}", overrides, num_trials, tree)

    return {"now": lambda: arm("this version", None), "former": lambda: arm(FORMER, unpacked(place))}


def gpu(overrides: tuple[str, ...], lr: float, budget: int) -> Callable[[Sizes, Place], Arms]:
    """Blocks that compare widths on a GPU."""

    def block(sizes: Sizes, place: Place) -> Arms:
        return {
            f"width-{width}": lambda width=width: steps_arm(
                Work(overrides, width, lr, "cuda"), width, sizes.gpu_steps, budget
            )
            for width in (*GPU_WIDTHS, 1)
        }

    return block


BLOCKS: dict[str, Callable[[Sizes, Place], Arms]] = {
    "digits-stack": digits_stack,
    "fashion-stack": fashion_stack,
    "fashion-rate": fashion_rate,
    "cnn": kind(("model=cnn",)),
    "rnn": kind(("model=rnn", "activation=tanh")),
    "fashion-process": fashion_process,
    "fashion-epoch": lambda sizes, place: fashion_process(sizes, place, min(EPOCH, sizes.fashion_budget // 2)),
    "digits-process": digits_process,
    "main-busy": main_job,
    "digits-former": digits_former,
    "fashion-former": fashion_former,
    "gpu-digits": gpu(DIGITS, 0.1, DIGITS_BUDGET),
    "gpu-fashion": gpu(FASHION, 0.003, FASHION_BUDGET),
}
IN_PROCESS = ("digits-stack", "fashion-stack", "fashion-rate", "gpu-digits", "gpu-fashion")
"""Blocks whose arms take seconds; the others start programs, and are repeated less often."""


def num_repeats(block: str, sizes: Sizes) -> int:
    """How often the arms of a block are run."""
    if block in (*IN_PROCESS, "fashion-former"):
        return sizes.repeats
    return sizes.process_repeats if block in ("fashion-process", "main-busy", "digits-former") else sizes.long_repeats
