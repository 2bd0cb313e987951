"""What all arms of a comparison share, from a person's own model and data: the workload, its ids, its labels."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from initsuite.activations import activation
from initsuite.apply.own.examples import Examples
from initsuite.apply.own.measures import Measures, check_measures, measures_of, of_nothing, with_outputs
from initsuite.apply.own.network import FEW, Network, network_of
from initsuite.apply.own.reading import WHERE
from initsuite.config.build import Context
from initsuite.config.groups import instantiate, label
from initsuite.config.initializer import required_model
from initsuite.data import losses
from initsuite.data.base import Dataset, Split
from initsuite.engine.passes import picked
from initsuite.engine.workload import Workload
from initsuite.errors import bad_value
from initsuite.protocol.yardstick import METRICS
from initsuite.spec import short_hash

Tree = dict[str, Any]
DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Made:
    """A workload, with what made it."""

    workload: Workload
    measures: Measures
    network: Network
    chance: float


@dataclass
class Frame:
    """A person's own model or data, or a measure of their own on those of the suite.

    Attributes:
        model: a class, a function or an instance; None = the model that the configuration names.
        examples: the data, and what to call them.
        data_identity: what goes into ids for the data.
        asked: loss, metric, direction, chance, output (None where not given), levels and dtype.
        notes: lines for the user.
        unread: code without a source that can be read: nothing that is stored is used again.
    """

    model: Any
    examples: Examples
    data_identity: Any
    asked: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    _made: dict[str, Made] = field(default_factory=dict)

    def made(self, tree: Tree) -> Made:
        """The workload of a configuration, made once for each model."""
        key = short_hash([tree["model"], tree["activation"]])
        if key not in self._made:
            self._made[key] = self._make(tree)
        return self._made[key]

    def required(self, tree: Tree) -> Tree:
        """The configuration with the options that its initializer requires of a model of the suite."""
        return tree if self.model is not None else {**tree, "model": required_model(tree)}

    def context(self, tree: Tree) -> Context:
        """What the cells of a configuration share."""
        made = self.made(tree)
        axes = {"dataset": self.examples.label, "model": made.network.label, "activation": made.network.activation}
        return Context(made.workload.workload_id, axes, self._dataset_tree(tree, made))

    def tree(self, tree: Tree, context: Context) -> Tree:
        """The configuration that is stored: the model and the activation by their labels where they are no choices."""
        if self.model is None:
            return tree
        return {**tree, "model": {"name": context.axes["model"]}, "activation": {"name": context.axes["activation"]}}

    def _make(self, tree: Tree) -> Made:
        dataset = self.examples.dataset
        given = self.model if self.model is not None else _factory(tree, dataset)
        network = network_of(given, dataset.train)
        outputs = picked(network.returned, self.asked["output"])
        dataset = _as_columns(dataset, outputs)
        few = dataset.train.map(lambda tensor: tensor[:FEW])
        measures = measures_of(self.asked["loss"], self.asked["metric"], self.asked["direction"], outputs, few)
        dataset = with_outputs(dataset, outputs, measures)
        check_measures(measures, outputs, few)
        for name in (*network.identity.unread, *measures.identity.unread):
            if name not in self.unread:
                self.unread.append(name)
        self.notes += [note for note in measures.notes if note not in self.notes]
        budget = {name: tree[name] for name in ("batch_size", "max_steps", "eval_every")}
        workload = Workload(
            self._id(network, measures, budget),
            dataset,
            network.model,
            network.specs,
            measures.loss,
            measures.score,
            chance_loss=0.0,
            own_values=network.own_values,
            output=self.asked["output"],
            eval_batch_size=None if measures.are_ours else budget["batch_size"],
            dtype=DTYPES[self.asked["dtype"]],
            **budget,
        )
        is_ours = measures.loss_name in losses.LOSSES
        chance_loss = losses.loss_of(measures.loss_name, dataset)[1] if is_ours else of_nothing(workload, measures.loss)
        return Made(replace(workload, chance_loss=chance_loss), measures, network, self._chance(workload, measures))

    def _chance(self, workload: Workload, measures: Measures) -> float:
        if self.asked["chance"] is not None:
            return self.asked["chance"]
        if measures.metric in losses.SCORES:
            return losses.score_of(measures.metric, workload.dataset)[1]
        return of_nothing(workload, measures.score)

    def _id(self, network: Network, measures: Measures, budget: Mapping[str, int]) -> str:
        once = uuid.uuid4().hex if network.identity.unread or measures.identity.unread else ""
        scored = [measures.loss_name, measures.metric, measures.identity.parts]
        chosen = [self.asked["output"], self.asked["dtype"]]
        return short_hash(["own", self.data_identity, network.identity.parts, scored, chosen, budget, once])

    def _dataset_tree(self, tree: Tree, made: Made) -> Tree:
        """The configuration of the data set, as it is stored with the trials."""
        stored, measures = tree["dataset"], made.measures
        levels = self.asked["levels"]
        if levels is None:
            levels = stored["levels"] if stored["metric"] == measures.metric else dict.fromkeys(stored["levels"])
        own = {"name": self.examples.label, "fingerprint": self.examples.dataset.fingerprint}
        kept = (
            {key: value for key, value in stored.items() if key != "_target_"} | own if own["fingerprint"] else stored
        )
        return {
            **kept,
            "loss": measures.loss_name,
            "metric": measures.metric,
            "direction": METRICS[measures.metric].direction,
            "chance": made.chance,
            "levels": levels,
        }


def _factory(tree: Tree, dataset: Dataset) -> Any:
    """A model of the suite, for a person's own data."""
    options = {name: value for name, value in tree["activation"].items() if name != "name"}
    inputs = dataset.train.inputs
    if not isinstance(inputs, Tensor):
        expected = "one tensor: the models of the suite take one input"
        raise bad_value(WHERE, "data", f"inputs of {type(inputs).__name__}", expected)
    build = functools.partial(
        instantiate,
        "model",
        tree["model"],
        input_shape=tuple(inputs.shape[1:]),
        num_outputs=_num_outputs(dataset),
        activation=activation(tree["activation"]["name"], **options),
    )
    build.__name__ = label("model", tree["model"])  # type: ignore[attr-defined]
    return build


def _num_outputs(dataset: Dataset) -> int:
    """As many as the targets have classes or values."""
    targets = [split.targets for split in (dataset.train, dataset.validation, dataset.test)]
    if not all(isinstance(each, Tensor) for each in targets):
        raise bad_value(WHERE, "data", "no targets", "classes or values: the models of the suite need to know how many")
    if targets[0].is_floating_point():
        return int(targets[0].shape[-1]) if targets[0].ndim > 1 else 1
    return 1 + max(int(each.max()) for each in targets)


def _as_columns(dataset: Dataset, outputs: Any) -> Dataset:
    """Values [example] as [example, 1], where the model gives those: subtracted, they would make a square of pairs."""
    targets = dataset.train.targets
    is_flat = isinstance(targets, Tensor) and targets.is_floating_point() and targets.ndim == 1
    if not is_flat or not isinstance(outputs, Tensor) or outputs.ndim != 2 or outputs.shape[1] != 1:
        return dataset
    splits = (dataset.train, dataset.validation, dataset.test)
    train, validation, test = (Split(split.inputs, split.targets[:, None]) for split in splits)
    return replace(dataset, train=train, validation=validation, test=test)
