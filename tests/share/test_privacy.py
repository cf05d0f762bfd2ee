"""What of a run names the machine it ran on is not shared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deepunlearn.config import read_command
from deepunlearn.share.privacy import folders_named, public_command, public_settings


def test_a_sweep_without_its_folders_and_addresses(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("id\n1\n2\n")
    arguments = [
        "method=ft", "arch=smallnet", "train.lr=0.125", "launcher=slurm", "launcher.account=secret",
        "results=/home/me/r", "forget=list", f"forget.file={tmp_path / 'ids.csv'}", "dataset.root=/data/x",
        "search.storage=postgresql+psycopg://me:word@host/db",
    ]  # fmt: skip
    sweep = read_command(arguments).sweep
    shown = public_settings(json.loads(sweep.model_dump_json()))
    text = json.dumps(shown)
    for private in (str(tmp_path), "/home/me", "secret", "me:word", "/data/x"):
        assert private not in text
    assert shown["cells"][0]["train"]["lr"] == 0.125 and shown["methods"][0]["title"] == "FT"
    assert shown["cells"][0]["dataset"]["root"] is None and shown["search"]["storage"] is None


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("method=ft,ct", True),
        ("'measures=[sklearn.f1_score(average=macro)]'", True),
        ("plugins=own", True),
        ("forget.ratio=1/3", True),
        ("dataset.root=/data", False),
        ("'dataset.root=\"/my data\"'", False),
        ("forget.file=~/ids.csv", False),
        ("'dataset.root=C:\\data'", False),
        ("search.storage=sqlite:////tmp/x", False),
        ("results=relative", False),
        ("launcher=slurm", False),
        ("launcher.account=x", False),
        ("'arch.parts={norm: /home/me/x}'", False),
        ("'chain.steps=[ft / 2, ~3]'", True),
    ],
)
def test_words_of_a_command(word: str, kept: bool) -> None:
    made = public_command(f"python -m deepunlearn.sweep {word} seeds=2")
    assert made == f"python -m deepunlearn.sweep {word + ' ' if kept else ''}seeds=2"


def test_texts_that_name_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"note": "read from /home/me/data/x.pt"}')
    (tmp_path / "b.npz").write_bytes(b"/home/you")
    home, other = Path("/home/me"), Path("/home/m")
    assert folders_named(tmp_path, [home, other, Path("/home/you"), Path("/")]) == ["/home/me"]
    assert folders_named(tmp_path, [Path("/me"), Path("/home/me/data/x")]) == []
