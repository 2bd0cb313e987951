"""The arms of every block, by name; each is built, and its options are tried out, when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benchmark.launches import Place, one_trial_per_job_arm, suite_arm, training_arm
from benchmark.machine import SGEMM_SIZE, num_cores, sgemm
from benchmark.plain import DEFAULT_LOADING, LOADING, Loading, PlainLoop
from benchmark.rows import GPU_WIDTHS, Sizes
from benchmark.timing import Arm
from benchmark.training import INITIALIZERS, Work, rate_arm, steps_arm, whole_arm

Arms = Mapping[str, Callable[[], Arm]]

DIGITS = ("dataset=digits", "model.widths=[128,128]", "batch_size=64", "optimizer=sgd")
FASHION = ("dataset=fashion_mnist", "model.widths=[64,128,64]", "model.norm=batch", "batch_size=128", "optimizer=adam")
WIDE = ("dataset=fashion_mnist", "model.widths=[512,512,512]", "batch_size=128", "optimizer=sgd")
SWEPT = f"init={','.join(INITIALIZERS)}"
EVAL_EVERY, EPOCH = 43, 430
"""Steps between evaluations of Fashion-MNIST: the data set's own, and about an epoch."""
DIGITS_BUDGET, FASHION_BUDGET = 600, 1290
"""Steps of a trial in the configurations of the data sets: rates are in trials of so many."""


def digits_stack(sizes: Sizes, place: Place) -> Arms:
    return {
        "suite": lambda: steps_arm(Work(DIGITS, 60, 0.1), 60, sizes.stack_steps, DIGITS_BUDGET),
        "one": lambda: steps_arm(Work(DIGITS, sizes.ones, 0.1), 1, sizes.stack_steps, DIGITS_BUDGET),
    }


def fashion_stack(sizes: Sizes, place: Place) -> Arms:
    return {
        "suite": lambda: whole_arm(Work(FASHION, 30, 0.003), 30, sizes.fashion_steps, EVAL_EVERY, FASHION_BUDGET),
        "one": lambda: whole_arm(Work(FASHION, sizes.ones, 0.003), 1, sizes.fashion_steps, EVAL_EVERY, FASHION_BUDGET),
    }


def fashion_rate(sizes: Sizes, place: Place) -> Arms:
    work = Work(WIDE, sizes.rate_trials, 0.05)
    return {
        "suite": lambda: rate_arm(work, work.num_trials, sizes.rate_steps),
        "sgemm": lambda: Arm(f"{SGEMM_SIZE} x {SGEMM_SIZE} float32, {num_cores()} threads", sgemm),
    }


def fashion_process(sizes: Sizes, place: Place, eval_every: int = EVAL_EVERY) -> Arms:
    budget = sizes.fashion_budget

    def suite(mode: str) -> Arm:
        overrides = [
            SWEPT,
            "protocol=fixed",
            "optimizer.lr=0.003",
            "seeds=6",
            f"max_steps={budget}",
            f"eval_every={eval_every}",
            *FASHION,
            f"data_dir={place.fashion_mnist()}",
            f"tracking={mode}",
        ]
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
    """Blocks that compare launches of one kind of model, planning and worker processes included.

    The suite has so many trials that its planner tries worker processes; one at a time, the time is in proportion.
    """

    def block(sizes: Sizes, place: Place) -> Arms:
        frame = [SWEPT, "protocol=fixed", "optimizer.lr=0.02", f"max_steps={sizes.kind_steps}", "tracking=disabled"]

        def command(num_trials: int, *pinned: str) -> list[str]:
            return [*frame, *model, f"seeds={num_trials // len(INITIALIZERS)}", *pinned]

        label = f"{sizes.kind_trials} trials of {sizes.kind_steps} steps"
        ones = (len(INITIALIZERS), sizes.kind_ones, sizes.kind_trials)
        measured = f"measured: {ones[0]} and {ones[1]}, the others extrapolated"

        def one_at_a_time(num_trials: int) -> list[str]:
            return command(num_trials, "max_stack=1", "workers=1")

        return {
            "suite": lambda: training_arm(place, f"{label}, as planned", command, [sizes.kind_trials]),
            "one": lambda: training_arm(place, f"{label} one at a time, all threads; {measured}", one_at_a_time, ones),
        }

    return block


def digits_process(sizes: Sizes, place: Place) -> Arms:
    trials, steps = sizes.digits_trials, sizes.digits_steps
    shared = [SWEPT, "protocol=fixed", f"max_steps={steps}"]

    def suite(mode: str) -> Arm:
        overrides = [*shared, "optimizer.lr=0.1", f"seeds={trials // 5}", f"tracking={mode}"]
        return suite_arm(place, f"{trials:,} trials of {steps} steps, W&B {mode}", overrides, trials)

    alone = [*shared, "optimizer.lr=0.05,0.1", "seeds=1", "tracking=offline"]
    return {
        "offline": lambda: suite("offline"),
        "disabled": lambda: suite("disabled"),
        "one-per-job": lambda: one_trial_per_job_arm(place, alone, 10, trials),
    }


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
    "gpu-digits": gpu(DIGITS, 0.1, DIGITS_BUDGET),
    "gpu-fashion": gpu(FASHION, 0.003, FASHION_BUDGET),
}
IN_PROCESS = ("digits-stack", "fashion-stack", "fashion-rate", "gpu-digits", "gpu-fashion")
"""Blocks whose arms take seconds; the others start programs, and are repeated less often."""


def num_repeats(block: str, sizes: Sizes) -> int:
    """How often the arms of a block are run."""
    if block in IN_PROCESS:
        return sizes.repeats
    return sizes.process_repeats if block == "fashion-process" else sizes.long_repeats
