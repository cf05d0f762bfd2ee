"""What is packed, what is not, and that the file is whole or not there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest

from deepunlearn.core.keys import RecordKey
from deepunlearn.core.store import Place, Store
from deepunlearn.share.bundle import MANIFEST, reading
from tests.commands import tree
from tests.keys import reference
from tests.share.made import keys, members, share, small_store
from tests.test_earlier_results import ARCHIVE

SECRETS = (b"/data/private", b"/home/me", b"secret", b"ids.csv", b"Traceback")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_store(tmp_path_factory.mktemp("store")).root


def stages(bundle: Path) -> Counter[tuple[str, str]]:
    """How many entries there are of each stage and method."""
    with reading(bundle) as found:
        return Counter((one.labels[2], one.labels[3]) for one in found.manifest.entries)


def test_all_entries_are_packed_as_they_are_and_nothing_else(results: Path, tmp_path: Path) -> None:
    before = tree(results)
    code, out, err = share("export", f"out={tmp_path / 'x.zip'}", f"results={results}")
    assert code == 0 and "left out" not in out, err
    content = members(tmp_path / "x.zip")
    manifest = content.pop(MANIFEST)
    packed = {name.removeprefix("store/"): data for name, data in content.items()}
    store = results / "store"
    wanted = {path.relative_to(store).as_posix(): path.read_bytes() for path in store.glob("*/*/*/*/*/*")}
    assert packed == wanted and len(packed) == 6 * len(keys())
    assert not [word for word in SECRETS if word in manifest + b"".join(packed.values())]
    (run,) = json.loads(manifest)["runs"]
    assert run["command"] == "python -m deepunlearn.sweep method=ft,ga"
    assert run["sweep"]["search"] == {"storage": None, "trials": 3} and "launcher" not in run["sweep"]
    assert run["sweep"]["cells"][0]["dataset"]["title"] == "1/2 of it"
    assert tree(results) == before and [path.name for path in tmp_path.iterdir()] == ["x.zip"]


def test_what_others_rest_on_comes_first(results: Path, tmp_path: Path) -> None:
    share("export", f"out={tmp_path / 'x.zip'}", f"results={results}")
    with reading(tmp_path / "x.zip") as found:
        order = list(dict.fromkeys(one.labels[2] for one in found.manifest.entries))
    assert order == ["split", "reference", "unlearned", "metrics", "rows"]


@pytest.mark.parametrize(("given", "methods"), [("ft", {"ft"}), ("[ft,ga]", {"ft", "ga"}), ("none", set())])
def test_some_methods_with_all_references(results: Path, tmp_path: Path, given: str, methods: set[str]) -> None:
    code, _, err = share("export", f"out={tmp_path / 'x.zip'}", f"results={results}", f"methods={given}")
    assert code == 0, err
    found = stages(tmp_path / "x.zip")
    assert {method for stage, method in found if stage == "unlearned"} == methods
    assert {method for stage, method in found if stage == "rows"} == {"original", "retrained"} | methods
    assert found["reference", "original"] == found["reference", "retrained"] == 2 and found["split", "-"] == 1


def test_a_plan_writes_nothing(results: Path, tmp_path: Path) -> None:
    code, out, _ = share("export", f"out={tmp_path / 'x.zip'}", f"results={results}", "plan=true")
    assert code == 0 and not list(tmp_path.iterdir())
    for words in (
        "unlearned       4",
        "ft         seeds 0, 1",
        "abababababababab",
        "random(ratio=0.1)",
        "MB in 25 entries",
    ):
        assert words in out, out


def test_what_names_a_folder_of_this_machine_is_left_out_and_told(tmp_path: Path) -> None:
    """A method of one's own may note anything. What is left out is computed where the bundle goes."""
    store = Store(small_store(tmp_path / "a").store)
    key, place = keys()[1]
    path = store.path(key, place)
    meta = json.loads((path / "meta.json").read_text())
    (path / "meta.json").write_text(json.dumps({**meta, "notes": "read /data/private/x.pt"}))
    code, out, _ = share("export", f"out={tmp_path / 'x.zip'}", f"results={tmp_path / 'a'}")
    assert (
        code == 0
        and f"left out: {path.relative_to(store.root)}: it names a folder or file of this machine, /data/private" in out
    )
    assert stages(tmp_path / "x.zip").total() == len(keys()) - 1


def test_a_run_or_a_bundle_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    results = small_store(tmp_path / "a")
    (results.runs / "sweep-0123abcd" / "sweep.json").write_text("{")
    results.imported.mkdir()
    (results.imported / "0f.json").write_text("{}")
    code, out, _ = share("export", f"out={tmp_path / 'x.zip'}", f"results={results.root}")
    assert code == 0 and "left out: the configuration of run sweep-0123abcd cannot be read" in out
    assert "left out: the configurations of the bundle 0f cannot be read" in out


def test_what_was_imported_is_passed_on_with_the_commands_that_made_it(results: Path, tmp_path: Path) -> None:
    """And with what is recorded of trainings for methods of the learning phase, which only these files tell."""
    shutil.copytree(results, tmp_path / "a")
    key = RecordKey(original=reference(), needs="shards", forget=None, version=1)
    with Store(tmp_path / "a" / "store").writing(key, Place("digits", "resnet18", "shards", 0), {}) as draft:
        draft.write_json("values.json", {})
    asked = tmp_path / "a" / "runs" / "sweep-0123abcd" / "sweep.json"
    asked.write_text(json.dumps({"methods": [{"name": "ga", "needs": "shards"}, {"name": "ft", "needs": None}]}))
    assert share("export", f"out={tmp_path / 'a.zip'}", f"results={tmp_path / 'a'}")[0] == 0
    assert share("import", tmp_path / "a.zip", f"results={tmp_path / 'b'}")[0] == 0
    for methods, records in (("ga", 1), ("ft", 0), ("none", 0), ("ft,ga", 1)):
        out = tmp_path / f"{methods}.zip"
        assert share("export", f"out={out}", f"results={tmp_path / 'b'}", f"methods={methods}")[0] == 0
        assert stages(out)["record", "shards"] == records
    with reading(out) as found:
        assert [run.name for run in found.manifest.runs] == ["sweep-0123abcd"]


def test_a_choice_that_nothing_meets(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "a")
    store = tmp_path / "a" / "store"
    (store / "mnist" / "tiny" / "unlearned" / "ft").mkdir(parents=True)
    (store / "digits" / "resnet18" / "split").rename(store / "mnist" / "tiny" / "split")
    arguments = (f"out={tmp_path / 'x.zip'}", f"results={tmp_path / 'a'}", "dataset=mnist", "arch=resnet18")
    code, _, err = share("export", *arguments)
    assert code == 2 and "dataset=mnist; arch=resnet18" in err and not (tmp_path / "x.zip").exists()


@pytest.mark.slow
def test_a_store_of_an_earlier_version_is_shared_as_it_is(tmp_path: Path) -> None:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path / "a", filter="data")
    out, results = tmp_path / "x.zip", tmp_path / "a" / "results"
    assert share("export", f"out={out}", f"results={results}")[0] == 0
    assert share("import", out, f"results={tmp_path / 'b'}")[0] == 0
    assert tree(tmp_path / "b" / "store") == tree(results / "store")


def test_a_damaged_entry_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    results = small_store(tmp_path / "a")
    weights = sorted(results.store.rglob("weights.safetensors"))
    original = weights[0].read_bytes()
    for wrong in (original[:-4] + b"\0\0\0\1", original[:-4]):
        weights[0].write_bytes(wrong)
        code, _, err = share("export", f"out={tmp_path / 'x.zip'}", f"results={results.root}")
        assert code == 2 and str(weights[0]) in err and "is damaged" in err and "remedy" in err
        assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_drafts_of_dead_processes_go_and_those_of_others_stay(results: Path, tmp_path: Path) -> None:
    host = os.uname().nodename
    dead, alive = tmp_path / f".draft-x.zip-{host}-4194303-0a", tmp_path / f".draft-x.zip-{host}-{os.getpid()}-0b"
    other = tmp_path / ".draft-not-one-of-ours"
    for folder in (dead, alive, other):
        folder.mkdir()
    assert share("export", f"out={tmp_path / 'x.zip'}", f"results={results}")[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == {"x.zip", alive.name, other.name}


LIMITED = """
import resource, sys
from deepunlearn.cli import run_main
from deepunlearn.share.command import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.exit(run_main(main, sys.argv[2:]))
"""
KILLED = """
import os, signal, sys
import {module} as module
left, real = int(sys.argv[1]), module.{function}
def function(*arguments, **options):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    return real(*arguments, **options)
module.{function} = function
from deepunlearn.share.command import main
main(sys.argv[2:])
"""


def python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


@pytest.mark.slow
def test_a_full_disk_leaves_nothing_of_a_bundle(tmp_path: Path) -> None:
    results = small_store(tmp_path / "a", size=100_000)
    done = python(LIMITED, 200_000, "export", f"out={tmp_path / 'x.zip'}", f"results={results.root}")
    assert done.returncode == 2 and "File too large" in done.stderr and "make room" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.slow
@pytest.mark.parametrize(("function", "after"), [("_copy", 0), ("_copy", 70), ("sync_folder", 0)])
def test_a_kill_leaves_no_half_bundle(tmp_path: Path, function: str, after: int) -> None:
    results, out = small_store(tmp_path / "a"), tmp_path / "x.zip"
    done = python(
        KILLED.format(module="deepunlearn.share.packing", function=function),
        after,
        "export",
        f"out={out}",
        f"results={results.root}",
    )
    assert done.returncode == -9, done.stderr
    if function == "_copy":
        assert not out.exists() and len(list(tmp_path.glob(".draft-x.zip-*"))) == 1
        assert share("export", f"out={out}", f"results={results.root}")[0] == 0
        assert not list(tmp_path.glob(".draft-*")), "the next export cleans up"
    assert share("import", out, f"results={tmp_path / 'b'}")[0] == 0, "what is there is whole"


@pytest.mark.slow
def test_memory_does_not_grow_with_the_bundle(tmp_path: Path) -> None:
    """64 MB of weights in one entry, 4 MB of memory in each direction."""
    results, out = small_store(tmp_path / "a", size=16_000_000), tmp_path / "x.zip"
    tracemalloc.start()
    try:
        for arguments in (
            ["export", f"out={out}", f"results={results.root}"],
            ["import", out, f"results={tmp_path / 'b'}"],
        ):
            tracemalloc.reset_peak()
            assert share(*arguments)[0] == 0
            assert tracemalloc.get_traced_memory()[1] < 6e6
    finally:
        tracemalloc.stop()
    assert out.stat().st_size > 64e6
