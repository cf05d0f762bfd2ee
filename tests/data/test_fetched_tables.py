"""Tables from the net: fetched once by the library of their source, kept, read without a network ever after.

scikit-learn's own copy of OpenML's iris, which its package carries, is laid out as its cache; ucimlrepo's answers come
from files. Nothing here reaches a network.
"""

from __future__ import annotations

import gzip
import io
import json
import shutil
import sys
import urllib.error
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn

from deepunlearn.core.errors import ConfigError, DataError, MissingData
from deepunlearn.data.sources import find, read

OPENML = Path(sklearn.__file__).parent / "datasets/tests/data/openml"
CSV = "id,length,colour,kind,other\n" + "".join(
    f"{n},{n * 0.5},{'rg'[n % 2]},{'ab'[n // 2 % 2]},{n % 3}\n" for n in range(40)
)
READ_CSV = pd.read_csv
ROLES = {"id": "ID", "length": "Feature", "colour": "Feature", "kind": "Target"}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refused)
    monkeypatch.setattr("sklearn.datasets._openml.urlopen", refused)


@pytest.fixture
def openml_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """scikit-learn's cache with iris in it."""
    home, own = tmp_path / "home", OPENML / "id_61"
    answers = home / "openml/openml.org"
    for folder in ("features", "qualities"):
        (answers / "api/v1/json/data" / folder).mkdir(parents=True)
    shutil.copy(own / "api-v1-jd-61.json.gz", answers / "api/v1/json/data/61.gz")
    shutil.copy(own / "api-v1-jdf-61.json.gz", answers / "api/v1/json/data/features/61.gz")
    shutil.copy(own / "api-v1-jdq-61.json.gz", answers / "api/v1/json/data/qualities/61.gz")
    description = json.loads(gzip.decompress((own / "api-v1-jd-61.json.gz").read_bytes()))
    path = description["data_set_description"]["url"].split("openml.org/")[1]
    (answers / path).parent.mkdir(parents=True)
    shutil.copy(next(own.glob("data-v1-dl-*.gz")), answers / f"{path}.gz")
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(home))
    return home


@pytest.fixture
def uci(monkeypatch: pytest.MonkeyPatch):
    """uci(roles): has ucimlrepo answer with a small table."""

    def answer(roles: dict[str, str] = ROLES) -> None:
        variables = [{"name": name, "role": role} for name, role in roles.items()]
        said = {"uci_id": 53, "name": "Made", "data_url": "https://example.org/53.csv", "variables": variables}
        metadata = {"status": 200, "data": {**said, "additional_info": None, "intro_paper": None}}
        monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: io.StringIO(json.dumps(metadata)))
        monkeypatch.setattr("ucimlrepo.fetch.pd.read_csv", lambda _: READ_CSV(io.StringIO(CSV)))

    return answer


def test_scikit_learns_copy_is_used_without_a_network(config, tmp_path, openml_home) -> None:
    one = config("openml", id=61, root=str(tmp_path))
    raw = read(one, find(one))
    assert raw.class_names == ("Iris-setosa", "Iris-versicolor", "Iris-virginica")
    assert raw.train.images.shape[1] == 4 and raw.features[0] == "sepallength"
    shutil.rmtree(openml_home)
    again = read(one, find(one))
    assert np.array_equal(again.train.images, raw.train.images), "ours is enough from then on"


def test_a_table_of_uci_is_fetched_once_and_kept(config, tmp_path, uci, monkeypatch) -> None:
    uci()
    raw = read(one := config("uci", id=53, root=str(tmp_path), download=True), find(one))
    assert raw.features == ("length", "colour=g", "colour=r") and raw.class_names == ("a", "b")
    assert "id" in raw.attributes.train and "other" not in raw.attributes.train
    monkeypatch.setitem(sys.modules, "ucimlrepo", None)
    offline = one.model_copy(update={"download": False})
    assert np.array_equal(read(offline, find(offline)).train.images, raw.train.images)
    assert [file.name for file in tmp_path.iterdir()] == ["uci-53.parquet"]


def test_of_several_targets_one_is_to_be_chosen(config, tmp_path, uci) -> None:
    uci({**ROLES, "other": "Target"})
    one = config("uci", id=53, root=str(tmp_path), download=True)
    with pytest.raises(ConfigError, match="which column has the classes is not said"):
        read(one, find(one))
    chosen = one.model_copy(update={"target": "other"})
    raw = read(chosen, find(chosen))
    assert raw.class_names == ("0", "1", "2") and "kind=a" not in raw.features


@pytest.mark.slow
@pytest.mark.parametrize("source", ["uci", "openml"])
def test_a_table_that_is_not_there_names_the_remedies(config, tmp_path, source, monkeypatch) -> None:
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "none"))
    with pytest.raises(MissingData, match=f"table 53 of {source} is not there") as error:
        find(config(source, id=53, root=str(tmp_path)))
    assert "dataset.download=true" in str(error.value.remedy) and "dataset=table" in str(error.value.remedy)
    with pytest.raises(DataError, match=f"table 53 of {source} could not be fetched") as error:
        find(config(source, id=53, root=str(tmp_path), download=True))
    assert "Error" in error.value.given and str(tmp_path) in str(error.value.allowed)
    assert not list(tmp_path.glob("*.parquet"))


@pytest.mark.parametrize("source", ["uci", "openml"])
def test_which_table_and_where_it_is_kept_must_be_said(config, source) -> None:
    with pytest.raises(ConfigError, match=f"which table of {source} is not said") as error:
        find(config(source))
    assert "dataset.id=" in str(error.value.remedy)
    with pytest.raises(ConfigError, match=r"dataset\.root is not given"):
        find(config(source, id=53, root=None))


def test_a_library_that_is_not_there_is_named_with_its_extra(config, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ucimlrepo", None)
    with pytest.raises(ConfigError, match="ucimlrepo, which is not installed") as error:
        find(config("uci", id=53, root=str(tmp_path), download=True))
    assert error.value.remedy == "pip install 'deepunlearn[tabular]'"
