"""Opens Optuna's dashboard on the trials of all searches of a results folder: `make dashboard [RESULTS=DIR]`.

    python scripts/dashboard.py results --port 8080

Where all of them lie in one storage it is shown live. Those of several (a database, and a journal for each study of a
cluster) are copied into memory and shown as they were when this began.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, InMemoryStorage

from deepunlearn.cli import run_main
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.paths import Results
from deepunlearn.launch.runs import load_sweep
from deepunlearn.search.slots import DEFAULTS, database, open_storage


def main(arguments: Sequence[str]) -> int:
    """Serves until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="?", default="results", type=Path)
    parser.add_argument("--port", default=8080, type=int)
    given = parser.parse_args(arguments)
    storage = storage_of(given.results)
    from optuna_dashboard import run_server  # noqa: PLC0415  an extra, and not needed to refuse

    print(f"{len(storage.get_all_studies())} studies at http://localhost:{given.port} (Ctrl-C ends it)", flush=True)
    run_server(storage, port=given.port)
    return 0


def storage_of(results: Path) -> BaseStorage:
    """The one storage of all searches, or a copy of several. Raises ConfigError where there are no studies."""
    storages = [open_storage(url) for url in urls(Results(results))]
    with_studies = [one for one in storages if one.get_all_studies()]
    if not with_studies:
        raise ConfigError(
            "there is no search to show",
            given=f"{results}: {'no study in it' if results.is_dir() else 'no such folder'}",
            allowed="the results of a sweep that has begun to search (any search= but none)",
            remedy="give the folder with make dashboard RESULTS=DIR, or run a sweep with a search first",
        )
    return with_studies[0] if len(with_studies) == 1 else together(with_studies)


def urls(results: Results) -> Iterator[str]:
    """Where trials lie: our database, our journals, and what sweeps named with search.storage."""
    if database(results.search).exists():
        yield f"sqlite:///{database(results.search).absolute()}"
    for path in sorted(results.search.glob("journals/*.journal")):
        yield f"journal:///{path.absolute()}"
    named = {load_sweep(path).search.storage for path in results.runs.glob("*/sweep.json")}
    yield from sorted(str(one) for one in named - {None, *DEFAULTS})


def together(storages: Sequence[BaseStorage]) -> InMemoryStorage:
    """A copy of the studies of all of them."""
    print(f"trials lie in {len(storages)} storages: shown as they are now; start again to see later ones", flush=True)
    memory = InMemoryStorage()
    for storage in storages:
        for study in storage.get_all_studies():
            optuna.copy_study(from_study_name=study.study_name, from_storage=storage, to_storage=memory)
    return memory


if __name__ == "__main__":
    sys.exit(run_main(main))
