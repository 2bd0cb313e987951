"""Counts, names, times, sizes and errors in words; what others call the things of this suite."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

OWN = "custom"
"""The choice of a group that stands for a user's own."""

WORDS = {
    "kaiming": "he", "msra": "he", "glorot": "xavier", "gaussian": "normal", "ortho": "orthogonal",
    "trunc": "truncated", "zeros": "zero", "ones": "constant", "eye": "identity",
    "dirac": "delta_orthogonal", "pytorch": "torch_default", "torch": "torch_default", "keras": "keras_default",
    "tensorflow": "keras_default", "flax": "flax_default", "jax": "flax_default",
    "swish": "silu", "linear": "identity", "logistic": "sigmoid", "sin": "sine", "lrelu": "leaky_relu",
    "fmnist": "fashion_mnist", "fashion": "fashion_mnist", "cifar": "cifar10", "shakespeare": "text",
    "dnn": "mlp", "ffn": "mlp", "dense": "mlp", "convnet": "cnn", "gpt": "transformer", "elman": "rnn",
    "momentum": "sgd", "nag": "nesterov", "rms": "rmsprop",
    "imagenet": OWN, "imagenette": OWN, "coco": OWN, "wikitext": OWN, "librispeech": OWN,
}  # fmt: skip
"""By a word of the field, the word or words used here; `OWN` for what does not come with the suite."""

FILLERS = {"normal", "init", "initializer", "initialization", "weights", "random", "tiny", "1k"}
"""Words that may be left out: a law without `uniform` in its name is normal here."""

KEYS = {
    "epochs": "max_steps", "num_epochs": "max_steps", "steps": "max_steps", "iterations": "max_steps",
    "learning_rate": "lr", "batch": "batch_size", "bs": "batch_size", "seed": "seeds", "num_seeds": "seeds",
    "hidden": "width", "hidden_size": "width", "layers": "depth", "num_layers": "depth", "wd": "weight_decay",
    "gpu": "device", "output_dir": "results_dir", "out": "results_dir", "wandb": "tracking.mode",
}  # fmt: skip
"""By another name of a key of the configuration, the last part of its name here."""


def verdict_name(verdict: str, direction: str) -> str:
    """An illness of a network with the direction in which it shows, if it has one.

    Example:
        >>> verdict_name("vanishing", "forward"), verdict_name("dead", "")
        ('vanishing forward', 'dead')
    """
    return f"{verdict} {direction}".strip()


def plural(number: float, what: str) -> str:
    """A noun, as it follows a number."""
    return what if number == 1 else f"{what}s"


def format_count(number: int, what: str) -> str:
    """`1 seed`, `6 seeds`."""
    return f"{number} {plural(number, what)}"


def format_range(numbers: Iterable[int]) -> str:
    """From the lowest to the highest: `6 to 10`, or `6` if all agree."""
    found = sorted({int(number) for number in numbers})
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"


def format_counts(numbers: Iterable[int], what: str) -> str:
    """A range with its noun: `6 to 10 seeds`."""
    numbers = list(numbers)
    return f"{format_range(numbers)} {plural(max(numbers), what)}"


def format_names(names: Sequence[str], last: str = "and") -> str:
    """`he, xavier and zero`; `last` stands before the last one."""
    return f" {last} ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def format_first(names: Sequence[str], most: int) -> str:
    """The first `most` names, and how many are left: `he, xavier and 3 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def format_duration(seconds: float) -> str:
    """In the two largest units: `8 s`, `1 min 00 s`, `3 h 02 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def format_bytes(number: float) -> str:
    """In powers of 1,000: `20.5 kB`."""
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"


def last_line(text: object) -> str:
    """The last line of a traceback; "" if there is no text."""
    lines = text.strip().splitlines() if isinstance(text, str) else []
    return lines[-1].strip() if lines else ""


def first_line(error: Exception) -> str:
    """The type of an error and the first line of its message."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def known_as(name: str, choices: Iterable[str]) -> str | None:
    """The choice that the field calls by this name; None if it calls none so.

    Example:
        >>> choices = ["he", "he_uniform", "xavier", "leaky_relu", "normal"]
        >>> [known_as(name, choices) for name in ("kaiming", "KaimingUniform", "glorot_normal_", "LeakyReLU", "what")]
        ['he', 'he_uniform', 'xavier', 'leaky_relu', None]
    """
    here, words = {_squeezed(choice): choice for choice in choices}, _words(name)
    for left_out in (set(), FILLERS - {"normal"}, FILLERS):
        kept = [word for word in words if word not in left_out]
        translated = "".join(dict.fromkeys(WORDS.get(word, word) for word in kept))
        for candidate in (translated, WORDS.get("".join(kept), "")):
            if (found := here.get(_squeezed(candidate))) and found != name:
                return found
    return None


def keys_known_as(name: str, tree: Mapping[str, object]) -> list[str]:
    """The full names of the keys of a configuration that end in this name, or in what it is called here.

    Example:
        >>> keys_known_as("learning_rate", {"optimizer": {"lr": 0.1}, "seeds": 3})
        ['optimizer.lr']
    """
    wanted = KEYS.get(name, name)
    return [path for path in _paths(tree) if path == wanted or path.endswith(f".{wanted}")]


def _paths(tree: Mapping[str, object], prefix: str = "") -> list[str]:
    found: list[str] = []
    for key, value in tree.items():
        found.append(f"{prefix}{key}")
        if isinstance(value, Mapping):
            found += _paths(value, f"{prefix}{key}.")
    return found


def _words(name: str) -> Sequence[str]:
    """`KaimingNormal`, `kaiming-normal` and `kaiming_normal_` are kaiming, normal."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", name.rpartition(".")[2])
    return [word.lower() for word in re.split(r"[\W_]+", apart) if word]


def _squeezed(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()
