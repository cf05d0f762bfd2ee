"""What a command sets of methods: of all of them or of one, and that a result set does not depend on its spelling."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.config import read_command
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.progress import Progress
from deepunlearn.launch.plan import Planner, Task
from tests.commands import refusal

CHAIN = ("method=chain", "chain.steps=[ct,ft]")


def methods(*arguments: str) -> dict[str, MethodConfig]:
    return {method.name: method for method in read_command(arguments).sweep.methods}


def test_a_user_change_makes_another_result_set() -> None:
    plain, fixed = methods("method=ft")["ft"], methods("method=ft", "method.params.lr=0.01")["ft"]
    freed = methods("method=ft", "method.params.lr=null")["ft"]
    assert plain.changed == freed.changed == ()
    assert fixed.changed == ("params.lr=0.01",) and fixed.fixed == {"lr": 0.01}


SPELLINGS = [  # the first is what stored result sets have been made of
    (["params.lr=0.01"], ["params.lr=1e-2"], ["params.lr=1.0e-02"], ["params.lr=.01"], ["params={lr: 0.01}"]),
    (["params.lr=1"], ["params.lr=1.0"], ["params.lr=1e0"], ["params.lr=0.5", "params.lr=1"]),
    (["params.lr=1e-5"], ["params.lr=0.00001"], ["params.lr=1e-05"]),
    (["params.epochs=2", "params.lr=0.1"], ["params.lr=0.1", "params.epochs=2.0"], ["params={lr: 1e-1, epochs: 2}"]),
    (["space.lr.low=0.001"], ["space.lr.low=1e-3"], ["space.lr={low: 1e-3}"]),
    (["space.lr.high=1"], ["space.lr.high=1.0"]),
    (["space.batch_size.choices=[16,32]"], ["space.batch_size.choices=[ 16, 32 ]"]),
    (["mask.threshold=0.5"], ["mask.threshold=5e-1"], ["mask.threshold=0.5", "space.lr.log=true"]),
    (["title=Mine"], ["title='Mine'"], ['title="Mine"']),
    (["mask.search=true"], ["mask.search=True"]),
]


@pytest.mark.slow
@pytest.mark.parametrize("spellings", SPELLINGS, ids=lambda spellings: spellings[0][0])
def test_the_spelling_of_a_change_does_not_count(spellings: tuple[list[str], ...]) -> None:
    first, *others = (methods("method=ft", *(f"method.{one}" for one in words))["ft"] for words in spellings)
    assert first.changed == tuple(sorted(spellings[0]))
    for other in others:
        assert other == first


@pytest.mark.slow
def test_neither_does_that_of_a_chain_or_of_a_text() -> None:
    first, other = (methods(*CHAIN, f"chain.0.lr={value}")["ct-ft"] for value in ("0.01", "1e-2"))
    assert first == other and first.changed == ("chain.0.lr=0.01",)
    quoted, bare = (methods("method=iu", f"method.params.solver={text}")["iu"] for text in ("'cg'", "cg"))
    assert quoted == bare and bare.changed == ("params.solver=cg",)


def test_what_a_yaml_says_already_is_no_change() -> None:
    assert methods("method=ft", "method.space.lr.low=1e-5", "method.mask.threshold=null")["ft"].changed == ()
    assert methods("method=bt", "method.space.temperature.ours=null")["bt"].changed == ("space.temperature.ours=null",)


@pytest.mark.slow
def test_values_of_a_file_have_one_spelling(tmp_path: Path) -> None:
    file, found = tmp_path / "hparams.yaml", []
    for text in ("{lr: 1.0, epochs: 2}", "{epochs: 2.0, lr: 1}", "{lr: 1e0, epochs: 2}"):
        file.write_text(f"digits/resnet18/ft: {text}\ndigits/resnet18/ga: {text}\n")
        found.append(read_command(["method=ft", f"hparams={file}"]).sweep.hparams)
    assert found[0] == found[1] == found[2] and list(map(type, found[1]["digits/resnet18/ga"].values())) == [int, float]


def test_a_search_begins_with_defaults_and_with_what_other_cells_have_found_each_once(tmp_path: Path) -> None:
    file = tmp_path / "hparams.yaml"
    file.write_text(
        "digits/resnet18/ft: {lr: 1, epochs: 2}\ndigits/resnet18/ga: {lr: 1}\n"
        "mnist/resnet18/ft: {epochs: 2.0, lr: 1.0}\nmnist/vit/classes(classes=[1])/ft: {lr: 0.5}\n"
    )
    arguments = [*README, "search=thrifty", f"search.winners={file}", f"results={tmp_path}"]
    sweep = read_command(arguments).sweep
    planner, (method,) = Planner(sweep, Progress()), sweep.methods
    found = planner.keys[0].starts(method, sweep.search)
    assert list(found) == ["defaults", "digits/resnet18", "mnist/vit/classes(classes=[1])"]
    assert found["defaults"] == method.defaults and found["digits/resnet18"] == method.complete({"lr": 1, "epochs": 2})
    study = planner.keys[0].study(method, sweep.search, 0)
    assert study.starts == found
    other = Planner(read_command([*arguments[:-2], arguments[-1]]).sweep, Progress())
    task = Task("evaluate", 0, "ft", 0)
    assert planner.result_set(task) != other.result_set(task), "another start is another table"
    assert study.hash != other.keys[0].study(method, other.sweep.search, 0).hash
    said = refusal(*README, "search=thrifty", "search.winners=nowhere.yaml")
    unfit = refusal(*README[1:], "method=ct", "search=thrifty", f"search.winners={file}")
    assert unfit.given.endswith("with ft, ga") and "METHOD among ct" in unfit.allowed
    assert said.given == "search.winners=nowhere.yaml" and "search.winners=FILE" in said.remedy


README = ("method=ft", "dataset=digits", "arch=tinyvit", "train.epochs=10", "train.batch_size=64", "train.lr=0.05")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["search=quick", "search.trials=2", "search.space=ours"], "6dcedaeb52cce649"),
        (["search=quick", "method.params.lr=0.01"], "3c1ff00297068728"),
        (["search=none", "method.params.lr=0.01", "method.params.epochs=2"], "3ee68f51f12f98d3"),
        (["search=quick", "method.space.lr.low=0.001"], "b32c199fba22dfd4"),
        (["search=none", "method=chain", "chain.steps=[ct,ft]", "chain.0.lr=0.01"], "12a4ac2fe30807f0"),
    ],
)
def test_golden_result_sets(tmp_path: Path, settings: list[str], expected: str) -> None:
    """A change here parts stored rows from those that are to come; the first is that of results/examples."""
    sweep = read_command([*README, *settings, f"results={tmp_path}"]).sweep
    planner = Planner(sweep, Progress())
    assert planner.result_set(Task("evaluate", 0, sweep.methods[0].name, 0)) == expected


# ---------------------------------------------------------------------------------------------------- of one method


@pytest.mark.slow
def test_one_method_of_a_grid_is_set_by_its_name() -> None:
    grid = methods("method=ft,msg", "method.msg.params.init_rate=0.2", "method.ft.space.lr.low=1e-3")
    assert grid["msg"].fixed == {"init_rate": 0.2} and not grid["ft"].fixed
    assert grid["ft"].space["lr"].low == 1e-3 and grid["msg"].space["lr"].low == 1e-5
    alone = methods("method=msg", "method.params.init_rate=0.2")["msg"]
    assert grid["msg"] == alone, "a model and its result set are those of the same values in a sweep of its own"
    assert methods("method=ft,ct", "method.ct.mask.threshold=0.5")["ct"].changed == ("mask.threshold=0.5",)


@pytest.mark.slow
@pytest.mark.parametrize("order", [1, -1])
def test_a_methods_own_setting_wins_over_that_of_all(order: int) -> None:
    both = ["method.params.lr=0.1", "method.msg.params.lr=0.2"][::order]
    grid = methods("method=ft,msg", *both)
    assert (grid["ft"].fixed, grid["msg"].fixed) == ({"lr": 0.1}, {"lr": 0.2})
    freed = methods("method=ft,msg", "method.params.lr=0.1", "method.msg.params.lr=null")
    assert (freed["ft"].fixed, freed["msg"].fixed) == ({"lr": 0.1}, {})


@pytest.mark.slow
def test_a_sweep_file_sets_its_methods(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("methods: [ft, msg]\noverrides: [method.msg.params.init_rate=0.2, method.params.lr=0.1]\n")
    grid = methods(f"sweep={file}")
    assert grid["msg"].fixed == {"lr": 0.1, "init_rate": 0.2} and grid["ft"].fixed == {"lr": 0.1}
    assert methods(f"sweep={file}", "method.msg.params.init_rate=0.3")["msg"].fixed["init_rate"] == 0.3
    assert methods(f"sweep={file}", "method=ft")["ft"].fixed == {"lr": 0.1}, "a command may leave methods out"
    file.write_text("methods: [ft]\noverrides: [method.msg.params.init_rate=0.2]\n")
    assert "not chosen" in refusal(f"sweep={file}").problem


@pytest.mark.parametrize(
    ("arguments", "problem", "remedy"),
    [
        (["method=ft", "method.msg.params.lr=0.1"], "not chosen", "add msg to method="),
        ([*CHAIN, "method.ft.params.lr=0.1"], "not chosen", "write chain.1.lr=VALUE"),
        ([*CHAIN, "method.chain.params.lr=0.1"], "not of a chain", "chain.0.lr="),
        (["method=ft,msg", "method.msgg.params.lr=0.1"], "unknown method 'msgg'", "did you mean 'msg'?"),
        (["method=ft,msg", "method.msg.params.init_rat=0.1"], "msg.params.init_rat", "'method.msg.params.init_rate'"),
        (["method=ft,msg", "method.ft.params.init_rate=0.1"], "not of method=ft", "write method.msg.params.init_rate="),
        (["method=ft,msg", "method.params.init_rate=0.1"], "not of method=ft", "write method.msg.params.init_rate="),
        (["method=msg", "method.params={init_rat: 0.1}"], "method.params.init_rat", "'method.params.init_rate'"),
        (["method=ft,msg", "method.msg.parms.lr=0.1"], "unknown option 'method.msg.parms.lr'", "params.lr"),
        (
            ["method=ft,msg", "method.msg.params.init_rate=2"],
            "method.msg.params.init_rate has",
            "give another method.msg.",
        ),
        (["method=ft,msg", "method.msg.params.lr=0.1,0.2"], "cannot be a grid", "the search chooses"),
        (["method=ft,msg", "method.msg.space.batch_size.choices=8,16"], "cannot be a grid", "choices=[8,16]"),
        (["method=ft,msg", "method.msg.name=x"], "set by the choice of method", "leave method.msg.name= out"),
        (["method=ft,msg", "method.msg=0.1"], "method.msg", ""),
    ],
)
def test_settings_that_say_nothing_are_taught(arguments: list[str], problem: str, remedy: str) -> None:
    wrong = refusal(*arguments)
    assert problem in wrong.problem and remedy in str(wrong.remedy)
