"""A measure of one's own: one file and its YAML give a column, everywhere, also of models that are stored already."""

from __future__ import annotations

import subprocess
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, roc_curve

from deepunlearn.analysis import records
from deepunlearn.analysis.coverage import coverage
from deepunlearn.config import read_command
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.measure_config import Measure
from deepunlearn.metrics.added import Outputs, computed, told_apart
from tests.commands import called, run_command, sweep, tree
from tests.plugins import put

WORK = (
    "dataset=digits", "arch=smallnet", "search=none", "train.epochs=8", "train.batch_size=16", "seeds=1",
    "dataset.limit=400", "runtime.threads=1",
)  # fmt: skip
CODE = '''
"""Mean confidence in the label on D_F."""

import numpy as np


def measure(outputs):
    logits = outputs.logits["forget"].astype(np.float64)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    return {"FConf": shares[np.arange(len(logits)), outputs.labels["forget"]].mean()}
'''
YAML = """
# mean confidence on the forget set
name: confidence
version: 1
title: confidence on D_F
source: a test
kind: score
needs: [logits]
columns:
  - {name: FConf, high: 1, better: lower, meaning: mean probability of the label on D_F}
"""


INTERVAL = "better: lower, over: {low: FConf, high: FConf, chance: FConf, models: FConf, fewest: 3}"
SEEDS = YAML.replace("better: lower", INTERVAL) + "over: seeds\n"


def write(folder: Path, code: str = CODE, yaml: str = YAML, name: str = "confidence") -> Path:
    put(folder, "measure", name, code, yaml)
    return folder


def done(finished: subprocess.CompletedProcess[str]) -> str:
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.slow
def test_a_file_and_its_yaml_are_a_column_everywhere(tmp_path: Path) -> None:
    """FT was there before the measure, CFK comes with another command and never gets it."""
    write(tmp_path / "own")
    done(sweep(tmp_path, *WORK, "method=ft"))
    before = tree(tmp_path / "results" / "store")
    again = sweep(tmp_path, *WORK, "method=ft", "plugins=own")
    assert " unlearned in " not in done(again) + again.stderr and "trained" not in again.stderr
    after = tree(tmp_path / "results" / "store")
    assert {name: after[name] for name in before} == before, "what is stored stays as it is"
    assert {name.split("/")[2] for name in after.keys() - before.keys()} == {"measures"}
    assert "nothing to do" in done(sweep(tmp_path, *WORK, "method=ft", "plugins=own"))
    done(sweep(tmp_path, *WORK, "method=cfk"))
    table = _line(done(run_command("tables", tmp_path)))
    assert "FConf ↓" in table["method"] and table["FT"].endswith(" ¹") and table["CF-k"] == "-"
    written = tmp_path / "results" / "tables" / "digits-smallnet"
    assert "FConf $\\downarrow$" in written.with_suffix(".tex").read_text()
    caption = written.with_suffix(".md").read_text()
    assert "lowest (FConf)" in caption and "-: not computed" in caption
    assert pd.read_csv(written.with_suffix(".csv"))["FConf_mean"].notna().sum() == 3
    done(run_command("report", tmp_path))
    page = next((tmp_path / "results").rglob("*.html")).read_text()
    assert "FConf: mean probability of the label on D_F. Reference: lower is better." in page
    assert "-: not computed" in page
    _joined_without_the_store(tmp_path)


def _line(markdown: str) -> dict[str, str]:
    """Method -> the cell of the new column; "method" -> the header."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in markdown.splitlines() if line.startswith("|")]
    head = next(line for line in lines if any(cell.startswith("FConf") for cell in line))
    column = next(number for number, cell in enumerate(head) if cell.startswith("FConf"))
    return {line[0]: line[column] for line in lines if len(line) == len(head)}


def _joined_without_the_store(folder: Path) -> None:
    """Records alone say what the column means."""
    found = records.read([folder / "results"])
    assert [column.header for column in found.catalogue.added] == ["FConf ↓"]
    assert found.rows.set_index("method")["FConf"].notna().to_dict() == {
        "ft": True, "cfk": False, "original": True, "retrained": True,
    }  # fmt: skip


@pytest.mark.slow
def test_another_version_or_code_never_mixes_with_the_first(tmp_path: Path) -> None:
    write(tmp_path / "own")
    done(sweep(tmp_path, *WORK, "method=ft", "plugins=own"))
    first = records.collect(tmp_path / "results")
    first.write(tmp_path / "first")
    write(tmp_path / "own", CODE.replace(".mean()}", ".mean() / 2}"), YAML.replace("version: 1", "version: 2"))
    done(sweep(tmp_path, *WORK, "method=ft", "plugins=own"))
    second = records.collect(tmp_path / "results")
    assert second.measures["version"].tolist() == [2]
    assert (second.rows["FConf"] * 2).tolist() == pytest.approx(first.rows["FConf"].tolist())
    second.write(tmp_path / "second")
    joined = records.read([tmp_path / "first", tmp_path / "second"])
    assert joined.rows["FConf"].dropna().tolist() == second.rows["FConf"].tolist()


@pytest.mark.parametrize(
    ("yaml", "told"),
    [
        (YAML.replace("name: FConf", "name: TA"), "TA"),
        (YAML.replace("name: FConf", "name: seed"), "seed"),
        (YAML.replace("needs: [logits]", "needs: [images]"), "needs[0]"),
        (YAML.replace("needs: [logits]", "needs: []"), "needs"),
        (YAML.replace("better: lower", "better: ideal"), "ideal"),
        (YAML.replace("better: lower", "better: bigger"), "columns[0].better"),
        (YAML.replace("name: confidence", "name: other"), "name: other"),
        (SEEDS.replace("chance: FConf", "chance: Chance"), "not among them: Chance"),
        (SEEDS.replace("over: seeds\n", ""), "over: models of the measure"),
    ],
)
def test_a_yaml_that_does_not_fit_is_told_before_anything_runs(tmp_path: Path, yaml: str, told: str) -> None:
    write(tmp_path / "own", yaml=yaml)
    with pytest.raises(ConfigError) as caught:
        read_command([*WORK, "method=ft", f"plugins={tmp_path / 'own'}"])
    assert told in str(caught.value)


def outputs() -> Outputs:
    parts = {part: np.eye(3, dtype=np.float32) for part in ("retain", "forget", "val", "test")}
    return Outputs({part: np.arange(3) for part in parts}, 0, parts, parts, parts)


@pytest.mark.parametrize("value", ["2.0", "float('nan')", "'high'", "True", "-0.1"])
def test_a_value_that_the_yaml_does_not_allow_is_refused(tmp_path: Path, value: str) -> None:
    code = textwrap.dedent(f"def measure(outputs):\n    return {{'FConf': {value}}}\n")
    measure = planned(write(tmp_path, code))
    with pytest.raises(ConfigError, match="FConf"):
        computed(measure, outputs())


def test_other_columns_and_edited_code_are_refused(tmp_path: Path) -> None:
    measure = planned(write(tmp_path, "def measure(outputs):\n    return {'Other': 0.5}\n"))
    with pytest.raises(ConfigError, match="FConf"):
        computed(measure, outputs())
    write(tmp_path, CODE)
    with pytest.raises(ConfigError, match="edited after"):
        computed(measure, outputs())


def planned(folder: Path) -> Measure:
    command = read_command([*WORK, "method=ft", f"plugins={folder}"])
    return command.sweep.measures[0]


# ------------------------------------------------------------------------------------------------- chosen, and needs


@pytest.mark.parametrize(
    ("given", "problem", "remedy"),
    [
        ("[confidnce]", "unknown measure 'confidnce'", "'confidence'"),
        ("[accuracy]", "part of every row", "leave accuracy out"),
        ("[1]", "takes names", "e.g."),
    ],
)
def test_a_choice_of_measures_that_says_nothing_is_taught(
    tmp_path: Path, given: str, problem: str, remedy: str
) -> None:
    write(tmp_path / "own")
    with pytest.raises(ConfigError) as caught:
        read_command([*WORK, f"plugins={tmp_path / 'own'}", f"measures={given}"])
    assert problem in caught.value.problem and remedy in str(caught.value.remedy)


def test_measures_are_chosen_by_name_or_as_sets(tmp_path: Path) -> None:
    """`default` is what is computed unasked, `all` is all; further sets are named in YAMLs."""
    write(write(tmp_path), name="other", yaml=_other("Other", "other", "sets: [mine]"))
    write(tmp_path, name="third", yaml=_other("Third", "third", "sets: [mine]\ndefault: false"))

    def chosen(*given: str) -> list[str]:
        return [one.name for one in read_command([*WORK, f"plugins={tmp_path}", *given]).sweep.measures]

    assert chosen() == chosen("measures=[default]") == ["confidence", "other"]
    assert chosen("measures=[]") == chosen("measures=none") == []
    assert chosen("measures=[other]") == chosen("measures=[other,other]") == ["other"]
    assert chosen("measures=[mine]") == chosen("measures=[other,mine]") == chosen("measures=mine") == ["other", "third"]
    assert {"confidence", "other", "third"} <= set(chosen("measures=[all]"))
    with pytest.raises(ConfigError, match="unknown measure 'min'") as caught:
        chosen("measures=[min]")
    assert "'mine'" in str(caught.value.remedy) and "default" in str(caught.value.allowed)
    write(tmp_path, name="mine", yaml=_other("Mine", "mine", ""))
    with pytest.raises(ConfigError, match="name of a set"):
        chosen("measures=[mine,default]")


def _other(column: str, name: str, more: str) -> str:
    return f"{YAML.replace('FConf', column).replace('confidence', name)}{more}\n"


WEIGHTS_CODE = '''
"""Distance of the weights to the retrained model's."""

import numpy as np


def measure(outputs):
    own, other = outputs.weights["model"], outputs.weights["retrained"]
    return {"FConf": float(sum(((own[name] - other[name]) ** 2).sum() for name in own) > 0)}
'''
WEIGHTS_YAML = YAML.replace("[logits]", "[weights]")


def test_a_measure_is_given_what_it_asks_for_alone(tmp_path: Path) -> None:
    own = planned(write(tmp_path, CODE, WEIGHTS_YAML))
    with pytest.raises(ConfigError, match="looks at logits, which it does not ask for"):
        computed(own, Outputs({}, 0, weights={"model": {}}))
    own = planned(write(tmp_path / "another", WEIGHTS_CODE))
    with pytest.raises(ConfigError, match="add weights to needs:"):
        computed(own, outputs())


def test_weights_that_are_not_kept_are_no_measures(tmp_path: Path) -> None:
    write(tmp_path, WEIGHTS_CODE, WEIGHTS_YAML)
    given = [*WORK, f"plugins={tmp_path}", "keep=logits"]
    assert read_command([*given, "measures=[]"]).sweep.keep == "logits"
    with pytest.raises(ConfigError, match="keep=weights"):
        read_command(given)


@pytest.mark.slow
def test_a_measure_that_fails_loses_no_row_and_is_computed_once_it_can(tmp_path: Path) -> None:
    broken = CODE.replace("    logits =", "    raise ValueError('no such luck')\n    logits =")
    write(tmp_path / "own", broken)
    yaml = WEIGHTS_YAML.replace("FConf", "Moved").replace("confidence", "moved_on")
    write(tmp_path / "own", WEIGHTS_CODE.replace("FConf", "Moved"), yaml, "moved_on")
    work = (*WORK, "method=ft", "plugins=own")
    first = called(tmp_path, *work)
    assert first.returncode == 1 and "ValueError: no such luck" in first.stdout
    found = records.collect(tmp_path / "results")
    assert set(found.rows["method"]) == {"ft", "original", "retrained"} and "FConf" not in found.rows
    assert found.rows.set_index("method")["Moved"].to_dict() == {"ft": 1.0, "original": 1.0, "retrained": 0.0}
    assert found.failures["error"].tolist() == ["MeasureFailed"] * 3
    assert found.failures["traceback"].str.contains("in measure").all()
    line = coverage(found.cases).set_index("method").loc["ft"]
    assert line["found"] == line["usable"] == 1 and "1 lack a measure: measure confidence, version 1" in line["why"]
    told = run_command("status", tmp_path).stdout
    assert told.count("ValueError: no such luck") == 3
    before = tree(tmp_path / "results" / "store")
    again = called(tmp_path, *work)
    assert again.returncode == 1 and tree(tmp_path / "results" / "store") == before, "a failure is not tried again"
    write(tmp_path / "own")
    assert sweep(tmp_path, *work).returncode == 0, "edited code is"
    after = tree(tmp_path / "results" / "store")
    added = [name for name in after.keys() - before.keys() if "/failures/" not in name]
    assert {name.split("/")[2] for name in added} == {"measures"}
    found = records.collect(tmp_path / "results")
    assert found.rows["FConf"].notna().all() and found.failures.empty
    assert (coverage(found.cases)["why"] == "").all()


# ---------------------------------------------------------------------------------------------------------- attacks

ATTACK = "def membership(logits, labels):\n    return logits[:, 0]\n"
ATTACK_YAML = "name: mine\nversion: 1\ntitle: first logit\nsource: a test\ncolumn: First\n"


def attack(folder: Path, code: str = ATTACK, yaml: str = ATTACK_YAML) -> Measure:
    target = folder / "attack"
    target.mkdir(parents=True)
    (target / "mine.py").write_text(code)
    (target / "mine.yaml").write_text(yaml)
    (measure,) = read_command([*WORK, f"plugins={folder}", "measures=[mine]"]).sweep.measures
    return measure


def attacked(measure: Measure, forget: list[float], test: list[float]) -> dict[str, float | bool | None]:
    """Of ten samples for each number, since an attack needs ten."""
    logits = {part: np.repeat(scores, 10)[:, None] for part, scores in (("forget", forget), ("unseen_test", test))}
    return computed(measure, Outputs({part: np.zeros(len(one), int) for part, one in logits.items()}, 0, logits))


def test_an_attack_is_a_measure_with_two_columns(tmp_path: Path) -> None:
    measure = attack(tmp_path)
    assert [column.name for column in measure.columns] == ["First_AUC", "First_TPR"] and measure.kind == "attack"
    assert "membership" not in measure.description, "versions before attacks can read what a column means"
    assert Measure.model_validate_json(measure.description).columns == measure.columns


@pytest.mark.parametrize(
    ("forget", "test", "auc", "tpr"),
    [
        ([3.0, 2.0], [1.0, 0.0], 1.0, 1.0),
        ([0.0, 1.0], [2.0, 3.0], 0.0, 0.0),
        ([1.0, 1.0], [1.0, 1.0], 0.5, 0.0),
        ([4.0, 1.0], [3.0, 0.0, 2.0], 4 / 6, 0.5),
        ([250.0, 249.0, 0.5, -1.0], [float(score) for score in range(200)] + [249.0, 300.0], None, 0.5),
    ],
)
def test_known_answers_of_attacks(
    forget: list[float], test: list[float], auc: float | None, tpr: float, tmp_path: Path
) -> None:
    """The last: 1 % of 202 is two of D_T, which are above 199 and so let 250 and 249 through."""
    values = attacked(attack(tmp_path), forget, test)
    pairs = [(one > other) + 0.5 * (one == other) for one in forget for other in test]
    assert values["First_AUC"] == pytest.approx(np.mean(pairs)) and auc in (None, pytest.approx(np.mean(pairs)))
    assert values["First_TPR"] == pytest.approx(tpr)


@pytest.mark.parametrize("scores", ["logits", "labels / 0.0", "[str(one) for one in labels]", "0.5"])
def test_what_is_no_score_of_each_sample_is_refused(tmp_path: Path, scores: str) -> None:
    measure = attack(tmp_path, f"import numpy as np\ndef membership(logits, labels):\n    return {scores}\n")
    with pytest.raises(ConfigError, match="gives no membership scores"), np.errstate(all="ignore"):
        attacked(measure, [1.0], [2.0])


def test_an_attack_has_no_name_of_a_measure(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="same name: 'time'"):
        target = tmp_path / "attack"
        target.mkdir()
        (target / "time.py").write_text(ATTACK)
        (target / "time.yaml").write_text(ATTACK_YAML.replace("mine", "time"))
        read_command([*WORK, f"plugins={tmp_path}"])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 150), st.integers(1, 150), st.sampled_from([2, 7, 10**9]))
def test_told_apart_is_scikit_learns_bit_for_bit(seed: int, members: int, others: int, values: int) -> None:
    """Also where many are equal: a threshold lies between two values only."""
    random = np.random.default_rng(seed)
    sides = (random.integers(0, values, members) / 7.0, random.integers(0, values, others) / 7.0)
    false, true, _ = roc_curve(np.repeat([1, 0], [members, others]), np.concatenate(sides), drop_intermediate=False)
    assert told_apart(*sides) == (auc(false, true), true[false <= 0.01].max())
