"""Bundles that are cut off, altered, forged or something else are refused whole, with the reason."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepunlearn.share.bundle import MANIFEST, reading, unfit
from tests.commands import tree
from tests.share.made import Members, altered, members, seal, share, small_store, zipped


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    results = small_store(folder / "a")
    code, _, err = share("export", f"out={folder / 'whole.zip'}", f"results={results.root}")
    assert code == 0, err
    return folder / "whole.zip"


def refused(file: Path, into: Path, *words: str) -> None:
    """Exit code 2, the reason, what to do, no traceback, and a store that is as it was."""
    (into / "store").mkdir(parents=True)
    code, _, err = share("import", file, f"results={into}")
    assert code == 2, err
    for word in (*words, "remedy:", str(file)):
        assert word in err, err
    assert "Traceback" not in err
    assert list(into.rglob("*")) == [into / "store"], "nothing is left"


def first(content: Members, ending: str) -> str:
    return next(name for name in content if name.endswith(ending))


def entry_of(content: Members, stage: str) -> str:
    """The folder of the first entry of a stage, as it stands in the zip file."""
    return next(name.rpartition("/")[0] for name in content if f"/{stage}/" in name)


def listed(content: Members, change: Callable[[dict], object]) -> None:  # type: ignore[type-arg]
    """Change the manifest."""
    found = json.loads(content[MANIFEST])
    change(found)
    content[MANIFEST] = json.dumps(found).encode()


def replaced(content: Members, ending: str, data: bytes) -> None:
    """Other content of a file, with the hash that its meta.json is to have."""
    name = first(content, ending)
    folder, _, file = name.rpartition("/")
    content[name] = data
    meta = json.loads(content[f"{folder}/meta.json"])
    meta["files"][file] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    content[f"{folder}/meta.json"] = json.dumps(meta).encode()


def moved(content: Members, old: str, new: str) -> None:
    """An entry under another path."""
    for name in [name for name in content if name.startswith(f"store/{old}/")]:
        content[name.replace(old, new)] = content.pop(name)
    listed(content, lambda found: [one.update(entry=new) for one in found["entries"] if one["entry"] == old])


def arrays(**content: np.ndarray) -> bytes:  # type: ignore[type-arg]
    file = io.BytesIO()
    np.savez(file, **content)
    return file.getvalue()


def deflated() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, a=np.zeros(1000))
    return file.getvalue()


def short_array() -> bytes:
    """An array that says it has more values than are there."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**9,)})
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", header.getvalue() + bytes(80))
    return file.getvalue()


def other_key(content: Members) -> None:
    name = f"{entry_of(content, 'unlearned')}/config.json"
    config = json.loads(content[name])
    config["key"]["params"]["lr"] = 0.2
    replaced(content, name, json.dumps(config).encode())


def newer_key(content: Members) -> None:
    """A field that only a newer version knows, under its own hash."""
    name = f"{entry_of(content, 'split')}/config.json"
    config = json.loads(content[name])
    config["key"]["moon"] = "full"
    replaced(content, name, json.dumps(config).encode())


def unknown_stage(content: Members) -> None:
    name = f"{entry_of(content, 'split')}/config.json"
    config = json.loads(content[name]) | {"stage": "nonsense"}
    replaced(content, name, json.dumps(config).encode())


def misplaced(content: Members) -> None:
    old = entry_of(content, "unlearned").removeprefix("store/")
    moved(content, old, old.replace("/unlearned/", "/reference/"))


def renamed(content: Members) -> None:
    old = entry_of(content, "split").removeprefix("store/")
    moved(content, old, old[:-1] + ("0" if old[-1] != "0" else "1"))


def listed_twice(content: Members) -> None:
    listed(content, lambda found: found["entries"].append(found["entries"][0]))


def other_meta(content: Members) -> None:
    name = first(content, "meta.json")
    meta = json.loads(content[name])
    del meta["files"]["values.json"]
    content[name] = json.dumps(meta).encode()


def run_with(**changes: object) -> Callable[[Members], None]:
    return lambda content: listed(content, lambda found: found["runs"][0].update(changes))


def entry_at(path: str) -> Callable[[Members], None]:
    return lambda content: moved(content, entry_of(content, "split").removeprefix("store/"), path)


def with_file(name: str) -> Callable[[Members], None]:
    def alter(content: Members) -> None:
        entry = entry_of(content, "split")
        content[f"{entry}/{name}"] = b"x"
        own = next(one for one in json.loads(content[MANIFEST])["entries"] if f"store/{one['entry']}" == entry)
        own["files"][name] = {"bytes": 1, "sha256": "0" * 64}
        listed(content, lambda found: [one.update(own) for one in found["entries"] if one["entry"] == own["entry"]])

    return alter


ALTERED: dict[str, tuple[Callable[[Members], object], str]] = {  # not made to fit: what chance or haste does
    "a payload": (lambda m: m.update({first(m, "weights.safetensors"): m[first(m, "weights.safetensors")][:-1] + b"x"}),
                  "weights.safetensors: its content is not what was packed"),
    "a number in a row": (lambda m: m.update({first(m, "values.json"): b'{"accuracy": 0.9, "stage": "row"}\n'}),
                          "missing, added, or of another size"),
    "a member gone": (lambda m: m.pop(first(m, "logits.npz")), "logits.npz' is not as manifest.json has it"),
    "a member more": (lambda m: m.update({"store/readme.json": b"{}"}), "store/readme.json' is not as"),
    "another number of the manifest": (lambda m: listed(m, lambda f: f.update(commit="x")), "its digest is another"),
    "another field of the manifest": (lambda m: listed(m, lambda f: f.update(moon=1)), "moon: Extra inputs"),
    "no manifest": (lambda m: m.pop(MANIFEST), "does not begin with manifest.json: it is no bundle"),
    "a manifest that is no JSON": (lambda m: m.update({MANIFEST: b"{"}), "manifest.json: it is no JSON"),
    "a manifest of great depth": (lambda m: m.update({MANIFEST: b"[" * 100_000}), "manifest.json: it is no JSON"),
    "a manifest of another kind": (lambda m: m.update({MANIFEST: b'{"format": "jar"}'}), "not of format"),
    "a manifest that is a list": (lambda m: m.update({MANIFEST: b"[]"}), "not of format"),
    "another layout": (lambda m: listed(m, lambda f: f.update(layout=2, version="9.0")),
                       "of layout 2, made by version '9.0'; this version reads layout 1"),
}  # fmt: skip
FORGED: dict[str, tuple[Callable[[Members], object], str]] = {  # the manifest is made to fit
    "a key under another's hash": (other_key, "it has another hash"),
    "a key of a newer version": (newer_key, "moon"),
    "a stage there is not": (unknown_stage, "nonsense"),
    "an entry of another stage": (misplaced, "is that of unlearned"),
    "an entry under another key": (renamed, "is that of split"),
    "an entry twice": (listed_twice, "is there 2 times"),
    "no entries": (lambda m: ([m.pop(one) for one in list(m) if one != MANIFEST],
                              listed(m, lambda f: f.update(entries=[]))), "it has no entries"),
    "a meta.json with other files": (other_meta, "has other files, sizes or hashes"),
    "pickled objects": (lambda m: replaced(m, "logits.npz", arrays(a=np.array([{}], object))), "holds objects"),
    "compressed arrays": (lambda m: replaced(m, "logits.npz", deflated()), "is compressed"),
    "arrays larger than their file": (lambda m: replaced(m, "logits.npz", short_array()), "another size than it says"),
    "arrays that are none": (lambda m: replaced(m, "logits.npz", b"PK"), "logits.npz: BadZipFile"),
    "weights that are a pickle": (
        lambda m: replaced(m, "weights.safetensors", b"\x80\x04" + bytes(40)), "no safetensors"),
    "weights with less than they say": (
        lambda m: replaced(m, "weights.safetensors", m[first(m, "weights.safetensors")][:-4]), "do not fill it"),
    "weights with a header of no tensors": (
        lambda m: replaced(m, "weights.safetensors", (7).to_bytes(8, "little") + b'{"w":1}'), "do not fill it"),
    "no JSON": (lambda m: replaced(m, "values.json", b"{'a': 1}"), "values.json: it is no JSON"),
    "a number that is none": (lambda m: replaced(m, "values.json", b'{"a": NaN}'), "it has NaN"),
    "a table that is no text": (lambda m: replaced(m, "trials.csv", b"\xff\xfe"), "line 1 is no text in UTF-8"),
    "a program": (with_file("run.py"), "is of no kind that a store has"),
    "a hidden file": (with_file(".bashrc.json"), "has a path that leads elsewhere"),
    "a path to the folder above": (entry_at(f"../../x/split/-/{'0' * 16}"), "has a path that leads elsewhere"),
    "a path from the root": (entry_at(f"/etc/x/split/-/{'0' * 16}"), "has a path that leads elsewhere"),
    "a path of Windows": (entry_at(f"..\\x/x/split/-/{'0' * 16}"), "has a path that leads elsewhere"),
    "a path into the failures": (entry_at("digits/failures/evaluate-ft"), "is no path of an entry"),
    "a name that is too long": (entry_at(f"{'d' * 300}/x/split/-/{'0' * 16}"), "has a path that leads elsewhere"),
    "a command that does more": (run_with(command="python -m deepunlearn.sweep; rm -rf ~"), "a command is not quoted"),
    "a name that moves the cursor": (run_with(name="\x1b[2J"), "runs.0.name"),
}  # fmt: skip


@pytest.mark.parametrize("case", ALTERED)
def test_one_that_was_altered(case: str, bundle: Path, tmp_path: Path) -> None:
    alter, words = ALTERED[case]
    refused(altered(bundle, tmp_path / "x.zip", alter, reseal=False), tmp_path / "b", words)


@pytest.mark.parametrize("case", FORGED)
def test_one_that_was_forged(case: str, bundle: Path, tmp_path: Path) -> None:
    alter, words = FORGED[case]
    refused(altered(bundle, tmp_path / "x.zip", alter, reseal=True), tmp_path / "b", words)


def test_what_is_made_to_fit_by_the_tests_is_otherwise_sound(bundle: Path, tmp_path: Path) -> None:
    """So that each forged bundle is refused for what was forged."""
    file = altered(bundle, tmp_path / "x.zip", lambda content: None, reseal=True)
    assert share("import", file, f"results={tmp_path / 'b'}")[0] == 0


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99, 0.9999])
def test_one_that_is_cut_off(kept: float, bundle: Path, tmp_path: Path) -> None:
    whole = bundle.read_bytes()
    (tmp_path / "x.zip").write_bytes(whole[: int(kept * len(whole))])
    refused(tmp_path / "x.zip", tmp_path / "b", "cut off")


def info(name: str, mode: int = 0) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr = mode << 16
    return made


def rebuilt(path: Path, bundle: Path, name: str, mode: int) -> Path:
    """The same members, the first payload as a file of another kind."""
    content = members(bundle)
    target = first(content, name)
    return zipped(path, ((info(one, mode if one == target else stat.S_IFREG), data) for one, data in content.items()))


def test_links_folders_and_devices(bundle: Path, tmp_path: Path) -> None:
    for number, mode in enumerate((stat.S_IFLNK | 0o777, stat.S_IFDIR, stat.S_IFCHR)):
        file = rebuilt(tmp_path / f"{number}.zip", bundle, "values.json", mode)
        refused(file, tmp_path / f"b{number}", "is a link or a folder, no plain file")


def test_compressed_members_which_could_be_of_any_size(bundle: Path, tmp_path: Path) -> None:
    content = members(bundle) | {"store/bomb.json": bytes(10_000_000)}
    file = zipped(tmp_path / "x.zip", content.items(), compression=zipfile.ZIP_DEFLATED)
    assert file.stat().st_size < 100_000
    refused(file, tmp_path / "b", "is compressed")


def patched(bundle: Path, path: Path, offset: int, value: bytes) -> Path:
    """Bytes of the first payload's header in the directory at the end of the zip file."""
    data = bytearray(bundle.read_bytes())
    at = data.rindex(b"PK\x01\x02") + offset
    data[at : at + len(value)] = value
    path.write_bytes(data)
    return path


def test_members_that_are_encrypted_or_say_they_are_larger(bundle: Path, tmp_path: Path) -> None:
    refused(patched(bundle, tmp_path / "1.zip", 8, b"\x01\x00"), tmp_path / "b1", "is encrypted")
    sizes = struct.pack("<II", 4 * 10**9, 4 * 10**9)
    refused(patched(bundle, tmp_path / "2.zip", 20, sizes), tmp_path / "b2", "are said to have 4,000,")
    refused(patched(bundle, tmp_path / "3.zip", 24, struct.pack("<I", 4 * 10**9)), tmp_path / "b3", "has two sizes")


def test_a_member_twice_and_a_comment(bundle: Path, tmp_path: Path) -> None:
    content = members(bundle)
    twice = first(content, "values.json")
    with pytest.warns(UserWarning, match="Duplicate name"):
        file = zipped(tmp_path / "1.zip", [*content.items(), (twice, b"{}")])
    refused(file, tmp_path / "b1", "is there 2 times")
    with zipfile.ZipFile(zipped(tmp_path / "2.zip", content.items()), "a") as archive:
        archive.comment = b"hello"
    refused(tmp_path / "2.zip", tmp_path / "b2", "it has a comment")


def test_files_that_are_something_else(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no zip file at all")
    refused(tmp_path / "text.zip", tmp_path / "b1", "no whole zip file")
    refused(zipped(tmp_path / "jar.zip", [("META-INF/MANIFEST.MF", b"x")]), tmp_path / "b2", "it is no bundle")
    refused(zipped(tmp_path / "empty.zip", []), tmp_path / "b3", "it is no bundle")
    np.savez(tmp_path / "arrays.npz", a=np.ones(3))
    refused(tmp_path / "arrays.npz", tmp_path / "b4", "it is no bundle")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_byte_that_is_changed(bundle: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """It is refused with nothing changed; or the byte says nothing, such as a time of day, and all is as it was."""
    whole = bytearray(bundle.read_bytes())
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "x.zip").write_bytes(whole)
    code, _, err = share("import", folder / "x.zip", f"results={folder / 'b'}")
    if code == 2:
        assert "refused whole" in err and not (folder / "b").exists()
    else:
        source = {one: digest for one, digest in tree(bundle.parent / "a" / "store").items() if "failures" not in one}
        assert code == 0 and tree(folder / "b" / "store") == source


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\0", "a\n", " a", ".hidden", "é" * 101])
def test_labels_that_are_no_names(name: str) -> None:
    assert unfit(f"{name}/resnet18/split/-/{'0' * 16}", ["config.json", "meta.json"])


def test_labels_that_are(bundle: Path) -> None:
    assert not unfit(f"my data (é)/vit=small/split/-/seed12-{'0' * 16}", ["config.json", "meta.json"])
    with reading(bundle) as found:
        assert not [one.entry for one in found.manifest.entries if unfit(one.entry, list(one.files))]


def test_it_is_the_layout_that_is_written_down(bundle: Path) -> None:
    """Bundles of this version have to be read by later ones."""
    content = members(bundle)
    found = json.loads(content[MANIFEST])
    assert next(iter(content)) == MANIFEST
    assert (found["format"], found["layout"]) == ("deepunlearn bundle", 1)
    assert set(found) == {"format", "layout", "version", "commit", "machine", "date", "runs", "entries", "digest"}
    own = found["entries"][0]
    files = own["files"]
    assert list(files)[:2] == ["config.json", "meta.json"]
    assert all(hashlib.sha256(content[f"store/{own['entry']}/{name}"]).hexdigest() == facts["sha256"]
               for name, facts in files.items())  # fmt: skip
    before = found["digest"]
    seal(content)
    assert json.loads(content[MANIFEST])["digest"] == before
