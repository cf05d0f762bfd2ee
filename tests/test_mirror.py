"""Tests lie as the package does: those of deepunlearn/X/Y.py in tests/X/test_Y.py, but for a few that need it whole.

Those of a package's __init__.py are in tests/X/test_X.py.
"""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "deepunlearn"

WHOLE = {  # file -> what it looks at, where that is no module
    "test_adding.py": "docs/adding.md",
    "test_bad_input.py": "every command on wrong input",
    "test_bench.py": "scripts/bench",
    "test_cheats.py": "scripts/cheats.py and docs/cheats.md",
    "test_commands.py": "a sweep and the commands around it",
    "test_community.py": "workflows, templates and the pages for those who take part",
    "test_dashboard.py": "scripts/dashboard.py",
    "test_defaults.py": "scripts/defaults.py",
    "test_docs.py": "docs and README.md",
    "test_docs_commands.py": "the commands in docs, README.md and the help of commands",
    "test_drawing.py": "docs/architecture.md",
    "test_earlier_results.py": "a store made by an earlier version",
    "test_example_package.py": "examples/plugin",
    "test_examples.py": "results/examples and what README.md shows of it",
    "test_filesystems.py": "a sweep on file systems without links",
    "test_given_originals.py": "a sweep on models of one's own",
    "test_findings.py": "scripts/findings.py and docs/findings.md",
    "test_findings_again.py": "results/findings",
    "test_findings_opening.py": "scripts/findings_opening.py",
    "test_findings_runs.py": "the commands of docs/findings.md, and scripts/findings.sh",
    "test_graphs.py": "compiled networks over all stages",
    "test_kills.py": "a sweep that is killed again and again",
    "test_layering.py": "the imports of all modules",
    "test_learning_phase.py": "scripts/learning_phase.py",
    "test_mirror.py": "the tests",
    "test_notebooks.py": "docs/notebooks",
    "test_forgetting_by_attribute.py": "a sweep on each source that knows more of its images than their class",
    "test_protocol.py": "the links between pages of docs",
    "test_published.py": "scripts/published.py",
    "test_published_variants.py": "scripts/published",
    "test_rounds.py": "requests that arrive one after the other, over all stages",
    "test_report_browser.py": "the page in a browser",
    "test_unusual_models.py": "a call of the library on models that are unusual",
    "test_wheel.py": "the wheel",
    "test_wiring.py": "who sees which data over all stages",
    "analysis/test_simulated_truth.py": "docs/statistics.md",
    "analysis/test_what_tables_say.py": "all tables of one set of rows",
    "data/test_paper_cells.py": "the paper's nine cells",
    "launch/test_cluster.py": "a sweep on a real SLURM",
    "methods/test_compiled.py": "all methods on compiled networks",
    "methods/test_networks.py": "all methods on networks by name",
    "methods/test_streams.py": "the random streams of all methods",
    "ulira/test_wiring.py": "who sees which data in U-LiRA's design",
}


def counterparts(test: Path) -> list[Path]:
    """The modules that a test file may be of."""
    name, folder = test.stem.removeprefix("test_"), PACKAGE / test.parent.relative_to(TESTS)
    modules = [folder / f"{name}.py", folder / name / "__init__.py"]
    if name == "main":
        modules.append(folder / "__main__.py")
    if name == folder.name:
        modules.append(folder / "__init__.py")
    return modules


def strays(files: list[Path]) -> list[str]:
    """Test files that are neither a module's nor of those that need the package whole."""
    alone = [file for file in files if not any(module.exists() for module in counterparts(file))]
    return sorted(str(name) for name in {file.relative_to(TESTS) for file in alone} - {Path(name) for name in WHOLE})


def test_every_test_file_is_of_a_module_or_needs_the_package_whole() -> None:
    assert not strays(sorted(TESTS.rglob("test_*.py"))), (
        "put these tests into the files of the modules that they are of, or say in WHOLE what else they look at"
    )


def test_those_that_need_it_whole_are_there_and_of_no_module() -> None:
    for name in WHOLE:
        assert (TESTS / name).exists(), name
        assert not any(module.exists() for module in counterparts(TESTS / name)), f"{name} is a module's: no entry"


def test_a_stray_is_found() -> None:
    at_home = ("core/test_store.py", "archs/test_archs.py", "methods/test_main.py", "data/test_sources.py")
    assert strays([TESTS / name for name in (*at_home, "test_store.py")]) == ["test_store.py"]
