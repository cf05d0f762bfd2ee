"""Files of tables, real ones: each kind is read rightly, or refused by name with what to do."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pandas as pd
import pytest

from deepunlearn.core.errors import ConfigError, DataError, MissingData
from deepunlearn.data.decoded import digest_of, load
from deepunlearn.data.sources import find, read
from deepunlearn.data.table_files import read_table

ROWS = 60


def frame(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    random = np.random.RandomState(seed)
    return pd.DataFrame(
        {
            "petal length (cm)": random.normal(size=rows).round(3),
            "stems": random.randint(1, 9, rows),
            "colour": random.choice(["red", "blue", "light green"], rows),
            "wild": random.rand(rows) < 0.5,
            "species": random.choice(["a", "b"], rows),
        }
    )


@pytest.fixture
def table(config, tmp_path):
    """table("t.csv", content, ...): the configuration of a file with this content, which is written."""

    def of(name: str, content: str | bytes | pd.DataFrame, **changes):
        path = tmp_path / name
        if isinstance(content, pd.DataFrame):
            content = content.to_csv(index=False)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return config("table", **{"root": str(path), "target": "species", **changes})

    return of


def rows(config) -> np.ndarray:
    raw = read(config, find(config))
    return np.concatenate([raw.train.images, raw.test.images])


def arff(made: pd.DataFrame) -> str:
    kinds = {"colour": "{red,blue,'light green'}", "wild": "{True,False}", "species": "{a,b}"}
    head = [f"@attribute '{name}' {kinds.get(name, 'numeric')}" for name in made]
    cells = made.to_csv(index=False, header=False, quotechar="'", quoting=0).replace("light green", "'light green'")
    return "\n".join(["% made", "@relation flowers", *head, "@data", cells])


# ---------------------------------------------------------------------------------------------------------- read alike


def test_every_format_gives_the_same_rows(table, config, tmp_path) -> None:
    made = frame()
    expected = rows(table("t.csv", made))
    assert expected.shape == (ROWS, 6)
    made.to_parquet(tmp_path / "t.parquet")
    others = [
        table("semicolons.csv", made.to_csv(index=False, sep=";")),
        table("t.tsv", made.to_csv(index=False, sep="\t")),
        table("UPPER.CSV", made),
        table("marked.csv", b"\xef\xbb\xbf" + made.to_csv(index=False).encode()),
        table("spaced.csv", made.to_csv(index=False).replace(",", ", ")),
        table("windows.csv", made.to_csv(index=False, lineterminator="\r\n")),
        config("table", root=str(tmp_path / "t.parquet"), target="species"),
    ]
    for other in others:
        assert np.array_equal(rows(other), expected), other.root
    own = rows(table("t.arff", arff(made)))
    assert own.shape == (ROWS, 7) and np.array_equal(own[:, :5], expected[:, :5]), "true and false are categories there"


def test_a_table_is_cached_and_known_by_its_content(table, tmp_path, progress) -> None:
    one = table("t.csv", frame())
    first = load(one, tmp_path / "cache", progress)
    assert first.train_images.dtype == np.float32 and first.train_images.shape == (48, 6) and first.inputs.number == 6
    known = digest_of(one, tmp_path / "cache", progress)
    assert known.digest == first.digest and known.features is not None and known.features[2] == "colour=blue"
    assert known.attributes.train["petal length (cm)"].shape == (48,)
    assert not list((tmp_path / "cache").rglob("*.pkl"))
    changed = [table("t.csv", frame(), ignore=["wild"]), table("u.csv", frame(seed=1))]
    assert len({first.digest, *(digest_of(other, tmp_path / "cache", progress).digest for other in changed)}) == 3


def test_what_is_cached_is_not_read_again(table, tmp_path, progress, monkeypatch) -> None:
    one = table("t.csv", frame())
    load(one, tmp_path / "cache", progress)
    monkeypatch.setattr("deepunlearn.data.sources.table.read_table", None)
    assert len(load(one, tmp_path / "cache", progress).train_labels) == 48


def test_rows_that_are_there_twice_are_found(table, tmp_path, progress) -> None:
    twice = pd.concat([frame(), frame()])
    found = digest_of(table("t.csv", twice), tmp_path / "cache", progress)
    assert found.copies["repeated"].count > 30 and found.copies["in test"].count > 5
    assert found.copies["repeated"].examples[0][0].startswith("row ")
    with pytest.raises(DataError, match="table has rows twice"):
        digest_of(table("t.csv", twice, duplicates="error"), tmp_path / "cache", progress)
    dropped = digest_of(table("t.csv", twice, duplicates="drop"), tmp_path / "cache", progress)
    assert len(dropped.dropped) >= 48 and dropped.digest != found.digest


def test_a_folder_with_train_and_test_keeps_its_parts(config, tmp_path) -> None:
    frame(40).to_csv(tmp_path / "train.csv", index=False)
    frame(20, seed=1).to_parquet(tmp_path / "test.parquet")
    one = config("table", root=str(tmp_path), target="species", test_ratio=None)
    raw = read(one, find(one))
    assert (len(raw.train.labels), len(raw.test.labels)) == (40, 20)
    assert raw.test.names is not None and raw.test.names[0] == "row 41"


def test_texts_of_several_lines_and_quoted_names_are_read(table) -> None:
    made = frame().rename(columns={"colour": 'a "quoted", name'})
    made.iloc[0, 2] = "two\nlines"
    raw = read(one := table("t.csv", made), find(one))
    assert 'a "quoted", name=two\nlines' in raw.features


def test_what_arff_knows_is_read(table) -> None:
    """Quotes of both kinds, escapes, comments, question marks, texts, numbers that are categories, capitals."""
    body = "".join(f"{row / 7}, 'it\\'s {row % 2}' ,{row % 3},{'ab'[row % 2]},?\n% none\n" for row in range(30))
    head = "@RELATION r\n@ATTRIBUTE 'a b' REAL\n@attribute t string\n@attribute n {0,1,2}\n"
    one = table(
        "t.arff", f"% a comment\n{head}@attribute species {{ a , b }}\n@attribute gone numeric\n\n@DATA\n{body}"
    )
    raw = read(one := one.model_copy(update={"ignore": ("gone",)}), find(one))
    assert raw.features == ("a b", "t=it's 0", "t=it's 1", "n=0", "n=1", "n=2")
    assert np.isnan(raw.attributes.train["gone"]).all() and raw.class_names == ("a", "b")


# ----------------------------------------------------------------------------------------------------------- bad input

LINES = frame().to_csv(index=False).splitlines(keepends=True)
BAD = {  # name -> file, its content, what is given, part of the remedy
    "an empty file": ("t.csv", "", "an empty file", "names in its first line"),
    "names alone": ("t.csv", "a,species\n", "0 rows, 2 columns", "complete"),
    "no names": ("t.csv", "".join(LINES[1:]), "the first line, which names the columns, has the numbers", "begin them"),
    "too many values": ("t.csv", "".join([*LINES[:5], "1,2,red,True,a,9\n"]), "Expected 5 columns, got 6", "correct"),
    "too few values": ("t.csv", "".join([*LINES[:5], "1,2\n"]), "Expected 5 columns, got 2", "correct"),
    "bytes of Latin 1": ("t.csv", "".join(LINES).replace("red", "röd").encode("latin1"), "column 'colour'", "iconv"),
    "names of Latin 1": ("t.csv", "".join(LINES).replace("stems", "größe").encode("latin1"), "names of the", "iconv"),
    "no Parquet": ("t.parquet", "".join(LINES), "ArrowInvalid", "restore"),
    "a cut Parquet": ("t.parquet", frame().to_parquet()[:500], "ArrowInvalid", "restore"),
    "no ARFF": ("t.arff", "".join(LINES), "no line @data", "CSV"),
    "sparse ARFF": (
        "t.arff",
        "@relation r\n@attribute x numeric\n@attribute species {a,b}\n@data\n% none\n{0 1.5, 1 b}\n",
        "sparse rows: {0 1.5, 1 b}",
        "SparseToNonSparse",
    ),
    "ARFF with another category": (
        "t.arff",
        "@relation r\n@attribute x real\n@attribute species {a, b}\n@data\n1,a\n2,c\n",
        "attribute 'species' is 'c' in row 2",
        "which are a, b",
    ),
    "ARFF with a text for a number": (
        "t.arff",
        "@relation r\n@attribute x real\n@attribute species {a, b}\n@data\n1,a\ntwo,b\n",
        "invalid value 'two'",
        "correct the line",
    ),
    "ARFF with a name twice": (
        "t.arff",
        "@relation r\n@attribute x numeric\n@attribute x numeric\n@data\n1,2\n",
        "two attributes called 'x'",
        "rename",
    ),
    "ARFF in Latin 1": ("t.arff", arff(frame()).replace("red", "röd").encode("latin1"), "not UTF-8", "iconv"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_no_table_is_refused(name, table) -> None:
    file, content, given, remedy = BAD[name]
    one = table(file, content)
    with pytest.raises(DataError, match=rf"the table .*{file} cannot be read") as error:
        read(one, find(one))
    assert given in error.value.given and remedy in str(error.value.remedy), str(error.value)
    assert ".csv" in str(error.value.allowed)


CELLS = {  # what is wrong in a CSV file -> (its column's cells, what is given)
    "a missing value": (["", *"1234"], "'x' in 12 rows, first row 1"),
    "a question mark": (["?", *"1234"], "'x' in 12 rows, first row 1"),
    "a text": (["12,5", *"1234"], "'12,5' in row 1"),
    "one value": (["7"] * 5, "'x' is 7.0 in all rows"),
    "dates": ([f"2020-01-0{day}" for day in range(1, 6)], "dates or times"),
    "days the other way": ([f"0{day}.12.2020" for day in range(1, 6)], "dates or times"),
    "times": ([f"0{hour}:30:00" for hour in range(1, 6)], "dates or times"),
    "huge numbers": ([str(10**17 + one) for one in range(5)], "beyond 2^53"),
    "more than huge numbers": ([str(10**30 + one) for one in range(5)], "beyond 2^53"),
    "infinity": (["inf", *"1234"], "inf in row 1"),
}


@pytest.mark.parametrize("name", CELLS)
def test_a_column_that_is_no_input_is_refused(name, table) -> None:
    cells, given = CELLS[name]
    one = table("t.csv", pd.DataFrame({"x": cells * 12, "y": range(60), "species": list("ab") * 30}))
    with pytest.raises(DataError, match=r"the table of dataset table .* cannot be used") as error:
        read(one, find(one))
    assert given in error.value.given and "dataset." in str(error.value.remedy), str(error.value)


def test_decimal_commas_are_no_categories(table) -> None:
    made = frame()
    one = table("t.csv", made.to_csv(sep=";", decimal=",", index=False))
    with pytest.raises(DataError) as error:
        read(one, find(one))
    first = str(made.iloc[0, 0]).replace(".", ",")
    assert error.value.given == f"column 'petal length (cm)' has numbers kept as texts: {first!r} in row 1"
    path = find(one).root / "t.csv"
    assert 'pandas.read_csv(FILE, sep=";", decimal=",").to_csv(NEW, index=False)' in str(error.value.remedy)
    pd.read_csv(path, sep=";", decimal=",").to_csv(path, index=False)
    assert np.array_equal(rows(one), rows(table("points.csv", made)))


def test_row_numbers_of_pandas_are_no_column(config, tmp_path) -> None:
    frame().sample(frac=1, random_state=0).to_parquet(tmp_path / "t.parquet")
    one = config("table", root=str(tmp_path / "t.parquet"), target="species")
    with pytest.raises(DataError, match="cannot be used") as error:
        read(one, find(one))
    assert error.value.given == "column 6 without a name" and "to_parquet(FILE, index=False)" in error.value.remedy
    assert rows(one.model_copy(update={"ignore": ("__index_level_0__",)})).shape == (ROWS, 6)


def test_columns_of_one_name_and_without_one_are_refused(table) -> None:
    for content, given in (
        ("x,x,species\n1,2,a\n3,4,b\n", "two columns called 'x'"),
        (frame().to_csv(), "column 1 without a name"),
    ):
        one = table("t.csv", content)
        with pytest.raises(DataError) as error:
            read(one, find(one))
        assert given in error.value.given
        assert "index=False" in str(error.value.remedy) or "rename" in str(error.value.remedy)


def test_an_unknown_target_lists_the_columns(table) -> None:
    one = table("t.csv", frame(), target="spezies")
    with pytest.raises(ConfigError) as error:
        read(one, find(one))
    assert "petal length (cm)" in str(error.value.allowed) and "did you mean 'species'" in str(error.value.remedy)


@pytest.mark.parametrize("name", ["t.pkl", "t.npy", "t.xlsx", "t"])
def test_other_files_are_refused_unopened(name, table) -> None:
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    with pytest.raises(ConfigError, match="no table that can be read") as error:
        find(table(name, pickle.dumps(Bomb())))
    assert "to_csv(FILE, index=False)" in str(error.value.remedy)
    assert ("may hold code" in error.value.given) == (name in ("t.pkl", "t.npy"))


def test_files_that_are_not_there_are_named(config, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.root is not given"):
        find(config("table"))
    with pytest.raises(MissingData, match=r"there is no file .*nowhere\.csv"):
        find(config("table", root=str(tmp_path / "nowhere.csv")))
    with pytest.raises(MissingData, match="not one table train and one test") as error:
        find(config("table", root=str(tmp_path)))
    assert error.value.given == "no file train; no file test"


def test_parts_that_do_not_fit_together_are_refused(config, tmp_path) -> None:
    frame().to_csv(tmp_path / "train.csv", index=False)
    texts = frame().assign(stems="many")
    for other, given in ((frame().rename(columns={"stems": "stem"}), "stem, stems"), (texts, "stems")):
        other.to_csv(tmp_path / "test.csv", index=False)
        one = config("table", root=str(tmp_path), target="species")
        with pytest.raises(DataError, match="do not fit together") as error:
            read(one, find(one))
        assert given in error.value.given


def test_pyarrow_that_is_not_there_is_named(table, monkeypatch) -> None:
    one = table("t.csv", frame())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match="pyarrow, which is not installed") as error:
        read_table(find(one).root / "t.csv")
    assert error.value.remedy == "pip install pyarrow"


def test_tables_and_images_are_not_mistaken_for_each_other(config, tmp_path) -> None:
    with pytest.raises(ConfigError, match="breast_cancer is a table, and tables have no image size") as error:
        find(config("breast_cancer", image_size=32))
    assert error.value.remedy == "leave it out"
    with pytest.raises(ConfigError, match="digits has images, and no size for them") as error:
        find(config("digits", image_size=None))
    assert error.value.remedy == "give dataset.image_size=32"
    with pytest.raises(ConfigError, match="no table of scikit-learn"):
        find(config("table", source="sklearn_table"))


@pytest.mark.parametrize(("name", "shape"), [("iris", (120, 4)), ("wine", (142, 13)), ("breast_cancer", (455, 30))])
def test_the_embedded_tables(config, name, shape) -> None:
    one = config(name)
    raw = read(one, find(one))
    assert raw.train.images.shape == shape and len(raw.class_names) == one.classes
    assert "class" in raw.attributes.train and raw.features[0] in raw.attributes.train
