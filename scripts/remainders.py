"""What a small last batch does to unlearning, and what spreading it over the other batches changes.

    python scripts/remainders.py [steps|dense|methods|small ...] [--data DIR] [--work DIR] [--to FILE]

Trains originals (ResNet18, CIFAR-10 as JPEG files, 4,050 retain and 450 forget samples, 8 epochs without augmentation;
kept in the store under `--work`), then writes one table per name: steps (one training step on r samples), dense (a
small network, by r), methods (with 450 forget samples), small (all, with a remainder of 2 in whatever each trains on).
About 25 minutes on one core. "Before" is the first rule: only a single sample joined the others.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from deepunlearn import archs
from deepunlearn.composition import make_method
from deepunlearn.config import method_configs, read_command
from deepunlearn.core import batches
from deepunlearn.core.errors import Diverged
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.passes import PASSES, TOGETHER, runs_differ
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.core.provenance import commit, machine
from deepunlearn.data import loader
from deepunlearn.data.loader import Part
from deepunlearn.library import unlearn
from deepunlearn.ops.distillation import kl
from deepunlearn.running import Setting, execute, working_copy
from deepunlearn.runtime import Runtime
from deepunlearn.stages.evaluation import Experiment
from deepunlearn.training import predict

SEEDS = (0, 1)  # of the originals
CELL = (
    "dataset=cifar10", "dataset.source=folder", "dataset.limit=5000", "dataset.val_ratio=0.1", "forget.ratio=0.1",
    "train.epochs=8", "train.batch_size=64", "train.lr=0.02", "dataset.crop_padding=0", "dataset.flip=false",
    "runtime.threads=1",
)  # fmt: skip
SIZES = (2, 4, 8, 12, 16, 32, 64)
DRAWS = 2  # sets of samples that one step is tried on
LOOK = 500  # retain samples that a single step is judged on
Parts = dict[str, Part]


# ------------------------------------------------------------------------------------------------------- what is run


@contextmanager
def rule(name: str) -> Iterator[None]:
    """Training passes cut by the rule of the first versions ("before"), or by today's."""
    today = loader.training_batches
    loader.training_batches = batches.blocks if name == "before" else today
    try:
        yield
    finally:
        loader.training_batches = today


def unlearned(experiment: Experiment, seed: int, method: MethodConfig, parts: Parts, **params: Any) -> dict[str, float]:
    """RA and FA after a method; NaN where it diverged."""
    setting = Setting(
        original=experiment.original(seed),
        data=parts,
        classes=10,
        anatomy=partial(archs.anatomy_of, experiment.cell.arch),
        fresh=experiment._another,
        runtime=experiment.runtime,
    )
    try:
        model, _ = execute(make_method(method, method.complete(params)), setting.problem, experiment.runtime, seed)
    except Diverged:
        return {"RA": float("nan"), "FA": float("nan")}
    return {"RA": accuracy(experiment, model, parts["retain"]), "FA": accuracy(experiment, model, parts["forget"])}


def accuracy(experiment: Experiment, model: nn.Module, part: Part) -> float:
    right = torch.from_numpy(predict(model, part, experiment.runtime)).argmax(1) == part.labels
    return float(right.float().mean())


# ----------------------------------------------------------------------------------------------------------- the tables


def steps(experiment: Experiment) -> list[str]:
    """One training step on r samples: accuracy on retain samples afterwards, mean (worst) of originals and draws."""
    lines = [row("r", *STEPS), row(*["---"] * (len(STEPS) + 1))]
    for size in SIZES:
        lines.append(row(size, *(spread(stepped(experiment, size, step)) for step in STEPS.values())))
    return lines


def stepped(experiment: Experiment, size: int, step: Step) -> list[float]:
    accuracies = []
    for seed in SEEDS:
        original, parts = experiment.original(seed), experiment.split_data(seed).parts
        judge = parts["retain"].subset(range(LOOK))
        for draw in range(DRAWS):
            chosen = torch.randperm(len(parts["forget"]), generator=torch.Generator().manual_seed(draw))[:size]
            model = working_copy(original).train()
            x, y = next(parts["forget"].subset(chosen).blocks(size))
            step(original, model, x, y)
            accuracies.append(accuracy(experiment, model, judge))
    return accuracies


Step = Callable[[nn.Module, nn.Module, torch.Tensor, torch.Tensor], None]


def only_statistics(_: nn.Module, model: nn.Module, x: torch.Tensor, __: torch.Tensor) -> None:
    with torch.no_grad():
        model(x)


def scrub_step(original: nn.Module, model: nn.Module, x: torch.Tensor, _: torch.Tensor) -> None:
    descend(model, -4 * kl(original(x), model(x), 2.0), 5e-4)


def ascent(_: nn.Module, model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    descend(model, -F.cross_entropy(model(x), y), 1e-3)


def fine_tuning(_: nn.Module, model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    descend(model, F.cross_entropy(model(x), y), 1e-2)


def descend(model: nn.Module, loss: torch.Tensor, lr: float) -> None:
    loss.backward()
    torch.optim.SGD(model.parameters(), lr=lr).step()


STEPS: dict[str, Step] = {
    "forward pass alone": only_statistics,
    "SCRUB's step away, lr 5e-4": scrub_step,
    "gradient ascent, lr 1e-3": ascent,
    "fine-tuning, lr 1e-2": fine_tuning,
}


def dense(_: Experiment) -> list[str]:
    """A dense network of 8 layers with batch normalisation that has learnt 640 random points by heart, fine-tuned on
    128 + r of them at 64 (3 epochs, lr 0.05), or driven away from them by GA (3 epochs, lr 0.003): accuracy on retain
    samples, mean (worst) of 4 draws. Here every remainder below half a batch is spread."""
    lines = [row("r", "FT, before", "spread", "GA, before", "spread"), row(*["---"] * 5)]
    points, original = by_heart()
    for rest in (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32):
        cells = []
        for method in (("ft", 0.05), ("ga", 0.003)):
            for name in ("before", "now"):
                with rule(name), always_spread():
                    scores = [on_points(points, original, method, 128 + rest, seed) for seed in range(4)]
                cells.append(spread(scores))
        lines.append(row(rest, *cells))
    return lines


Points = tuple[torch.Tensor, torch.Tensor]


def by_heart() -> tuple[Points, nn.Module]:
    """640 points of 4 overlapping classes and a network that has been trained on them for 40 epochs."""
    random = torch.Generator().manual_seed(0)
    y = torch.arange(640) % 4
    x = torch.randn(4, 16, generator=random)[y] + 3 * torch.randn(640, 16, generator=random)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        hidden = [layer for _ in range(8) for layer in (nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU())]
        model = nn.Sequential(nn.Linear(16, 32), *hidden, nn.Linear(32, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(40):
        for chosen in torch.randperm(640, generator=random).split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(x[chosen]), y[chosen]).backward()
            optimizer.step()
    return (x, y), model.eval()


def on_points(points: Points, original: nn.Module, method: tuple[str, float], count: int, seed: int) -> float:
    """Accuracy on the retain set after a method, at this rate, with `count` samples in the set that it goes through."""
    (x, y), (name, lr) = points, method
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    chosen, others = order[:count], order[192:]
    retain, forget = (chosen, others[:100]) if name == "ft" else (others, chosen)
    model = unlearn(
        original, retain=(x[retain], y[retain]), forget=(x[forget], y[forget]), method=name, seed=seed,
        lr=lr, epochs=3, batch_size=64,
    )  # fmt: skip
    return float((model(x[retain]).argmax(1) == y[retain]).float().mean())


@contextmanager
def always_spread() -> Iterator[None]:
    """Spread every remainder below half a batch, to see where that stops to matter."""
    enough, batches.ENOUGH = batches.ENOUGH, 1000
    try:
        yield
    finally:
        batches.ENOUGH = enough


def methods(experiment: Experiment) -> list[str]:
    """Those methods whose batches change with 4,050 retain, 450 forget and 500 validation samples: at their defaults,
    and at the search's smallest batch size, 64 (3 epochs at most). All others have the batches that they always had."""
    parts, sizes = experiment.split_data(0).parts, {"retain": 4050, "forget": 450, "val": 500}
    assert {name: len(parts[name]) for name in sizes} == sizes
    lines = [row("method", "before: RA", "FA", "now: RA", "FA"), row(*["---"] * 5)]
    for name, method in sorted(configs().items()):
        at_64 = dict.fromkeys(PASSES[name], 64)
        for label, params in (("defaults", {}), ("at 64", {**few(method), **at_64})):
            values = {key: (value,) for key, value in method.complete(params).items()}
            if runs_differ(method, sizes, values):
                lines.append(row(f"{method.title}, {label}", *compared(experiment, method, parts, params)))
    return lines


def small(experiment: Experiment) -> list[str]:
    """All methods with a remainder of 2 at 64 in all that they train on, and no other: 1,026 retain samples, 130 forget
    and 130 validation samples (128 forget samples where retain and forget set are mixed), 2 epochs at most."""
    lines = [row("method", "before: RA", "FA", "now: RA", "FA"), row(*["---"] * 5)]
    for name, method in sorted(configs().items()):
        if not PASSES[name]:
            lines.append(row(f"{method.title} (no training step)", *["as before"] * 4))
            continue
        whole, forget = experiment.split_data(0).parts, 128 if TOGETHER in PASSES[name].get("batch_size", ()) else 130
        counts = {"retain": 1026, "forget": forget, "val": 130}
        parts = {part: whole[part].subset(range(count)) for part, count in counts.items()}
        params = {**few(method, 2), **dict.fromkeys(PASSES[name], 64)}
        lines.append(row(method.title, *compared(experiment, method, parts, params)))
    return lines


def few(method: MethodConfig, epochs: int = 3) -> dict[str, Any]:
    """At most so many epochs, and what depends on them."""
    limits = {"epochs": epochs, "warmup_epochs": 1, "msteps": epochs - 1, "fine_epochs": 1, "reset_epochs": 1}
    return {key: min(float(method.defaults[key]), most) for key, most in limits.items() if key in method.space}


def compared(experiment: Experiment, method: MethodConfig, parts: Parts, params: dict[str, Any]) -> list[str]:
    cells = []
    for name in ("before", "now"):
        with rule(name):
            results = [unlearned(experiment, seed, method, parts, **params) for seed in SEEDS]
        cells += [each([one[score] for one in results]) for score in ("RA", "FA")]
        say(method.name, params, name, cells)
    return cells


def configs() -> dict[str, MethodConfig]:
    return {name: method for name, method in method_configs().items() if name in PASSES}


def spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.3f} ({min(values):.3f})"


def each(values: list[float]) -> str:
    return f"{statistics.mean(values):.3f} ({', '.join(f'{value:.3f}' for value in values)})"


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def say(*what: object) -> None:
    print(*what, file=sys.stderr, flush=True)


TABLES: dict[str, Callable[[Experiment], list[str]]] = {
    "steps": steps,
    "dense": dense,
    "methods": methods,
    "small": small,
}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *TABLES], help=", ".join(TABLES))
    parser.add_argument("--data", type=Path, default=Path("datasets/cifar10-images"), help="default: %(default)s")
    parser.add_argument("--work", type=Path, default=Path("results/remainders"), help="default: %(default)s")
    parser.add_argument("--to", type=Path, help="where the tables go; default: only printed")
    given = parser.parse_args(arguments)
    sweep = read_command([*CELL, f"dataset.root={given.data.absolute()}", f"results={given.work}"]).sweep
    experiment = Experiment(sweep.cells[0], Results(Path(sweep.results)), Runtime(sweep.runtime), Progress())
    made = f"{machine()}, torch {torch.__version__}, commit {commit()}, {datetime.now(UTC):%Y-%m-%d}"
    lines = [f"`python scripts/remainders.py {shlex.join(arguments)}`; {made}.", ""]
    lines += ["Originals: RA / FA " + "; ".join(references(experiment, seed) for seed in SEEDS) + "."]
    for name in given.names or TABLES:
        text = " ".join((TABLES[name].__doc__ or "").split())
        lines += ["", f"## {name}", "", text, "", *TABLES[name](experiment)]
        print("\n".join(lines), flush=True)
        if given.to:
            given.to.write_text("\n".join(["# Small remainders", "", *lines]) + "\n", encoding="utf-8")


def references(experiment: Experiment, seed: int) -> str:
    parts = experiment.split_data(seed).parts
    return " / ".join(
        f"{accuracy(experiment, experiment.original(seed), parts[part]):.3f}" for part in ("retain", "forget")
    )


if __name__ == "__main__":
    main(sys.argv[1:])
