"""An import adds what a store lacks, whole or not at all, and changes nothing that is there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from deepunlearn.core.store import Store
from tests.commands import tree
from tests.share.made import keys, share, small_store
from tests.share.test_packing import KILLED, LIMITED, python


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results `a` and the bundle `x.zip` of them."""
    folder = tmp_path_factory.mktemp("shared")
    results = small_store(folder / "a", size=100_000)
    assert share("export", f"out={folder / 'x.zip'}", f"results={results.root}")[0] == 0
    return folder


def entries(results: Path) -> dict[str, str]:
    """File -> hash of all that is in entries."""
    return {name: found for name, found in tree(results / "store").items() if len(Path(name).parts) == 6}


def test_an_empty_store_has_the_same_files_afterwards(shared: Path, tmp_path: Path) -> None:
    code, out, err = share("import", shared / "x.zip", f"results={tmp_path / 'b'}")
    assert code == 0, err
    assert tree(tmp_path / "b" / "store") == entries(shared / "a")
    assert "25 entries are new (0." in out and "0 are in the store already" in out
    assert f"python -m deepunlearn.sweep method=ft,ga results={tmp_path / 'b'}" in out
    store = Store(tmp_path / "b" / "store")
    found = [store.find(key, place) for key, place in keys()]
    assert all(entry is not None and entry.arrays("logits.npz")["labels"].sum() == 6 for entry in found)
    (said,) = (tmp_path / "b" / "imported").iterdir()
    told = json.loads(said.read_text())
    assert (
        said.stem == told["digest"][:16] and len(told["entries"]) == 25 and told["runs"][0]["name"] == "sweep-0123abcd"
    )


def test_what_is_there_already_stays_and_is_counted(shared: Path, tmp_path: Path) -> None:
    shutil.copytree(shared / "a", tmp_path / "b")
    store = Store(tmp_path / "b" / "store")
    gone, (key, place) = keys()[:6], keys()[7]
    for one in gone:
        shutil.rmtree(store.path(*one))
    meta = store.path(key, place) / "meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"date": "another day"}))
    before = tree(store.root)
    code, out, err = share("import", shared / "x.zip", f"results={tmp_path / 'b'}")
    assert code == 0 and "6 entries are new" in out and "19 are in the store already" in out, err
    after = tree(store.root)
    assert {name: after[name] for name in before} == before, "its own meta.json, too: who made it when may differ"
    assert after.keys() - before.keys() == entries(shared / "a").keys() - before.keys()
    code, out, _ = share("import", shared / "x.zip", f"results={tmp_path / 'b'}")
    assert code == 0 and "0 entries are new" in out and tree(store.root) == after


def test_a_plan_changes_nothing(shared: Path, tmp_path: Path) -> None:
    code, out, _ = share("import", shared / "x.zip", f"results={tmp_path / 'b'}", "plan=true")
    assert code == 0 and "25 entries are new" in out and not list(tmp_path.iterdir())


def test_an_entry_that_is_another_one_in_the_store_refuses_all(shared: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "b" / "store")
    key, place = keys()[5]
    with store.writing(key, place, {}) as draft:
        draft.write_json("values.json", {"stage": key.stage, "accuracy": 0.6})
    before = tree(tmp_path / "b")
    code, _, err = share("import", shared / "x.zip", f"results={tmp_path / 'b'}")
    assert code == 2 and str(store.path(key, place).relative_to(store.root)) in err and "values.json" in err
    assert "results=DIR" in err and tree(tmp_path / "b") == before


@pytest.mark.parametrize("damage", ["content", "size", "config"])
def test_a_damaged_entry_in_the_store_is_named(shared: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(shared / "a", tmp_path / "b")
    path = Store(tmp_path / "b" / "store").path(*keys()[5])
    file = path / ("config.json" if damage == "config" else "logits.npz")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] if damage == "size" else whole[:-40] + b"x" * 40)
    before = tree(tmp_path / "b")
    code, _, err = share("import", shared / "x.zip", f"results={tmp_path / 'b'}")
    assert code == 2 and str(path) in err and "remedy" in err and tree(tmp_path / "b") == before


def test_where_copying_fails_nothing_is_left(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(1000))

    def failing(*_: object) -> None:
        if next(calls) == 10:
            raise RuntimeError("planted")

    monkeypatch.setattr("deepunlearn.share.taking._copy", failing)
    with pytest.raises(RuntimeError, match="planted"):
        share("import", shared / "x.zip", f"results={tmp_path / 'b' / 'c'}")
    assert not list(tmp_path.iterdir())


def test_one_that_changes_while_it_is_read_is_refused(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was verified before; what is copied is looked at again."""
    monkeypatch.setattr("deepunlearn.share.bundle.Bundle.verify", lambda *_: None)
    data = bytearray((shared / "x.zip").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "x.zip").write_bytes(data)
    code, _, err = share("import", tmp_path / "x.zip", f"results={tmp_path / 'b'}")
    assert code == 2 and "refused whole" in err and not (tmp_path / "b").exists()


def test_a_disk_without_room_is_found_out_first(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))  # type: ignore[attr-defined]
    code, _, err = share("import", shared / "x.zip", f"results={tmp_path / 'b'}")
    assert code == 2 and "MB needed, 0.0 MB free" in err and not (tmp_path / "b").exists()
    code, _, err = share("export", f"out={tmp_path / 'y.zip'}", f"results={shared / 'a'}")
    assert code == 2 and f"there is no room in {tmp_path}" in err and not list(tmp_path.iterdir())


def test_a_folder_of_somebody_else_is_found_out_first(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    for arguments in (["import", shared / "x.zip", f"results={tmp_path}"],
                      ["export", f"out={tmp_path / 'y.zip'}", f"results={shared / 'a'}"]):  # fmt: skip
        code, _, err = share(*arguments)
        assert code == 2 and f"{tmp_path} cannot be written" in err and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_full_disk_leaves_the_store_as_it_was(shared: Path, tmp_path: Path) -> None:
    done = python(LIMITED, 200_000, "import", shared / "x.zip", f"results={tmp_path / 'b'}")
    assert done.returncode == 2 and "File too large" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "after", "there"),
    [
        ("deepunlearn.share.taking._copy", 1, 0),
        ("deepunlearn.share.taking._copy", 20, 0),
        ("deepunlearn.core.store._appears", 10, 10),
        ("deepunlearn.share.taking.write_atomically", 0, 25),
    ],
)
def test_a_kill_leaves_no_half_entry_and_the_same_command_goes_on(
    shared: Path, tmp_path: Path, function: str, after: int, there: int
) -> None:
    arguments = ("import", shared / "x.zip", f"results={tmp_path / 'b'}")
    module, _, name = function.rpartition(".")
    done = python(KILLED.format(module=module, function=name), after, *arguments)
    assert done.returncode == -9, done.stderr
    store = Store(tmp_path / "b" / "store")
    assert [store.open(path).path for path in store.entries()] == store.entries() and len(store.entries()) == there
    code, out, _ = share(*arguments)
    assert code == 0 and f"{25 - there} entries are new" in out and ("removed" in out) == (there < 25)
    assert tree(store.root) == entries(shared / "a") and len(list((tmp_path / "b" / "imported").iterdir())) == 1
