"""Fashion-MNIST the way most people train it: a Hydra app, a DataLoader with transforms, one trial per job.

A program of its own that the benchmark compares the suite with; nothing of the suite is in its loop.

    python -m benchmark.plain_loop data_dir=DIR
    python -m benchmark.plain_loop -m data_dir=DIR init=xavier,he seed=0,1 hydra/launcher=joblib
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
import torch
import wandb
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Subset

from initsuite.data.torchvision_import import import_torchvision

import_torchvision()  # beside a torch of another build, a plain import fails
from torchvision import datasets, transforms  # noqa: E402

MEAN, STD = 0.2860, 0.3530
"""Mean and std of the training images, on the scale 0 to 1."""


@dataclass
class Config:
    data_dir: str = MISSING
    """Holds FashionMNIST/raw, as torchvision keeps it."""
    init: str = "he"
    seed: int = 0
    lr: float = 0.003
    hidden: list[int] = field(default_factory=lambda: [64, 128, 64])
    batch_size: int = 128
    max_steps: int = 1290
    eval_every: int = 43
    num_workers: int = 0
    """Processes that load batches."""
    threads: int | None = None
    """Threads of torch; None = its own choice."""
    wandb_mode: str = "offline"
    times: str = ""
    """A file to which each job adds a line of JSON: where its time went."""


ConfigStore.instance().store(name="plain_loop", node=Config)


class Net(nn.Module):
    """Linear, BatchNorm and ReLU, three times; then a linear head."""

    def __init__(self, hidden: list[int], init: str) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        before = 28 * 28
        for width in hidden:
            layers += [nn.Linear(before, width), nn.BatchNorm1d(width), nn.ReLU()]
            before = width
        self.layers = nn.Sequential(*layers, nn.Linear(before, 10))
        draw = {"xavier": nn.init.xavier_normal_, "he": nn.init.kaiming_normal_}[init]
        for module in self.modules():
            if isinstance(module, nn.Linear):
                draw(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs)


def loaders(cfg: DictConfig) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Training and validation examples, transformed image by image when they are needed."""
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))])
    images = datasets.FashionMNIST(cfg.data_dir, train=True, transform=transform)
    options: dict[str, Any] = {"num_workers": cfg.num_workers, "persistent_workers": cfg.num_workers > 0}
    train, validation = Subset(images, range(55_000)), Subset(images, range(55_000, 60_000))
    return (
        DataLoader(train, batch_size=cfg.batch_size, shuffle=True, drop_last=True, **options),
        DataLoader(validation, batch_size=1000, **options),
    )


def batches(loader: DataLoader[Any], max_steps: int, waited_s: list[float]) -> Iterator[tuple[int, Tensor, Tensor]]:
    """(step, images, labels), epoch after epoch; records how long each batch took to arrive."""
    step = 0
    while True:
        before = time.perf_counter()
        for images, labels in loader:
            waited_s.append(time.perf_counter() - before)
            step += 1
            yield step, images, labels
            if step == max_steps:
                return
            before = time.perf_counter()


@torch.no_grad()
def evaluate(model: nn.Module, loader: DataLoader[Any]) -> tuple[float, float]:
    """Mean loss and accuracy."""
    model.eval()
    loss = hits = count = 0.0
    for images, labels in loader:
        outputs = model(images)
        loss += functional.cross_entropy(outputs, labels, reduction="sum").item()
        hits += (outputs.argmax(1) == labels).sum().item()
        count += len(labels)
    model.train()
    return loss / count, hits / count


@hydra.main(version_base="1.3", config_path=None, config_name="plain_loop")
def train(cfg: DictConfig) -> float:
    """Train one trial; returns its last validation accuracy."""
    begin, begin_clock = time.perf_counter(), time.time()
    torch.manual_seed(cfg.seed)
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    config: Any = OmegaConf.to_container(cfg)
    labels = {"group": cfg.init, "job_type": "train", "name": f"{cfg.init}-s{cfg.seed}"}
    run = wandb.init(project="plain-loop", mode=cfg.wandb_mode, config=config, **labels)
    train_loader, validation_loader = loaders(cfg)
    model = Net(list(cfg.hidden), cfg.init)
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.lr)
    set_up_s = time.perf_counter() - begin
    accuracy, waited_s = 0.0, []
    interval_s, evaluation_s = [], []
    losses: list[float] = []
    mark = time.perf_counter()
    for step, images, labels in batches(train_loader, cfg.max_steps, waited_s):
        loss = functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % cfg.eval_every == 0 or step == cfg.max_steps:
            trained = time.perf_counter()
            interval_s.append((trained - mark) / len(losses))
            val_loss, accuracy = evaluate(model, validation_loader)
            train_loss = sum(losses) / len(losses)
            run.log({"train_loss": train_loss, "val_loss": val_loss, "val_accuracy": accuracy}, step=step)
            losses, mark = [], time.perf_counter()
            evaluation_s.append(mark - trained)
    finishing = time.perf_counter()
    run.finish()
    if cfg.times:
        parts = {"set_up_s": set_up_s, "finish_s": time.perf_counter() - finishing, "waited_s": sum(waited_s)}
        times = {"begin": begin_clock, "end": time.time(), "step_s": interval_s, "evaluation_s": evaluation_s, **parts}
        with Path(cfg.times).open("a") as file:  # one short line: written as a whole, even by several processes
            file.write(json.dumps(times) + "\n")
    return accuracy


if __name__ == "__main__":
    # joblib sends `train` to its processes: from here by value, without the import of torchvision; by name with it
    from benchmark import plain_loop

    plain_loop.train()
