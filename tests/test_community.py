"""Workflows, templates and pages for those who take part say what is there: targets, versions, files, commands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from deepunlearn import __version__

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")
PAGES = [
    *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "CODE_OF_CONDUCT.md")),
    GITHUB / "PULL_REQUEST_TEMPLATE.md",
    *(ROOT / "docs" / name for name in ("results-policy.md", "releasing.md", "trackers.md")),
]
LINK = re.compile(r"\]\(([\w./-]+)(?:#[\w-]+)?\)")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(path: Path) -> Any:
    """YAML as GitHub reads it: `on` is a word there and true here."""
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {("on" if key is True else key): value for key, value in values.items()}


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def pythons() -> list[str]:
    """Those that the package says it runs on."""
    named = (re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", one) for one in PROJECT["classifiers"])
    return [match[1] for match in named if match]


def test_the_pythons_that_are_named_are_those_that_may_be_installed_on() -> None:
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert pythons() == [f"3.{minor}" for minor in range(20) if f"3.{minor}" in allowed]


def test_the_versions_that_the_readme_declares_are_those_of_the_package() -> None:
    told = " ".join((ROOT / "README.md").read_text(encoding="utf-8").partition("## Versions")[2].split())
    assert f"Declared: Python {pythons()[0]} to {pythons()[-1]}." in told
    lowest = dict(line.split(">=") for line in PROJECT["dependencies"] if line.startswith("torch"))
    assert f"(torch {lowest['torch']}, torchvision {lowest['torchvision']})" in told


@pytest.mark.parametrize("page", ["README.md", "docs/index.md", "docs/first-sweep.md"])
def test_a_page_on_installing_names_these_pythons(page: str) -> None:
    *others, last = pythons()
    assert f"Python {', '.join(others)} or {last}" in (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_runs_what_there_is_on_all_pythons(path: Path) -> None:
    workflow = read(path)
    assert workflow["on"] and workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job["strategy"]["matrix"]["python"] == pythons(), name
        assert job["timeout-minutes"] and not job["strategy"]["fail-fast"]
        assert all(re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"]) for step in job["steps"] if "uses" in step)
        commands = "\n".join(step["run"] for step in job["steps"] if "run" in step)
        assert set(re.findall(r"^make (\w+)", commands, re.MULTILINE)) <= targets() and "make " in commands
        assert_modules(commands)


def test_changes_are_checked_and_nights_run_everything() -> None:
    check, nightly = (read(GITHUB / "workflows" / f"{name}.yml") for name in ("check", "nightly"))
    assert {"push", "pull_request"} == set(check["on"]) and set(check["jobs"]) == {"check", "wheel"}
    assert "schedule" in nightly["on"] and "make test PYTHON=python" in str(nightly["jobs"]["all"]["steps"])
    options = nightly["jobs"]["all"]["container"]["options"]
    assert "--privileged" in options and "-v /dev:/dev" in options, "tests mount file systems, on loop devices too"


def test_hooks_are_what_make_lint_runs() -> None:
    hooks = read(ROOT / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    programs = {hook["entry"].partition(" --")[0] for hook in hooks}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert lint and programs == {f".venv/bin/{name}" for name in re.findall(r"\$\(BIN\)/(\w+(?: \w+)?)", lint[1])}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_asks_for_something_and_can_be_shown(path: Path) -> None:
    form = read(path)
    assert form["name"] and form["description"] and form["labels"]
    kinds = {"input", "textarea", "dropdown", "checkboxes", "markdown"}
    assert all(field["type"] in kinds and field["attributes"].get("label") for field in form["body"])
    assert any(field.get("validations", {}).get("required") for field in form["body"])
    labels = [field["attributes"]["label"] for field in form["body"]]
    assert len(labels) == len(set(labels)), "labels must differ"
    assert_paths(re.findall(r"docs/[\w-]+\.md", path.read_text(encoding="utf-8")))


def test_there_are_forms_for_a_bug_a_method_and_a_result() -> None:
    assert {path.stem for path in FORMS} == {"bug", "method", "result"}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_leads_to_what_there_is(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [target for target in LINK.findall(text) if not (page.parent / target).exists()] == []
    assert set(re.findall(r"`make (\w+)", text)) | set(re.findall(r"^make (\w+)", text, re.MULTILINE)) <= targets()
    assert_paths(
        re.findall(
            r"(?:tests|docs|deepunlearn)/[\w/]+\.(?:py|md)",
            text.replace("X/Y", "core/keys").replace("X/test_Y", "core/test_keys"),
        )
    )
    assert_modules(text)


def test_the_version_is_the_same_wherever_it_stands() -> None:
    assert read(ROOT / "CITATION.cff")["version"] == PROJECT["version"] == __version__


def test_the_changelog_has_this_version_and_what_comes() -> None:
    titles = re.findall(r"^## ([\w.]+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert titles[0] == "Unreleased" and titles[1] == PROJECT["version"]


def assert_paths(paths: list[str]) -> None:
    assert [path for path in paths if not (ROOT / path).exists()] == []


def assert_modules(text: str) -> None:
    """Commands of ours that a text names are there."""
    named = set(re.findall(r"python -m (deepunlearn|tests)\.(\w+)", text))
    missing = {
        f"{package}.{name}"
        for package, name in named
        if not any((ROOT / package / place).exists() for place in (f"{name}.py", f"{name}/__main__.py"))
    }
    assert not missing
