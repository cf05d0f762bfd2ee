"""A deletion request: names of files or numbers, read as people write them; what is wrong is told by entry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepunlearn.config import read_command
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.samples import Labelled
from deepunlearn.forget.list import ListForget
from tests.forget.small_sets import ATTRIBUTES, CLASSES, DATA, TEST, TRAIN, cut

NAMES = list(ATTRIBUTES.train_names or ())
WANTED = sorted({*range(0, 300, 5), *range(7, 100, 9)})


@pytest.fixture
def listed(tmp_path: Path):
    """A forget set of a file with this text."""

    def of(text: str, name: str = "ids.csv") -> ListForget:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return ListForget(name="list", file=str(tmp_path / name))

    return of


def lines(entries: list[object], header: str = "") -> str:
    return "\n".join([*([header] if header else []), *map(str, entries)]) + "\n"


def test_what_a_limit_leaves_out_is_told_apart_from_the_validation_part(listed) -> None:
    """A request of which half is no part of this training must not look as if that were known to be unseen."""
    split = cut(listed(lines(WANTED, "id")), limit=400)
    val, trained = (len(set(rows.tolist()) & set(WANTED)) for rows in (split.val, split.forget))
    left_out, of = len(WANTED) - val - trained, f"of {len(WANTED)} listed samples"
    assert val and left_out and trained == len(split.forget)
    assert split.remarks == (
        f"{val} {of} are in the validation part, which is not trained on anyway",
        f"{left_out} {of} are left out of these data (dataset.limit=, dataset.duplicates=drop)",
    )


def test_the_listed_are_forgotten_and_compared_with_unseen_samples_of_their_classes(listed) -> None:
    split = cut(listed(lines(WANTED, "id")))
    val = set(split.val.tolist())
    assert split.forget.tolist() == sorted(set(WANTED) - val)
    idle = len(val & set(WANTED))
    told = f"{idle} of {len(WANTED)} listed samples are in the validation part, which is not trained on anyway"
    assert split.remarks == (told,)
    counts = np.bincount(TRAIN[split.forget], minlength=4) / len(split.forget)
    assert split.unseen_test is not None and split.unseen_val is not None
    for labels in (TEST[split.unseen_test], TRAIN[split.unseen_val]):
        assert np.abs(np.bincount(labels, minlength=4) / len(labels) - counts).max() < 3 / len(labels)


@pytest.mark.parametrize(
    "text",
    [
        lines(WANTED, "id"),
        lines(WANTED),
        lines(WANTED[::-1], "ID"),
        "\ufeff" + lines(WANTED, "id") + "\n\n",
        lines([f"{one} , asked" for one in WANTED], "id,reason"),
        lines([f'"a, b",{one}' for one in WANTED], "reason,id").replace("\n", "\r\n"),
        lines([NAMES[one] for one in WANTED], "file"),
        lines([NAMES[one] for one in WANTED]),
        lines([f"./{NAMES[one]}" for one in WANTED], "File"),
        lines([".\\" + NAMES[one].replace("/", "\\") for one in WANTED], "file"),
    ],
)
def test_the_key_is_of_the_samples_that_are_meant(text: str, listed) -> None:
    other = listed(lines(WANTED, "id"), "elsewhere.csv")
    assert listed(text).key_fields(DATA) == other.key_fields(DATA)
    assert listed(text).title == f"{len(WANTED)} listed samples"
    assert np.array_equal(cut(listed(text)).forget, cut(other).forget)
    assert listed(lines(WANTED[1:], "id")).key_fields(DATA) != other.key_fields(DATA)


def test_a_class_that_is_listed_whole_is_forgotten_whole(listed) -> None:
    whole = np.flatnonzero(TRAIN == 2).tolist()
    assert cut(listed(lines(whole, "id"))).forgotten_classes == (2,)
    trained_on = sorted(set(whole) - set(cut(listed(lines(WANTED, "id"))).val.tolist()))
    with pytest.raises(ConfigError, match="no sample of some classes"):
        cut(listed(lines(trained_on, "id")))


FEW = NAMES[:12]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (lines([*range(20), 800, 801, "x7"], "id"), ["lists 3 samples", "800, 801, x7", "0 to 799"]),
        (lines([*range(20), -1], "id"), ["lists 1 sample that", "-1"]),
        (lines([*range(20), 3, 5], "id"), ["lists 2 samples twice", "3, 5"]),
        (lines([*range(20), "03"], "id"), ["lists 1 sample twice", ": 3"]),
        (lines([*FEW, f"./{FEW[3]}"], "file"), ["lists 1 sample twice"]),
        (lines([*FEW, *(f"{n}.png" for n in range(20, 40))], "file"), ["lists 20 samples", "20.png", "(20 in all)"]),
        (lines([*FEW, "dog/3.png"], "file"), ["dog/3.png", "did you mean train/dog/3.png"]),
        (lines([*FEW, "test/ape/4.png"], "file"), ["test part", "test/ape/4.png"]),
        (lines([*FEW, "dog\\3.png"], "file"), ["dog\\3.png", "did you mean train/dog/3.png"]),
        (lines(range(800), "id"), ["is everything", "list fewer samples"]),
        ("", ["no entry"]),
        ("id\n", ["a header and no entry"]),
        ("id,file\n3,a\n", ["columns id, file", "one column named file or id"]),
        ("name,who\n3,a\n", ["columns name, who"]),
        ("id,why\n3,a\n,b\n", ["no id in line 3"]),
        ("why,id\na\n", ["no id in line 2"]),
    ],
)
def test_what_is_wrong_with_a_file_is_told(text: str, told: list[str], listed) -> None:
    with pytest.raises(ConfigError) as error:
        cut(listed(text))
    assert error.value.given and error.value.allowed and error.value.remedy
    for one in told:
        assert one in str(error.value)


def test_a_name_that_has_a_backslash_is_found(listed) -> None:
    names = [name.replace("/", "\\", 1) for name in NAMES]
    data = Labelled(TRAIN, TEST, CLASSES, type(ATTRIBUTES)({}, {}, names, None))
    assert listed(lines(names[:3], "file")).rows(data).tolist() == [0, 1, 2]


def test_names_that_several_samples_have_say_nobody(listed) -> None:
    names = [name.rpartition("/")[2] for name in NAMES[:400]] * 2
    data = Labelled(TRAIN, TEST, CLASSES, type(ATTRIBUTES)({}, {}, names, None))
    with pytest.raises(ConfigError, match="several training samples have a name") as error:
        cut(listed(lines(names[:20], "file")), data)
    assert "0.png" in str(error.value.given)


def test_samples_without_names_are_listed_by_number(listed) -> None:
    with pytest.raises(ConfigError, match="have no names") as error:
        cut(listed(lines(FEW, "file")), Labelled(TRAIN, TEST, CLASSES))
    assert "numbers" in str(error.value.allowed)
    assert len(cut(listed(lines(WANTED, "id")), Labelled(TRAIN, TEST, CLASSES)).forget) > 10


def test_the_file_is_looked_for_as_the_command_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="does not say which samples"):
        read_command(["forget=list"])
    with pytest.raises(ConfigError, match=r"forget\.file cannot be used") as error:
        read_command(["forget=list", f"forget.file={tmp_path / 'none.csv'}"])
    assert "FileNotFoundError" in str(error.value.given)
    (tmp_path / "bytes.csv").write_bytes(b"id\n\xff\xfe\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_command(["forget=list", f"forget.file={tmp_path / 'bytes.csv'}"])
    (tmp_path / "ids.csv").write_text(lines(WANTED, "id"))
    monkeypatch.chdir(tmp_path)
    forget = read_command(["forget=list", "forget.file=ids.csv"]).sweep.cells[0].forget
    monkeypatch.chdir("/")
    assert len(cut(forget).forget) > 10, "a job that starts elsewhere finds it"


@pytest.mark.slow
def test_a_cell_is_named_by_the_file_and_two_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("monday", "friday"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ids.csv").write_text(f"id\n{len(folder)}\n")
    command = ["method=ft", "dataset=digits", "forget=list"]
    (cell,) = read_command([*command, f"forget.file={tmp_path}/monday/ids.csv"]).sweep.cells
    assert cell.name == "digits/resnet18/list(ids.csv)", "nothing of the machine's folders"
    with pytest.raises(ConfigError, match="same name") as caught:
        read_command([*command, f"forget.file={tmp_path}/monday/ids.csv,{tmp_path}/friday/ids.csv"])
    assert caught.value.given == "digits/resnet18/list(ids.csv)" and "rename" in caught.value.remedy
