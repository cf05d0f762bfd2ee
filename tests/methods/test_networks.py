"""Every method on networks by name: it runs an epoch or refuses with a reason, as docs/own-models.md says."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from sklearn.datasets import load_breast_cancer
from torch import Tensor, nn

import deepunlearn
from deepunlearn import archs
from deepunlearn.config import method_configs
from deepunlearn.core.arch_config import ArchConfig
from deepunlearn.core.errors import DeepUnlearnError
from deepunlearn.core.paths import shipped
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data.decoded import digest_of
from deepunlearn.testing.small import equal_states, state
from tests.commands import called

DOCS = Path(__file__).parents[2] / "docs" / "own-models.md"
CLASSES, SAMPLES = 3, 6
SHORT = {
    "epochs": 1,
    "warmup_epochs": 1,
    "batch_size": 6,
    "retain_batch_size": 6,
    "forget_batch_size": 6,
    "samples": 2,
    "steps": 2,
    "fine_epochs": 1,
    "reset_epochs": 0,
    "rewind": False,
    "attack_steps": 2,
    "draws": 2,
}
METHODS = method_configs()


def network(module: str, model: str | None = None, size: int = 32) -> tuple[ArchConfig, int]:
    return ArchConfig(name=model or module, title="", module=f"deepunlearn.archs.{module}", model=model), size


NETWORKS = {
    "resnet50": network("torchvision_models", "resnet50"),
    "squeezenet1_1": network("torchvision_models", "squeezenet1_1"),
    "vit_tiny_patch16_224 (timm)": network("timm_models", "vit_tiny_patch16_224"),
    "convnext_atto (timm)": network("timm_models", "convnext_atto"),
    "mlp": network("mlp"),
}


@cache
def built(name: str) -> nn.Module:
    arch, size = NETWORKS[name]
    return archs.build(arch, CLASSES, size, seed=0).eval()


def data(size: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(SAMPLES, 3, size, size, generator=generator), torch.arange(SAMPLES) % CLASSES


def outcome(name: str, method: str) -> str:
    """`ran`, or the reason why the method refused."""
    (arch, size), model = NETWORKS[name], built(name)
    params = {name: SHORT[own] for name in METHODS[method].space if (own := name.rpartition(".")[2]) in SHORT}
    if METHODS[method].needs == "difficulty":
        params["difficulty"] = range(SAMPLES)
    parts = {part: data(size, seed) for seed, part in enumerate(("retain", "forget", "val"))}
    try:
        after = deepunlearn.unlearn(
            model, method=method, fresh=lambda: archs.build(arch, CLASSES, size), **parts, **params
        )
    except DeepUnlearnError as error:
        return f"refused: {error.problem}"
    assert not equal_states(state(model), state(after)), "a silent no-op"
    return "ran"


def lines() -> list[str]:
    rows = [f"| {one} | {' | '.join(outcome(name, one) for name in NETWORKS)} |" for one in sorted(METHODS)]
    return [f"| method | {' | '.join(NETWORKS)} |", f"|---|{'---|' * len(NETWORKS)}", *rows]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_the_table_of_methods_and_networks_is_the_one_in_the_docs() -> None:
    made = "\n".join(lines())
    assert made in DOCS.read_text(encoding="utf-8"), f"put this table into {DOCS.name}:\n{made}"


def test_the_table_in_the_docs_has_every_method_and_says_why_one_refused() -> None:
    table = DOCS.read_text(encoding="utf-8").partition(f"| method | {' | '.join(NETWORKS)} |")[2].split("\n\n")[0]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.strip().splitlines()[1:]]
    assert [row[0] for row in rows] == sorted(METHODS)
    assert all(re.fullmatch(r"ran|refused: .{10,}", cell) for row in rows for cell in row[1:])


@pytest.mark.parametrize("method", ["cfk", "ct"])
def test_two_of_its_entries(method: str) -> None:
    table = DOCS.read_text(encoding="utf-8").partition("convnext_atto")[2]
    row = next(line for line in table.splitlines() if line.startswith(f"| {method} |"))
    assert row.strip("| ").split(" | ")[-1] == outcome("mlp", method)


@pytest.mark.slow
def test_every_method_runs_on_the_embedded_tables_or_says_why_not(tmp_path: Path) -> None:
    tables, own = ("iris", "wine", "breast_cancer"), sorted(set(METHODS) - {"chain"})
    done = called(tmp_path, f"dataset={','.join(tables)}", "arch=mlp", f"method={','.join(own)}", "search=none",
                  "seeds=1", "train.epochs=2", "runtime.threads=1", "measures=[]")  # fmt: skip
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.lstrip().startswith("not_applicable:")]
    for table in tables:
        refused = {line.split("evaluate ")[1].split()[0]: line for line in lines if f" {table}/" in line}
        assert set(refused) == {"cfw", "ct", "msg"}, refused
        assert all("convolution" in line or "transpose" in line for line in refused.values())
        ran = {path.parts[-3] for path in (tmp_path / "results/store" / table).glob("*/unlearned/*/*/config.json")}
        assert ran == set(own) - set(refused)


@pytest.mark.slow
def test_a_forget_set_by_a_column_of_a_table(tmp_path: Path) -> None:
    done = called(tmp_path, "dataset=breast_cancer", "arch=mlp", "method=ft", "search=none", "seeds=1", "measures=[]",
                  "forget=where", "forget.where={mean radius: {from: 18}}", "train.epochs=2",
                  "runtime.threads=1")  # fmt: skip
    assert done.returncode == 0, done.stderr
    radius = load_breast_cancer().data[:, 0]
    own = DatasetConfig(**yaml.safe_load((shipped("conf") / "dataset" / "breast_cancer.yaml").read_text("utf-8")))
    columns = digest_of(own, tmp_path / "results" / "cache", Progress(quiet=True)).attributes.train
    split = np.load(next((tmp_path / "results/store").rglob("split.npz")))
    assert len(columns["mean radius"]) == 455 and (columns["mean radius"][split["forget"]] >= 18).all()
    assert not (columns["mean radius"][split["retain"]] >= 18).any()
    assert set(columns["mean radius"]) <= set(radius), "as it is in the table, not standardised"
