"""The page of a check: a table for each group of parts, and what is left. Imports no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from deepunlearn.check_gpu.part import Outcome, Part
from deepunlearn.core.words import paragraph

TITLES = {
    "agreement": (
        "Unlearned models, CPU against device",
        "Difference of the logits as a share of their size (root mean squares) after an epoch on 60 images. "
        "CPU, last bit: the largest difference of runs on the CPU on weights that differ in their last bit. fp32: of "
        "the device from the CPU, TF32 off; the limit is the network's, or 30 times the first figure if that is more, "
        "but at most 1. bf16: under autocast, without a limit but that it is finite.",
    ),
    "graphs": ("CUDA graphs", "runtime.compile=cudagraphs against eager, both on the device, in the same measure."),
    "uploads": (
        "Images that are copied batch by batch",
        "Against images that lie on the device: unequal counts batches of which a bit differs.",
    ),
    "sweeps": ("Small sweeps", "Two workers on one device against one; a method that asks for too much memory."),
    "steps": (
        "Training steps",
        "Images in memory, no augmentation. Bare loop: a plain PyTorch loop with our network; plain network: the same "
        "loop with torchvision's or timm's. Floor: the operations of a step at the rate of large matrix products.",
    ),
    "estimates": (
        "CIFAR-10, estimated",
        "From a few timed steps, as `sweep plan=true` does it: an original of the paper's recipe, and a trial of "
        "fine-tuning with epochs from the middle of the search range.",
    ),
    "trials": ("Trials by number of workers", "Fine-tuning on noise, scored, with Optuna's database; one device."),
}
Outcomes = Mapping[str, Outcome | None]  # of parts by name; None: not done yet


def page(parts: Sequence[Part], outcomes: Outcomes, made: Mapping[str, Any], command: str) -> str:
    """Markdown."""
    counts = Counter("left" if outcomes[part.name] is None else _state(outcomes[part.name]) for part in parts)
    told = ", ".join(f"{name}: {value}" for name, value in made.items() if value and name != "cpu_kernels")
    lines = ["# deepunlearn check-gpu", "", f"`{command}`", "", paragraph(f"{told}."), ""]
    lines += [", ".join(f"{count} {state}" for state, count in counts.items()) + ".", ""]
    for group in dict.fromkeys(part.group for part in parts):
        title, text = TITLES[group]
        lines += [f"## {title}", paragraph(text), ""]
        lines += [*_table([part for part in parts if part.group == group], outcomes), ""]
    return "\n".join(lines)


def _state(outcome: Outcome | None) -> str:
    assert outcome is not None
    return outcome.state


def _table(parts: Sequence[Part], outcomes: Outcomes) -> Iterable[str]:
    """A row for each part, and columns for all that any of them has."""
    done = {part.name: outcome for part in parts if (outcome := outcomes[part.name])}
    columns = list(dict.fromkeys(name for outcome in done.values() for name in outcome.figures))
    remarks = any(outcome.said for outcome in done.values())
    yield _line(["check", "outcome", *columns, *(["remark"] if remarks else [])])
    yield _line(["---"] * (2 + len(columns) + remarks))
    for part in parts:
        outcome = done.get(part.name, Outcome("not run", "not done yet"))
        state = "left" if part.name not in done else outcome.state
        cells = [str(outcome.figures.get(name, "")) for name in columns]
        yield _line([part.name, state, *cells, *([_flat(outcome.said)] if remarks else [])])


def _flat(text: str) -> str:
    return " ".join(text.replace("|", "/").split())


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
