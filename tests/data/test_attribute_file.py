"""attributes.csv: columns of the right type for the right images, and refusals that name lines and files."""

from __future__ import annotations

import numpy as np
import pytest

from deepunlearn.core.errors import DataError
from deepunlearn.data.attribute_file import read_columns
from deepunlearn.data.decoded import digest_of
from deepunlearn.data.sources import find, read
from tests.data.small_data import write_classes

PATHS = [f"{part}/{name}/{number:04d}.png" for part in ("train", "test") for name in "ab" for number in range(2)]


@pytest.fixture
def folder(config, tmp_path):
    """folder(lines): images with an attributes.csv of these lines, and the configuration that reads them."""
    root = tmp_path / "images"
    write_classes(root, {f"{part}/{name}": 2 for part in ("train", "test") for name in "ab"})

    def write(*lines, encoding="utf-8"):
        (root / "attributes.csv").write_text("\n".join(lines) + "\n", encoding=encoding)
        return config("folder", root=str(root))

    return write


def filled(*cells, head="file,value"):
    return [head, *(f"{path},{cell}" for path, cell in zip(PATHS, cells, strict=True))]


def test_columns_follow_their_images_whatever_the_order_of_lines(folder):
    lines = filled(*(f"{number},p{number % 3}" for number in range(8)), head="file,number,person")
    config = folder(lines[0], *reversed(lines[1:]))
    attributes = read(config, find(config)).attributes
    for columns, names in ((attributes.train, attributes.train_names), (attributes.test, attributes.test_names)):
        assert columns["number"].tolist() == [PATHS.index(name) for name in names]
        assert columns["person"].tolist() == [f"p{PATHS.index(name) % 3}" for name in names]
        assert columns["number"].dtype == np.int64 and columns["person"].dtype.kind == "U"
    assert len(attributes.train_names) == len(attributes.test_names) == 4


TYPES = {
    "whole numbers": (["1", "2", "3", "4", "5", "6", "7", "-8"], np.int64, -8),
    "numbers": (["1", "2", "3", "4", "5", "6", "7", "0.5"], np.float64, 0.5),
    "text": (["1", "b", "3", "4", "5", "6", "7", "0x"], np.str_, "0x"),
    "a country": (["DE", "FR", "NA", "GB", "None", "null", "nan", "NA"], np.str_, "NA"),
    "text with none": (["a", "b", "c", "d", "e", "f", "g", ""], np.str_, ""),
    "quoted commas": (['"a, b"'] * 8, np.str_, "a, b"),
    "beyond ASCII": (["Zoë"] * 8, np.str_, "Zoë"),
    "yes and no": (["True", "False"] * 4, np.int64, 0),
}


@pytest.mark.parametrize("case", TYPES)
def test_columns_have_the_type_of_their_values(folder, case):
    cells, kind, last = TYPES[case]
    root = find(folder(*filled(*cells))).root
    column = read_columns(root, PATHS)["value"]
    assert column.dtype.type is kind and column[-1] == last


def test_a_missing_number_is_nan(folder):
    root = find(folder(*filled("1", "2", "3", "4", "5", "6", "7", ""))).root
    column = read_columns(root, PATHS)["value"]
    assert column.dtype == np.float64 and np.isnan(column[-1]) and column[0] == 1


@pytest.mark.parametrize("first", [2**53, 2**63])
def test_numbers_that_would_be_rounded_are_texts(folder, first):
    cells = [str(first + row) for row in range(7)]
    root = find(folder(*filled(*cells, ""))).root
    assert read_columns(root, PATHS)["value"].tolist() == [*cells, ""]
    folder(*filled(*cells, "1"))
    whole = read_columns(root, PATHS)["value"]
    assert whole.tolist() == ([*map(int, cells), 1] if first == 2**53 else [*cells, "1"])


def test_large_measured_numbers_stay_numbers(folder):
    root = find(folder(*filled("1e30", "2e30", "3", "4", "5", "6", "7", ""))).root
    assert read_columns(root, PATHS)["value"].dtype == np.float64


@pytest.mark.parametrize("encoding", ["utf-8-sig"])
def test_a_file_of_a_spreadsheet_is_read(folder, encoding):
    root = find(folder(*filled(*"12345678"), encoding=encoding)).root
    assert [*read_columns(root, PATHS)] == ["value"]
    path = root / "attributes.csv"
    path.write_bytes(path.read_bytes().replace(b"/", b"\\").replace(b"\n", b"\r\n"))
    assert read_columns(root, PATHS)["value"].tolist() == list(range(1, 9))


GOOD = filled(*"12345678")
UNFIT = {
    "a file that is not there": ([*GOOD, "train/a/0099.png,1"], "no image of the data set: 1 (train/a/0099.png)"),
    "a file named twice": ([*GOOD, "train/a/0001.png,1"], "named twice: 1 (train/a/0001.png)"),
    "an image without a line": (GOOD[:-1], "images without a line: 1 (test/b/0001.png)"),
    "no column file": ([GOOD[0].replace("file", "name"), *GOOD[1:]], "the columns name, value"),
    "semicolons": ([line.replace(",", ";") for line in GOOD], "the columns file;value"),
    "two columns of one name": (["file,value,value", *(f"{line},1" for line in GOOD[1:])], "file, value, value"),
    "a column without a name": (["file,", *GOOD[1:]], "the columns file, "),
    "a line that is too long": ([*GOOD[:-1], f"{GOOD[-1]},8,9,10"], "attributes.csv"),
    "an empty file": ([""], "the columns (none)"),
    "a cell without a file": ([*GOOD, ",1"], "no image of the data set: 1 ()"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_what_cannot_be_right_is_refused_by_name(folder, case):
    lines, given = UNFIT[case]
    config = folder(*lines)
    with pytest.raises(DataError, match=r"attributes\.csv cannot be used") as error:
        read(config, find(config))
    assert given in f"{error.value.problem} {error.value.given}" and "another name" in error.value.remedy


def test_other_encodings_are_refused(folder):
    config = folder(*filled(*(["Zoë"] * 8)), encoding="latin-1")
    with pytest.raises(DataError, match=r"attributes\.csv cannot be used") as error:
        read(config, find(config))
    assert "UTF-8" in error.value.allowed


def test_it_changes_no_digest_and_is_read_anew_when_it_changes(folder, tmp_path, progress):
    config = folder("file,value")
    (find(config).root / "attributes.csv").unlink()
    plain = digest_of(config, tmp_path / "cache", progress)
    assert [*plain.attributes.train] == []
    config = folder(*GOOD)
    first = digest_of(config, tmp_path / "cache", progress)
    assert first.digest == plain.digest and first.attributes.train["value"].tolist() == [1, 2, 3, 4]
    assert first.left_out == ()
    config = folder(*filled(*"abcdefgh"))
    assert digest_of(config, tmp_path / "cache", progress).attributes.test["value"].tolist() == ["e", "f", "g", "h"]


def test_the_cut_off_test_part_has_its_own_rows(config, tmp_path):
    write_classes(tmp_path, {"a": 10, "b": 10})
    paths = [f"{name}/{number:04d}.png" for name in "ab" for number in range(10)]
    (tmp_path / "attributes.csv").write_text("\n".join(["file,own", *(f"{path},{path}" for path in paths)]))
    made = config("folder", root=str(tmp_path))
    attributes = read(made, find(made)).attributes
    assert attributes.train["own"].tolist() == list(attributes.train_names)
    assert attributes.test["own"].tolist() == list(attributes.test_names) and len(attributes.test_names) == 4
