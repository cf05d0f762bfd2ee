"""Every configuration composes, and what is composed is what the protocol says."""

from __future__ import annotations

import pytest

from deepunlearn.config import GROUPS, command, compositions, options, read_command, sweep_files
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.forget import kind_of

TABLES = ("iris", "wine", "breast_cancer", "table", "uci", "openml")  # datasets for arch=mlp
MODELS = {"timm": "convnext_atto", "torchvision": "resnet50"}  # of those that are many


@pytest.mark.slow
@pytest.mark.parametrize("dataset", options("dataset"))
@pytest.mark.parametrize("arch", options("arch"))
def test_every_cell_composes(dataset: str, arch: str) -> None:
    named = [f"arch.model={MODELS[arch]}"] if arch in MODELS else []
    words = [f"dataset={dataset}", f"arch={arch}", *named]
    if dataset in TABLES and arch != "mlp":
        with pytest.raises(ConfigError, match="takes images"):
            read_command(words)
        return
    (cell,) = read_command(words).sweep.cells
    assert cell.dataset.name == dataset and cell.arch.name.split("-")[0] == arch


@pytest.mark.slow
@pytest.mark.parametrize("group", [group for group in GROUPS if group not in ("dataset", "arch")])
def test_every_option_composes(group: str) -> None:
    for name in options(group):
        needed = kind_of(name).contract if group == "forget" else ["chain.steps=[ct,ft]"] if name == "chain" else []
        read_command([f"{group}={name}", *needed])


@pytest.mark.slow
@pytest.mark.parametrize("name", sweep_files())
def test_every_sweep_file_composes(name: str) -> None:
    assert read_command([f"sweep={name}"]).sweep.methods


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_opens_with_a_line_for_help(group: str) -> None:
    assert all(len(text) > 10 for text in options(group).values())


def test_the_defaults_are_the_papers() -> None:
    sweep = read_command(["method=msg", "dataset=cifar10"]).sweep
    cell = sweep.cells[0]
    assert (cell.train.epochs, cell.train.batch_size, cell.train.lr) == (182, 256, 0.1)
    assert sweep.seeds == tuple(range(10))
    assert sweep.search_seeds(sweep.cells[0]) == (0, 1, 2) and sweep.search.trials == 100
    assert (sweep.search.sampler, sweep.search.population_size) == ("nsga3", 50)
    assert cell.epoch_limit(sweep.search) == 37


@pytest.mark.parametrize(("dataset", "limit"), [("cifar100", 37), ("mnist", 10), ("utkface", 10), ("digits", 3)])
def test_the_epoch_limit(dataset: str, limit: int) -> None:
    sweep = read_command([f"dataset={dataset}"]).sweep
    assert sweep.cells[0].epoch_limit(sweep.search) == limit


@pytest.mark.slow
def test_the_fast_search_prunes_on_one_loss_with_as_many_studies_as_the_papers() -> None:
    search = read_command(["search=fast"]).sweep.search
    assert (search.sampler, search.objective, search.prune) == ("tpe", "sum", True)
    assert searched_on("search=fast") == searched_on("search=paper")


def searched_on(*arguments: str) -> tuple[int, ...]:
    sweep = read_command(arguments).sweep
    return sweep.search_seeds(sweep.cells[0])


def test_held_out_search_seeds() -> None:
    assert searched_on("protocol=heldout") == (10, 11, 12)
    assert searched_on("search=none") == ()


@pytest.mark.slow
def test_an_axis_on_the_command_line_replaces_the_files() -> None:
    sweep = read_command(["sweep=paper", "dataset=cifar10", "method=msg"]).sweep
    assert [cell.name for cell in sweep.cells] == ["cifar10/resnet18", "cifar10/tinyvit"]
    assert [method.name for method in sweep.methods] == ["msg"]


def test_lists_make_a_grid() -> None:
    sweep = read_command(["dataset=mnist,digits", "arch=[resnet18,tinyvit]", "method=ft,ct"]).sweep
    assert len(sweep.cells) == 4 and len(sweep.methods) == 2


def test_the_command_line_beats_the_sweep_file() -> None:
    assert read_command(["sweep=demo", "seeds=7"]).sweep.seeds == tuple(range(7))


def test_a_named_dataset_kept_as_image_files_keeps_its_recipe() -> None:
    (cell,) = read_command(["dataset=cifar10", "dataset.source=folder", "dataset.root=x"]).sweep.cells
    assert cell.dataset.title == "CIFAR-10 (image files)", "tables must not pass re-encoded files off as the data set"
    assert cell.train.epochs == 182 and cell.dataset.mean == (0.4914, 0.4822, 0.4465) and cell.dataset.flip


COMMANDS = [
    [],
    ["method=msg", "dataset=cifar10"],
    ["dataset=mnist", "arch=tinyvit", "method=ct", "method.params.lr=0.01", "seeds=[3,4]", "search=quick"],
    ["method=msg", "method.msg.params.init_rate=0.2", "method.space.lr.low=1e-4"],
    ["method.params.lr=null", "train.epochs=3", "dataset.limit=500", "forget.ratio=0.2"],
    ["method=chain", "chain.steps=[ct,ft]", "chain.0.lr=0.01"],
    ["arch=mlp", "arch.args.width=64", "method=salun"],
    ["arch=timm", "arch.model=convnext_atto", "runtime.precision=bf16"],
    ["dataset=cifar10", "dataset.source=folder", "dataset.root=x", "forget=halves", "protocol=heldout"],
    ["launcher=slurm", "launcher.extra={exclude: node01}", "hparams=null", "plan=true"],
    ["method=ft", "method.mask.search=true"],
]
WRONG = [
    ["method=ft", "method.params.init_rate=0.3"],
    ["method=msg", "method.ft.params.lr=0.1"],
    ["train.epoch=3"],
    ["method=mgs"],
    ["dataset=mnist", "dataset.lmit=3", "method=ft"],
    ["method=ft", "search=none", "search.trails=3"],
]


def apart(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> command.Command:
    with monkeypatch.context() as patch:
        patch.setattr(command, "composed_at_once", lambda *_: None)
        return read_command(arguments)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_it_gives_the_same(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    once = compositions.composed
    with monkeypatch.context() as patch:
        for home in (command, compositions):
            patch.setattr(home, "composed", lambda overrides: calls.append(overrides) or once(overrides))  # type: ignore[func-returns-value]
        given = read_command(arguments)
    assert len(calls) == 1, "composed once"
    assert given == apart(monkeypatch, arguments)


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_what_is_wrong_is_told_as_by_the_parts(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError) as told:
        read_command(arguments)
    with pytest.raises(ConfigError) as by_parts:
        apart(monkeypatch, arguments)
    assert str(told.value) == str(by_parts.value)
