"""The rows of the table, and how much is measured for each."""

from __future__ import annotations

from dataclasses import dataclass

AT_LEAST, AT_MOST = "at least", "at most"
FORMER = "caf4eea"
"""The commit that rows are compared with. Its training runs beside the libraries of this version: great-tables, which
it lists and this version does not, is imported by its report alone."""
DIGITS = "digits, MLP 64-128-128-10, batch 64, sgd"
FASHION = "Fashion-MNIST, MLP 784-64-128-64-10 with BatchNorm, Adam, batch 128, 30 trials"
GPU_WIDTHS = (64, 512)
LIMIT = "sgemm"
"""The arm that blocks have whose matrix products are counted: how fast this machine multiplies matrices."""
IN_TURN = "trials in turn, on one core"
"""What stacks on all cores are compared with: what a loop over trials does."""


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        name: what `--only` takes.
        block: arms that are measured in turn; rows of one block share them.
        work: what is trained.
        against: what the suite is compared with.
        suite: name of an arm of the block.
        other: name of the arm it is compared with.
        unit: unit of both rates.
        bound: at least: for the suite's rate over the other. At most: for the suite's time over the other's.
        limit: number to reach; None if there is none.
    """

    name: str
    block: str
    work: str
    against: str
    suite: str
    other: str
    unit: str = "trials/s"
    bound: str = AT_LEAST
    limit: float | None = None


ROWS = (
    Row(
        "digits-stack",
        "digits-stack",
        f"{DIGITS}, stacks of 60, evaluation excluded",
        IN_TURN,
        "suite",
        "one",
        limit=8,
    ),
    Row("fashion-stack", "fashion-stack", f"{FASHION} per stack", IN_TURN, "suite", "one", limit=4.5),
    Row(
        "fashion-plain",
        "fashion-process",
        f"{FASHION}, whole process",
        "plain loop with DataLoader and transforms (defaults of torch), Hydra basic launcher, W&B offline",
        "offline",
        "plain-default",
        limit=25,
    ),
    Row(
        "fashion-plain-tuned",
        "fashion-process",
        f"{FASHION}, whole process",
        "the same plain loop with the DataLoader workers and threads that are fastest here",
        "offline",
        "plain-basic",
    ),
    Row(
        "fashion-plain-epoch",
        "fashion-epoch",
        f"{FASHION}, whole process, evaluated once an epoch",
        "the same plain loop, evaluated once an epoch",
        "offline",
        "plain-basic",
    ),
    Row(
        "fashion-joblib",
        "fashion-process",
        f"{FASHION}, whole process",
        "the same plain loop, Hydra joblib launcher, one process per core",
        "offline",
        "plain-joblib",
    ),
    Row(
        "fashion-rate",
        "fashion-rate",
        "Fashion-MNIST, MLP 784-512-512-512-10, sgd, batch 128, stacks of one seed, evaluation excluded: rate reached",
        "the machine's sgemm rate, all cores together",
        "suite",
        LIMIT,
        unit="GFLOP/s",
        limit=0.7,
    ),
    Row("cnn", "cnn", "digits, small cnn, 100 trials", IN_TURN, "suite", "one", limit=1.5),
    Row("rnn", "rnn", "digits, recurrent net, 100 trials", IN_TURN, "suite", "one", limit=3),
    Row(
        "digits-process",
        "digits-process",
        "digits, default model, 1,000 scoring trials of 1,000 steps, whole process, W&B offline",
        "one trial per job on the basic launcher",
        "offline",
        "one-per-job",
        limit=10,
    ),
    Row(
        "fashion-wandb",
        "fashion-process",
        f"{FASHION}, W&B offline",
        "W&B disabled",
        "offline",
        "disabled",
        bound=AT_MOST,
        limit=1.1,
    ),
    Row(
        "digits-wandb",
        "digits-process",
        "digits, default model, 1,000 scoring trials of 1,000 steps, W&B offline",
        "W&B disabled",
        "offline",
        "disabled",
        bound=AT_MOST,
        limit=1.6,
    ),
    Row(
        "main-busy",
        "main-busy",
        "digits, five initializers at the defaults, whole process, beside one busy process per core",
        "the same on an idle machine",
        "busy",
        "idle",
        unit="launches/s",
        bound=AT_MOST,
        limit=2.5,
    ),
    *(
        Row(
            f"{data}-former",
            f"{data}-former",
            f"{words}, whole process",
            f"commit {FORMER}",
            "now",
            "former",
            bound=AT_MOST,
            limit=1.05,
        )
        for data, words in (
            ("digits", "digits, default model, 1,000 scoring trials of 1,000 steps"),
            ("fashion", FASHION),
        )
    ),
    *(
        Row(
            f"gpu-{data}-{width}",
            f"gpu-{data}",
            f"{words}, evaluation excluded, GPU, stack of {width}",
            "stack of one on the GPU",
            f"width-{width}",
            "width-1",
        )
        for data, words in (("digits", DIGITS), ("fashion", FASHION.removesuffix(", 30 trials")))
        for width in GPU_WIDTHS
    ),
)


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    repeats: int = 5
    process_repeats: int = 3
    long_repeats: int = 2
    stack_steps: int = 600
    fashion_steps: int = 215
    rate_steps: int = 30
    rate_trials: int = 12
    ones: int = 5
    fashion_budget: int = 1290
    plain_steps: int = 129
    loadings: int = 3
    kind_trials: int = 100
    kind_steps: int = 600
    digits_trials: int = 1000
    digits_steps: int = 1000
    main_steps: int = 600
    gpu_steps: int = 200


FULL = Sizes()
QUICK = Sizes(
    repeats=3,
    process_repeats=1,
    long_repeats=1,
    stack_steps=150,
    fashion_steps=86,
    rate_steps=8,
    rate_trials=10,
    fashion_budget=172,
    plain_steps=86,
    loadings=1,
    kind_trials=20,
    kind_steps=200,
    digits_trials=100,
    digits_steps=200,
    main_steps=200,
    gpu_steps=50,
)
