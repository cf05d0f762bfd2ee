"""Every typed error says what is wrong, what was given, what is allowed and what to do."""

from __future__ import annotations

import pytest

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.params import ParamSpec
from deepunlearn.core.search_config import SearchConfig
from deepunlearn.core.validation import Frozen, PositiveInt, validate
from tests.error_list import ANY, PAGE, Raised, Typed, other_raises, page, typed_errors

NO_ACTION = {
    "a",
    "an",
    "as",
    "because",
    "e.g.",
    "it",
    "its",
    "no",
    "not",
    "only",
    "that",
    "the",
    "there",
    "they",
    "this",
}
MADE_FROM_PARTS = {  # functions whose callers give the text, as the test of their own file shows
    "analysis.external": "_unfit: the remedy depends on the column",
    "archs.inspection": "_refuse_softmax: what archs.shares says of both doors",
    "given_logits": "_refuse_shares: likewise",
    "config.hydra_flags": "_refused: the remedy depends on the flag, as its tests show",
    "data.given": "_relabelling: the remedy depends on what the labels are",
    "data.table_columns": "unfit: its callers say what to do, as the tests of bad tables show",
    "data.table_files": "unreadable: likewise",
    "data.splits": "forget.reduce: every kind of forget set has its own, as the tests of its file show",
    "forget.list": "_unknown: its callers say what to do, as the tests of its file show",
    "launch.slurm": "sbatch.remedy: it depends on what SLURM says",
    "core.slurm_options": "_refused: its callers say what to do",
}
OTHERS = {  # what else is raised by name -> why no user meets it
    "AttributeError": "of __getattr__, as Python wants it",
    "AssertionError": "of the contract tests: what is wrong with a method's code",
    "UnpicklingError": "of a pickle with more than arrays: the source of torchvision's sets says so in a DataError",
    "LookupError": "of a split that an original has to be trained for: it has no seeds to ask it for",
    "Stopped": "ends a worker that was asked to stop; its caller handles it",
    "TrialPruned": "Optuna's word for a trial that was ended early",
}
VALUE_ERRORS = {  # module -> why its ValueErrors meet no user
    "core.params": "range() says which hyper-parameter's range is empty, as a ConfigError",
    "data.images": "its caller names the file, as a DataError",
    "data.torchvision_files": "likewise the source of torchvision's sets",
    "ulira.attack": "the design that is checked first gives every attack enough observations",
    "ulira.scores": "likewise",
    "ulira.iam": "likewise",
    "ulira.left_out": "likewise",
    "ulira.memorisation": "likewise",
    "metrics.forgetting": "measures over seeds say how many they need, and are not defined with fewer",
    "metrics.mia": "splits are checked first",
    "metrics.scikit": "the reader of calls says what is wrong with one, as a ConfigError",
    "deletion.report": "a report that contradicts itself is a mistake of ours, told with its traceback",
    "share.bundle": "its caller says which bundle is refused, as a StoreError",
    "metrics.row": "a row that does not fit is a mistake of ours, told with its traceback",
}


def shown(error: Typed) -> str:
    return f"{error.module}: {error.problem}"


@pytest.mark.parametrize("error", typed_errors(), ids=shown)
def test_an_error_helps(error: Typed) -> None:
    assert error.problem.replace(ANY, "").split(), "the problem is said in words"
    missing = [name for name in ("given", "allowed", "remedy") if getattr(error, name) is None]
    assert not missing and error.remedy is not None, f"{error} does not say: {', '.join(missing)}"
    for remedy in error.remedy.split(" / "):
        if remedy == ANY:
            assert error.module in MADE_FROM_PARTS, f"{error}: spell the remedy out, or say why it cannot be here"
        else:
            first = remedy.split()[0].strip(",:")
            assert first.isascii() and first not in NO_ACTION, f"{error}: {remedy!r} does not begin with what to do"


@pytest.mark.parametrize("raised", sorted(other_raises(), key=str), ids=str)
def test_what_else_is_raised_meets_no_user(raised: Raised) -> None:
    assert raised.error in OTHERS or (raised.error == "ValueError" and raised.module in VALUE_ERRORS), raised


def test_the_page_lists_them_all() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tests.error_list and commit docs/errors.md"


SEARCH = {
    "name": "paper", "title": "", "sampler": "nsga3", "objective": "four", "trials": 5, "seeds": 1, "space": "paper",
    "max_epochs": None, "storage": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"trials": "many"}, ["search.trials", "'many'", "allowed: a whole number"]),
        ({"trials": 1.5}, ["search.trials", "1.5", "allowed: a whole number"]),
        ({"prune": "maybe"}, ["search.prune", "'maybe'", "allowed: true or false"]),
        ({"storage": 5}, ["search.storage", "5", "allowed: text"]),
        ({"trials": 0}, ["search.trials=0, search.seeds=1", "search=none"]),
        ({"prune": True}, ["search.prune=true", "search.objective=sum"]),
        ({"objective": None}, ["search.sampler=nsga3", "search.objective=four"]),
        ({"sampler": "gp"}, ["search.sampler=gp, search.objective=four", "give search.objective=sum"]),
        ({"stops_early": True}, ["search.stops_early=true, search.shared=false", "give search=thrifty"]),
        ({"together": 4, "sampler": "tpe"}, ["search.together=4, search.sampler=tpe", "give search=paper"]),
        ({"look_samples": 50}, ["search.prune=false", "search.look_samples=50", "give search.prune=true"]),
        ({"shared": True}, ["search.shared=true, search.selection=paper", "search.selection=robust"]),
    ],
)
def test_wrong_values_are_explained_without_pydantics_words(changed: dict[str, object], words: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        validate(SearchConfig, {**SEARCH, **changed}, "search")
    said = str(raised.value)
    for word in words:
        assert word in said
    for strange in ("valid", "parse", "dictionary", "instance", "'title'", "Input"):
        assert strange not in said, said


def test_one_of_a_list_is_named_and_the_whole_list_is_to_be_given() -> None:
    class Seeds(Frozen):
        seeds: tuple[PositiveInt, ...]

    with pytest.raises(ConfigError, match=r"seeds\[1\] has a value that cannot be used") as raised:
        validate(Seeds, {"seeds": [1, 0]}, "")
    assert raised.value.remedy is not None and raised.value.remedy.startswith("give seeds=VALUE")


def test_alternatives_of_a_type_are_no_part_of_a_name() -> None:
    with pytest.raises(ConfigError, match=r"^method\.space\.lr\.low has a value"):
        validate(ParamSpec, {"type": "float", "default": 1.0, "low": "x", "help": "?"}, "method.space.lr")
