"""The generated part of results/examples, from its records: `make example`.

The tables of one set, and the page of all sets. `results/examples/page/made_from.txt` has the digest of the records, by
which a test tells that the page is stale.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "results" / "examples"
SHOWN = EXAMPLES / "cifar10-resnet18"  # the one set whose tables are committed
PAGE = EXAMPLES / "page"
MADE_FROM = PAGE / "made_from.txt"
SETS = (
    "cifar10-resnet18", "mnist-tinyvit", "mnist-resnet18-all", "digits-tinyvit-all", "cifar10-resnet18-defaults",
    "cifar10-ulira",
)  # fmt: skip


def digest() -> str:
    """Of the records that the page is made from."""
    files = [path for name in SETS for path in sorted((EXAMPLES / name / "records").iterdir())]
    text = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(EXAMPLES).as_posix()}\n" for path in files
    )
    return f"{hashlib.sha256(text.encode()).hexdigest()}\n"


def run(command: str, *options: str) -> None:
    subprocess.run([sys.executable, "-m", f"deepunlearn.{command}", *options], check=True, stdout=subprocess.DEVNULL)


def joined(folders: Iterable[Path]) -> str:
    return f"records={','.join(map(str, folders))}"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run("tables", f"results={folder}", joined([SHOWN]))
        shutil.rmtree(SHOWN / "tables", ignore_errors=True)
        shutil.copytree(Path(folder) / "tables", SHOWN / "tables")
    with tempfile.TemporaryDirectory() as folder:
        run("report", "compare=paper", f"results={folder}", joined(EXAMPLES / name for name in SETS))
        PAGE.mkdir(exist_ok=True)
        shutil.copy(Path(folder) / "index.html", PAGE / "index.html")
    MADE_FROM.write_text(digest(), encoding="utf-8")


if __name__ == "__main__":
    main()
