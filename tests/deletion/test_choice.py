"""method=auto: which stored table it takes, which method of it, and what it says of both."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from deepunlearn.analysis import records
from deepunlearn.analysis.nearness import Setting
from deepunlearn.config import method_configs
from deepunlearn.core.errors import ConfigError, DeepUnlearnError
from deepunlearn.deletion.choice import choose
from deepunlearn.deletion.report import Choice
from tests.analysis.conftest import Shelf

CONFIGS = method_configs()
REQUEST = Setting(dataset="digits", arch="resnet18", classes=10, samples=1222, forgotten=122)
WOBBLE = (0.0, 0.004, -0.004, 0.002, -0.002)  # between seeds, the same order of size for all methods
GOOD, FAIR, BAD = {"RetDev": 0.02, "Indisc": 0.95}, {"RetDev": 0.3, "Indisc": 0.8}, {"RetDev": 0.9, "Indisc": 0.7}


def stored(root: Path, methods: Mapping[str, Mapping[str, Any]], seeds: int = 2, **cell: Any) -> Path:
    """A results folder of one table; methods: name -> what its rows have. cell: of all rows, references too."""
    shelf = Shelf(root)
    shelf.references(*range(seeds), **{"MIA_AUC": 0.8, "RetDev": 1.0, "Indisc": 0.5, **cell, "result_set": None})
    for number, (name, changes) in enumerate(methods.items()):
        for seed in range(seeds):
            spread = WOBBLE[(seed + number) % len(WOBBLE)]
            values = {"RetDev": changes["RetDev"] + spread, "Indisc": changes["Indisc"] + spread}
            auc = (2 - values["Indisc"]) / 2
            known = CONFIGS.get(name)
            params = json.dumps(known.defaults) if known else "{}"
            title, version = (known.title, known.version) if known else (name, 1)
            own = {"method": name, "method_title": title, "method_version": version, "params": params, "seed": seed}
            shelf.add(**{**cell, **own, "MIA_AUC": auc, **changes, **values})
    shelf.expect(run=f"run-{root.name}")
    return root


def chosen(root: Path, methods: Mapping[str, Mapping[str, Any]], **options: Any) -> Choice:
    return choose(REQUEST, [stored(root, methods)], **options)


def test_the_best_method_of_the_same_setting_is_chosen_with_its_values(tmp_path: Path) -> None:
    values = json.dumps({**CONFIGS["msg"].defaults, "lr": 0.07})
    choice = chosen(tmp_path, {"ft": FAIR, "msg": {**GOOD, "params": values}, "ga": BAD})
    assert (choice.method, choice.tied, choice.points) == ("msg", ("MSG",), 0)
    assert choice.values == {**CONFIGS["msg"].defaults, "lr": 0.07}
    assert choice.near == "the same setting" and "Digits, ResNet18, random 10 %" in choice.why
    assert "seeds 0-1" in choice.source[1] and str(tmp_path) in choice.source[2]
    assert "it needs 5 seeds" in choice.order and "the original's 1.000" in choice.why


def test_of_methods_that_the_ranking_does_not_tell_apart_the_fastest_is_chosen(tmp_path: Path) -> None:
    slow, fast = {**GOOD, "seconds": 4.0}, {**GOOD, "seconds": 1.5}
    choice = chosen(tmp_path, {"ft": slow, "msg": fast, "ga": BAD, "ct": FAIR})
    assert choice.method == "msg" and choice.tied == ("MSG", "FT")
    assert "MSG and FT share the best place" in choice.why and "fastest" in choice.why


def test_a_method_that_is_best_by_one_measure_and_bad_by_the_other_is_not_chosen(tmp_path: Path) -> None:
    """Worst rank first: fair by both is before best by one and worst by the other."""
    methods = {
        "ft": {"RetDev": 0.02, "Indisc": 0.7, "seconds": 0.1},
        "msg": {"RetDev": 0.3, "Indisc": 0.8},
        "ga": {"RetDev": 0.9, "Indisc": 0.95, "seconds": 0.1},
    }
    assert chosen(tmp_path, methods).method == "msg"


LEFT_OUT: dict[str, tuple[dict[str, Any], str]] = {  # better methods -> what their rows have, why they cannot be used
    "sisa": ({}, "SISA needs a record of the model's training"),
    "scrub": ({}, "SCRUB reads validation data"),
    "msg": ({"method_version": 1}, "MSG is version 2 now, and version 1 there"),
    "ct": ({"moved": 0.0, "moved_buffers": 0.0}, "CT left a model as it was"),
    "cfk": ({"RTE": 0.9}, "CF-k was no faster than training anew"),
    "srl": ({"params": '{"rate": 3}'}, "SRL has stored values that cannot be used"),
    "salun": ({"params": None}, "SalUn has no stored values"),
    "iu": ({"MIA_AUC": 0.95}, "IU has an Indisc there that Disc_AUC contradicts"),
    "mine": ({}, "mine is no single method of this program"),
    "ngplus": ({}, "NG+ cannot be used on this model"),
}


def test_better_methods_that_cannot_be_used_here_are_left_out_and_it_says_why(tmp_path: Path) -> None:
    better = {name: {**GOOD, **changes} for name, (changes, _) in LEFT_OUT.items()}
    choice = chosen(
        tmp_path,
        {**better, "ft": FAIR, "ga": BAD},
        validation=False,
        refuses=lambda config, values: "cannot be used on this model" if config.name == "ngplus" else "",
    )
    assert choice.method == "ft" and len(choice.left_out) == len(LEFT_OUT)
    for _, why in LEFT_OUT.values():
        assert any(why in one for one in choice.left_out), (why, choice.left_out)


def test_results_without_a_time_of_retraining_serve_as_well(tmp_path: Path) -> None:
    """Where nothing was retrained, no method can have been slower than that."""
    bare = {"RTE": None, "gap": None, "ToW": None, "RR": None, "FR": None, "TR": None}
    methods = {name: {**values, **bare} for name, values in {"ft": FAIR, "ct": GOOD, "ga": BAD}.items()}
    assert chosen(tmp_path, methods).method == "ct"


@pytest.mark.slow
def test_a_method_that_was_worse_than_doing_nothing_is_not_chosen(tmp_path: Path) -> None:
    results = stored(tmp_path, {"ft": FAIR, "ga": BAD}, RetDev=0.1, Indisc=0.9)
    with pytest.raises(ConfigError, match="was no better there than the model as it was"):
        choose(REQUEST, [results])


@pytest.mark.slow
def test_the_nearest_table_is_taken_and_farther_ones_are_not_looked_at(tmp_path: Path) -> None:
    other: dict[str, Any] = {"cell": "b" * 16, "result_set": "d" * 16, "dataset": "mnist", "dataset_title": "MNIST"}
    near = stored(tmp_path / "near", {"ft": GOOD, "msg": BAD, "ga": BAD})
    far = stored(tmp_path / "far", {"ft": BAD, "msg": GOOD, "ga": BAD}, seeds=3, **other)
    choice = choose(REQUEST, [far, near])
    assert (choice.method, choice.points) == ("ft", 0)
    from_far = choose(REQUEST.model_copy(update={"dataset": "mnist"}), [near, far])
    assert (from_far.method, from_far.points) == ("msg", 0)


def test_nearer_tables_that_refuse_to_rank_are_passed_over_and_named(tmp_path: Path) -> None:
    other: dict[str, Any] = {"cell": "b" * 16, "result_set": "d" * 16, "arch": "tinyvit", "arch_title": "TinyViT"}
    one_seed = stored(tmp_path / "near", {"ft": BAD, "msg": GOOD}, seeds=1)
    ranked = stored(tmp_path / "far", {"ft": GOOD, "msg": BAD, "ga": BAD}, **other)
    choice = choose(REQUEST, [one_seed, ranked])
    assert (choice.method, choice.points) == ("ft", 1)
    assert ["1 seed" in one for one in choice.passed_over] == [True]
    assert "there tinyvit" in choice.near


@pytest.mark.slow
def test_a_far_setting_is_called_far(tmp_path: Path) -> None:
    request = REQUEST.model_copy(update={"whole_classes": True})
    choice = choose(request, [stored(tmp_path, {"ft": GOOD, "ga": BAD, "ct": FAIR})])
    assert choice.near.startswith("far, 3.0 points, so that the order may be another one here")


@pytest.mark.slow
def test_the_first_of_several_requests_is_a_table_like_any_other(tmp_path: Path) -> None:
    """A request finds a model of which nothing was deleted, as the first round of a sequence does."""
    rounds = {"round": 1, "rounds": 3, "sequence": "e" * 16, "requested": 122, "forgotten": 122}
    choice = choose(REQUEST, [stored(tmp_path / "results", {"ft": BAD, "ga": GOOD}, **rounds)])
    assert choice.method == "ga"


def test_with_five_seeds_it_says_how_many_are_worse_by_a_test(tmp_path: Path) -> None:
    choice = choose(REQUEST, [stored(tmp_path, {"ft": GOOD, "ga": BAD, "ct": FAIR}, seeds=5)])
    assert "By RetDev FT is best, and a test tells 2 of 2 others from it." in choice.order
    assert "the place of 3 of 3 methods (100%) is certain" in choice.order


@pytest.mark.slow
def test_records_without_their_store_serve_as_well(tmp_path: Path) -> None:
    results = stored(tmp_path / "results", {"ft": GOOD, "ga": BAD, "ct": FAIR})
    copy = tmp_path / "copied"
    records.collect(results).write(copy)
    own, copied = choose(REQUEST, [results]), choose(REQUEST, [copy])
    same = {"source", "why"}
    assert own.model_dump(exclude=same) == copied.model_dump(exclude=same)


# ---------------------------------------------------------------------------------------------------------- wrong input


def damage_row(root: Path) -> Path:
    stored(root, {"ft": GOOD, "ga": BAD})
    next(root.glob("store/**/row.json")).write_text("{", encoding="utf-8")
    return root


def damage_records(root: Path) -> Path:
    records.collect(stored(root / "made", {"ft": GOOD, "ga": BAD})).write(root)
    (root / "records/rows.parquet").write_bytes(b"PAR1 and no more")
    return root


def one_seed(root: Path) -> Path:
    return stored(root, {"ft": GOOD, "ga": BAD}, seeds=1)


def equal(root: Path) -> Path:
    return stored(root, {"ft": FAIR, "ga": FAIR, "ct": FAIR})


def alone(root: Path) -> Path:
    return stored(root, {"ft": GOOD})


def references_alone(root: Path) -> Path:
    shelf = Shelf(root)
    shelf.references(0, 1)
    shelf.expect()
    return root


def later_rounds(root: Path) -> Path:
    return stored(root, {"ft": GOOD, "ga": BAD}, round=2, rounds=3, sequence="e" * 16, requested=10, forgotten=122)


def file(root: Path) -> Path:
    root.write_text("rows", encoding="utf-8")
    return root


def missing(root: Path) -> Path:
    return root


def empty(root: Path) -> Path:
    root.mkdir()
    return root


WRONG: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no folder": (missing, "there is no folder"),
    "a file": (file, "there is no folder"),
    "an empty folder": (empty, "has no records"),
    "a damaged row": (damage_row, "cannot be used"),
    "damaged records": (damage_records, "cannot be used"),
    "references alone": (references_alone, "no results of unlearning methods"),
    "later rounds alone": (later_rounds, "no table of results"),
    "one seed": (one_seed, "1 seed does not show how far seeds differ"),
    "one method": (alone, "fewer than two methods"),
    "methods within noise": (equal, "no more than their seeds do"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_chosen_from_is_refused_with_what_to_do(case: str, tmp_path: Path) -> None:
    make, problem = WRONG[case]
    with pytest.raises(DeepUnlearnError) as caught:
        choose(REQUEST, [make(tmp_path / "results")])
    assert problem in str(caught.value)
    assert caught.value.given and caught.value.allowed
    assert "method=NAME" in str(caught.value.remedy)
