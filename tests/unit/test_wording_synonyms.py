"""Names that people bring along, against the real choices of the configuration."""

from __future__ import annotations

import pytest

from initsuite.config.groups import conf_dir, names_of
from initsuite.errors import unknown_choice
from initsuite.wording import KEYS, OWN, WORDS, keys_known_as, known_as

GROUPS = sorted(
    path.name for path in conf_dir().iterdir() if path.is_dir() and path.name not in ("tracking", "experiment")
)


@pytest.mark.parametrize(
    ("group", "name", "here"),
    [
        ("init", "kaiming", "he"),
        ("init", "kaiming_normal_", "he"),
        ("init", "KaimingUniform", "he_uniform"),
        ("init", "he_normal", "he"),
        ("init", "HeNormal", "he"),
        ("init", "torch.nn.init.xavier_uniform_", "xavier_uniform"),
        ("init", "glorot", "xavier"),
        ("init", "GlorotUniform", "xavier_uniform"),
        ("init", "lecun_normal", "lecun"),
        ("init", "trunc_normal", "truncated_normal"),
        ("init", "random_normal", "normal"),
        ("init", "zeros", "zero"),
        ("init", "pytorch", "torch_default"),
        ("init", "dirac_", "delta_orthogonal"),
        ("activation", "swish", "silu"),
        ("activation", "LeakyReLU", "leaky_relu"),
        ("activation", "ReLU", "relu"),
        ("dataset", "FashionMNIST", "fashion_mnist"),
        ("dataset", "fmnist", "fashion_mnist"),
        ("dataset", "imagenet", OWN),
        ("dataset", "ImageNet-1k", OWN),
        ("optimizer", "AdamW", "adamw"),
        ("model", "MLP", "mlp"),
    ],
)
def test_the_name_here_is_found(group: str, name: str, here: str) -> None:
    choices = [*names_of(group), OWN]
    assert here in choices
    assert known_as(name, choices) == here


@pytest.mark.parametrize("group", GROUPS)
def test_no_name_of_a_group_is_taken_for_another(group: str) -> None:
    choices = names_of(group)
    for name in choices:
        others = [choice for choice in choices if choice != name]
        assert known_as(name, choices) is None or name in WORDS, name
        if name not in WORDS:
            assert known_as(f"{name}_", choices) in (name, None), (name, others)


def test_what_nobody_calls_so_is_left_to_the_nearest() -> None:
    assert known_as("hee", ["he", "xavier"]) is None
    assert "Did you mean `he`?" in str(unknown_choice("config", "init", "hee", ["he", "xavier"]))


def test_every_word_leads_to_a_choice_of_some_group() -> None:
    """A renamed choice must not leave a word behind that leads nowhere."""
    choices = {OWN, *(name for group in GROUPS for name in names_of(group))}
    parts = {part for choice in choices for part in choice.split("_")}
    assert {here for here in WORDS.values() if here not in choices | parts} == set()


def test_keys_are_found_wherever_they_stand() -> None:
    tree = {"optimizer": {"lr": 0.1, "weight_decay": 0.0}, "model": {"width": 64, "depth": 2}, "max_steps": 600}
    assert keys_known_as("lr", tree) == keys_known_as("learning_rate", tree) == ["optimizer.lr"]
    assert keys_known_as("wd", tree) == ["optimizer.weight_decay"]
    assert keys_known_as("layers", tree) == ["model.depth"]
    assert keys_known_as("epochs", tree) == ["max_steps"]
    assert keys_known_as("nothing", tree) == []
    assert all(value == value.strip() for value in KEYS.values())
