"""Every configuration composes, and what is composed is what the protocol says."""

from __future__ import annotations

import pytest

from deepunlearn.config import GROUPS, method_configs, options, read_command, sweep_files
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.params import ParamSpec

MODELS = {"timm": "convnext_atto", "torchvision": "resnet50"}  # of those that are many


@pytest.mark.slow
@pytest.mark.parametrize("dataset", options("dataset"))
@pytest.mark.parametrize("arch", options("arch"))
def test_every_cell_composes(dataset: str, arch: str) -> None:
    named = [f"arch.model={MODELS[arch]}"] if arch in MODELS else []
    command = read_command([f"dataset={dataset}", f"arch={arch}", *named])
    (cell,) = command.sweep.cells
    assert cell.dataset.name == dataset and cell.arch.name.split("-")[0] == arch


@pytest.mark.slow
@pytest.mark.parametrize("group", [group for group in GROUPS if group not in ("dataset", "arch")])
def test_every_option_composes(group: str) -> None:
    for name in options(group):
        read_command([f"{group}={name}", *(["chain.steps=[ct,ft]"] if name == "chain" else [])])


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


def test_ranges_follow_the_space_the_epoch_limit_and_the_largest_batch() -> None:
    space = method_configs()["msg"].space
    assert space["epochs"].range("epochs", "paper", 37, None).high == 37
    assert space["batch_size"].range("batch_size", "paper", 37, 128).choices == (64, 128)
    scrub = method_configs()["scrub"].space["retain_batch_size"]
    assert scrub.range("retain_batch_size", "paper", 37, 128).choices == (64, 128), "every batch size is capped"
    assert isinstance(space["init_rate"].range("init_rate", "paper", 37, None).high, float)
    spec = ParamSpec(type="float", default=0.1, low=0, high=1, ours={"low": 1e-3, "log": True}, help="x")
    assert spec.range("x", "paper", 3, None).low == 0.0
    ours = spec.range("x", "ours", 3, None)
    assert ours.log and (ours.low, ours.high) == (1e-3, 1.0)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", 1.5),
        ("int", True),
        ("float", "x"),
        ("float", float("nan")),
        ("bool", 1),
        ("str", 3),
        ("float", float("inf")),
    ],
)
def test_values_of_another_type_are_refused(kind: str, value: object) -> None:
    spec = ParamSpec(type=kind, default=0, searched=False, help="x")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="cannot be used"):
        spec.typed("x", value)


@pytest.mark.parametrize(
    ("arguments", "params", "epochs"),
    [
        (["method=rni"], {"epochs": 5, "fine_epochs": 2, "reset_epochs": 1}, 5),
        (["method=kde"], {"epochs": 3, "warmup_epochs": 3}, 6),  # a trial is not to be pruned in its warm-up
        (["method=chain", "chain.steps=[ct,prmq]"], {"0.epochs": 2, "1.epochs": 3.2}, 6),
        (["method=ff"], {"alpha": 0.1}, 1),
    ],
)
def test_epochs_of_a_run(arguments: list[str], params: dict[str, float], epochs: int) -> None:
    (method,) = read_command(arguments).sweep.methods
    assert method.epochs_of(params) == epochs


@pytest.mark.parametrize(("kind", "role"), [("str", "lr"), ("float", "batch_size"), ("bool", "epochs")])
def test_a_role_fits_its_type(kind: str, role: str) -> None:
    with pytest.raises(ValueError, match=f"role={role}"):
        ParamSpec(type=kind, role=role, default="1", help="x")  # type: ignore[arg-type]


def test_numbers_are_typed() -> None:
    spec = ParamSpec(type="float", default=0, help="x")
    assert type(spec.typed("x", 1)) is float
    assert type(ParamSpec(type="int", default=0, help="x").typed("x", 3.0)) is int
