"""A whole search trial against a plain script, and what scoring costs.

A trial: 5 epochs of fine-tuning, then the four losses, without the test set. The plain script (scripts/bench/plain.py)
works as the paper's code is described to; same images, same weights to start from, same recipe, a process each. It has
its images in memory, as torchvision's CIFAR10 has them, or opens their files, as for UTKFace; ours has decoded them
once. Ours includes Optuna and its database, the plain one has none. "Accuracies only": as if the plain script did not
run the retrained model a second time for its losses. A / B is how many times as fast ours is. Scoring is held against
one fine-tuning epoch of torchvision's network, in the bare loop (images in memory, channels last) and in the plain
script with images in memory.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np
import optuna
import plain
import torch
from common import Options, Row, Taken, added, command_of, experiment_of

from deepunlearn.config import Command
from deepunlearn.data.sources import find
from deepunlearn.instruments.apart import Apart
from deepunlearn.instruments.plain_loop import PLAIN, Resident, optimiser
from deepunlearn.instruments.turns import Task, turns
from deepunlearn.metrics.accuracy import losses
from deepunlearn.metrics.mia import mia_accuracy
from deepunlearn.metrics.scores import SEARCH_PARTS
from deepunlearn.search.study import SlotStudy, score_model
from deepunlearn.stages.evaluation import Experiment
from deepunlearn.training import load_weights

EPOCHS = 5
LR = 0.01
FULL = {"retain": 38_250, "forget": 4_250}  # of CIFAR-10


MEMORY, FILES = "arrays in memory", "JPEG files"  # where the plain script has its images


@dataclass
class Cell:
    """One cell with references, and plain scripts with the same images and weights, one per source of images."""

    command: Command
    experiment: Experiment
    batch_size: int
    sources: tuple[str, ...]
    trials: int = 0

    def __post_init__(self) -> None:
        self.sizes = {name: len(getattr(self.experiment.split, name)) for name in SEARCH_PARTS}
        self.plain = {source: Apart(self._script(source)) for source in self.sources}

    def _script(self, source: str) -> plain.Script:
        roles = ("original", "retrained")
        weights = {role: self.experiment.reference(role, 0).file("weights.safetensors") for role in roles}
        parts = {name: self._images(getattr(self.experiment.split, name), source) for name in SEARCH_PARTS}
        threads = self.experiment.runtime.threads
        arch, classes = self.experiment.cell.arch.name, len(self.experiment.decoded.class_names)
        return plain.Script(arch, classes, weights, parts, self.batch_size, LR, threads)

    def _images(self, rows: np.ndarray, source: str) -> plain.Images:
        decoded, dataset = self.experiment.decoded, self.experiment.cell.dataset
        if source == FILES:
            inventory = find(dataset)
            files = [inventory.root / file.path for file in inventory.files if file.path.startswith("train/")]
            images = [files[row] for row in rows]
        else:
            images = np.ascontiguousarray(decoded.train_images[rows].transpose(0, 2, 3, 1))
        return plain.Images(images, decoded.train_labels[rows], dataset.mean, dataset.std)

    def check(self) -> None:
        """The plain scripts see the same images and weights: their accuracies are ours, but for a tie or two."""
        ours = self.experiment.retrained_accuracies(0)
        for script in self.plain.values():
            theirs = script.call("retrained_accuracies")
            for name, size in self.sizes.items():
                assert abs(ours[name] - theirs[name]) <= 2 / size, (name, ours, theirs)

    def close(self) -> None:
        for script in self.plain.values():
            script.close()

    # ------------------------------------------------------------------------------------------------------------ work

    def our_trial(self) -> None:
        """One more trial of the study."""
        self.trials += 1
        search = self.command.sweep.search.model_copy(update={"trials": self.trials})
        study = SlotStudy(self.experiment, self.command.sweep.methods[0], search, (0,))
        study.run()
        assert study.trials()[-1].state.name == "COMPLETE"


def rows(options: Options) -> list[Row]:
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    resnet = _cell(options, "resnet18", options.size(4000, 160), options.size(256, 64), (MEMORY, FILES))
    rows = [*_trial(resnet, "ResNet18", ">= 2.5", options.size(3, 1)), *_scoring(resnet, options.size(5, 1))]
    resnet.close()
    for batch_size, limit in ((256, 334), (64, 160)):  # retained images: 256, 122
        tiny_vit = _cell(options, "tinyvit", options.size(limit, 118), batch_size, (MEMORY,))
        rows += _trial(tiny_vit, f"TinyViT, batch {batch_size}", ">= 20", options.size(3, 1))
        tiny_vit.close()
        if options.quick:
            break
    return rows


def _cell(options: Options, arch: str, limit: int, batch_size: int, sources: tuple[str, ...]) -> Cell:
    epochs = options.size(EPOCHS, 1)
    fixed = {"epochs": epochs, "batch_size": batch_size, "weight_decay": 5e-4}
    method = ["method=ft", *(f"method.params.{name}={value}" for name, value in fixed.items())]
    rates = ["method.space.lr.low=0.001", f"method.space.lr.high={LR}"]
    recipe = ["train.epochs=1", "train.lr=0.05", "train.batch_size=64"]
    command = command_of(options, limit, f"arch={arch}", *recipe, *method, *rates, "search=paper", "search.seeds=1")
    cell = Cell(command, experiment_of(command), batch_size, sources)
    cell.check()
    return cell


def _trial(cell: Cell, title: str, goal: str, repeats: int) -> list[Row]:
    epochs = int(cell.command.sweep.methods[0].fixed["epochs"])
    tasks: dict[str, Task] = {"ours": cell.our_trial}
    for source, script in cell.plain.items():
        tasks |= {
            f"{source} {name}": partial(script.call, *call)
            for name, call in {
                "tuning": ("fine_tune", epochs),
                "scoring": ("score_unlearned",),
                "accuracies": ("retrained_accuracies",),
                "losses": ("retrained_losses",),
            }.items()
        }
    taken = turns(repeats, tasks, warm_up=False)  # the references have warmed up ours, the check the plain ones
    ours, images = Taken("ours", taken["ours"]), sum(cell.sizes.values())
    rows = []
    for source in cell.plain:
        tuning, unlearned, accuracies, losses = (
            taken[f"{source} {name}"] for name in ("tuning", "scoring", "accuracies", "losses")
        )
        scoring = added(unlearned, accuracies, losses)
        whole = Taken("plain script", added(tuning, scoring))
        kinder = Taken("plain script", added(tuning, unlearned, accuracies))
        epoch = Taken("its fine-tuning epoch", [seconds / epochs for seconds in tuning], cell.sizes["retain"])
        rows += [
            Row(f"{title}, {source}: a trial on {images:,} images", whole, ours, goal),
            Row(f"{title}, {source}: the same, retrained model: accuracies only", kinder, ours),
            Row(f"{title}, {source}: the plain script's scoring in its epochs", Taken("its scoring", scoring), epoch),
        ]
    return rows


# ------------------------------------------------------------------------------------------------------------- scoring


def _scoring(cell: Cell, repeats: int) -> list[Row]:
    experiment, model = cell.experiment, cell.experiment.load("original", 0)
    split_data = experiment.split_data(0)
    logits = experiment.predict(model, split_data, SEARCH_PARTS)
    forget, val = (losses(logits[part], split_data.labels[part]) for part in ("forget", "val"))
    scale = FULL["forget"] / len(forget)
    full = [np.resize(values, FULL["forget"]) for values in (forget, val)]
    tasks: dict[str, Task] = {
        "scoring": lambda: score_model(experiment, model, 0),
        "epoch": _bare_epoch(cell),
        "plain epoch": lambda: cell.plain[MEMORY].call("fine_tune", 1),
        "forward": lambda: experiment.predict(model, split_data, SEARCH_PARTS),
        "attack": lambda: mia_accuracy(forget, val, 0),
        "full attack": lambda: mia_accuracy(*full, 0),
    }
    taken = turns(repeats, tasks, warm_up=False)  # trials have just run
    images = {"images": cell.sizes["retain"]}
    bare, epoch = (
        Taken("bare epoch", taken["epoch"], **images),
        Taken("plain script's epoch", taken["plain epoch"], **images),
    )
    longer = Taken("bare epoch x 38,250 / retain", [seconds * scale for seconds in taken["epoch"]])
    scoring = Taken("ours", taken["scoring"])
    known = added(taken["forward"], taken["attack"])
    rest = [max(0.0, whole - part) for whole, part in zip(taken["scoring"], known, strict=True)]
    return [
        Row("scoring, of a fine-tuning epoch", scoring, bare, "<= 0.45"),
        Row("scoring, of the plain script's epoch", scoring, epoch),
        Row("- its forward passes", Taken("ours", taken["forward"]), bare),
        Row("- its logistic regression", Taken("ours", taken["attack"]), bare),
        Row("- its rest", Taken("ours", rest), bare),
        Row("logistic regression at CIFAR-10's size", Taken("ours", taken["full attack"]), longer),
    ]


def _bare_epoch(cell: Cell) -> Task:
    """A fine-tuning epoch of torchvision's network, nothing else."""
    images, labels = next(iter(cell.experiment.split_data(0).parts["retain"].batches(cell.sizes["retain"])))
    network = PLAIN[cell.experiment.cell.arch.name](len(cell.experiment.decoded.class_names))
    load_weights(cell.experiment.reference("original", 0).file("weights.safetensors"), network)
    model = network.to(cell.experiment.runtime.device, memory_format=torch.channels_last)
    data, optimizer = Resident(images, labels), optimiser(model)
    return lambda: data.epoch(model, optimizer, cell.batch_size)
