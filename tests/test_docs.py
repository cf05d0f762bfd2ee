"""The docs: pages, links, commands and the built site."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import dropwhile
from pathlib import Path
from typing import NamedTuple

import pytest

from deepunlearn import measure
from deepunlearn.__main__ import SUBCOMMANDS, main_of
from deepunlearn.analysis import inputs
from deepunlearn.analysis.options import parse_options
from deepunlearn.cli import run_main
from deepunlearn.completion import offered
from deepunlearn.config import read_command
from deepunlearn.config.grid import read_grid
from deepunlearn.core.words import COLUMNS
from deepunlearn.deletion.request import read_request
from deepunlearn.report import OPTIONS
from tests import option_list
from tests.test_adding import EXAMPLES, block, section, write_example

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# --------------------------------------------------------------------------------------------------------------- prose


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of the lines of a page that are no code, no row of a table, and not one link or picture alone."""
    inside = False
    for number, line in enumerate(text_of(path).splitlines(), start=1):
        fence = line.lstrip().startswith("```")
        inside ^= fence
        if not (fence or inside or line.lstrip().startswith("|") or ALONE.fullmatch(line)):
            yield number, line


ALONE = re.compile(r"\s*(?:[-*] )?!?\[[^\]]*\]\([^)]*\)[.,;]?")


@pytest.mark.parametrize("path", [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda path: path.stem)
def test_lines_of_prose_have_a_hundred_columns_at_most(path: Path) -> None:
    assert not [number for number, line in prose(path) if len(line) > COLUMNS]


# ------------------------------------------------------------------------------------------------------ configuration


def test_the_reference_of_options_is_current_and_explains_each() -> None:
    page = option_list.page()
    assert text_of(option_list.PAGE) == page, "run python -m tests.option_list and commit docs/configuration.md"
    cells = [re.split(r" *\| ", row.strip("| ")) for row in page.splitlines() if row.startswith("| `")]
    options = [row for row in cells if len(row) >= 3]
    assert len(options) > 100
    assert not [row for row in options if len(row) == 3], "say behind a # in conf/ or the schema what it is"
    assert not [row for row in options if row[1] == "value"], "option_list has no word for this type"
    assert "PydanticUndefined" not in page


# ---------------------------------------------------------------------------------------------------------------- site


@pytest.mark.slow
def test_the_site_is_built_strictly_and_holds_every_page(tmp_path: Path) -> None:
    """A link to a page, a file or a heading that is not there fails the build. Nothing is fetched to show the site."""
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {page.stem for page in PAGES} == {"index", *(path.parent.name for path in tmp_path.glob("*/index.html"))}
    fetched = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//[^\s\">]+")
    assert not [found for path in tmp_path.rglob("*.html") for found in fetched.findall(text_of(path))]
    api = text_of(tmp_path / "api" / "index.html")
    assert "hyper_parameters" in api and "Raises ConfigError for unknown names" in api


# ------------------------------------------------------------------------------------------------------------ commands


class Said(NamedTuple):
    """A command that a page tells its reader to type."""

    page: str
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it runs: `sweep`, `tables`, `make`, `scripts/cheats.py`, ..."""
        if self.words[:2] == ("python", "-m"):
            return self.words[2].removeprefix("deepunlearn.").replace("_", "-")
        if self.words[0] == "python":
            return self.words[1]
        return self.words[1] if self.words[0] == "deepunlearn" else self.words[0]

    @property
    def arguments(self) -> list[str]:
        """What stands behind that."""
        return list(self.words[3 if self.words[:2] == ("python", "-m") else 2 :])


def shell_lines(path: Path) -> list[str]:
    """Those in the blocks of a page that are for a shell: continued lines in one."""
    return [
        line
        for block in re.findall(r"^ *```bash\n(.*?)^ *```", text_of(path), re.DOTALL | re.MULTILINE)
        for line in block.replace("\\\n", " ").splitlines()
    ]


def commands(path: Path) -> list[Said]:
    """Those in the blocks of shell lines of a page, without comments and settings before."""
    split = [shlex.split(line, comments=True) for line in shell_lines(path)]
    words = [[*dropwhile(lambda word: re.fullmatch(r"[A-Z_]+=\S+", word), one)] for one in split]
    return [Said(path.name, tuple(one)) for one in words if one]


ALL = [one for path in (*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md") for one in commands(path)]
COMPOSED = ("sweep", "lira")
OURS = [one for one in ALL if one.words[0] == "deepunlearn" or one.words[:2] == ("python", "-m")]
READ = {one.words: one for one in OURS if one.name not in COMPOSED}
OTHERS = [one for one in ALL if one not in OURS]
INLINE = re.compile(r"`(?:python -m deepunlearn\.|deepunlearn )([^`]+)`")
OPTION = re.compile(
    r"`(?:[^`]*[ '])?((?:dataset|arch|train|forget|search|protocol|launcher|runtime|reference)\.[a-z_.]+)="
)
PROGRAMS = {"pip", "python", "mv", "cp", "mkdir", "head", "tail", "sha256sum", "source", "tensorboard", "git"}
FLAGS = ("--help", "--version")


def test_pages_tell_commands_in_blocks_that_can_be_pasted() -> None:
    assert {one.name for one in OURS} >= {name for name in SUBCOMMANDS if name != "completion"}, "each is shown"
    languages = {found for page in PAGES for found in re.findall(r"^ *```(\S*)$", text_of(page), re.MULTILINE)}
    assert languages <= {"", "bash", "python", "yaml", "toml", "text", "csv", "bibtex"}, languages


@pytest.mark.parametrize("path", [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda path: path.stem)
def test_what_a_shell_takes_for_a_pattern_of_files_is_quoted(path: Path) -> None:
    """Where no file is like it, zsh runs nothing."""
    shown = re.findall(r"^ *\$ (.+)", text_of(path), re.MULTILINE)
    assert not patterns([*shell_lines(path), *shown])


def test_examples_in_the_help_of_commands_are_quoted_too() -> None:
    examples = re.findall(r"^  (python .*?)(?:   .*)?$", measure.USAGE, re.MULTILINE)
    assert examples and not patterns([*examples, *(one.example for one in SUBCOMMANDS.values())])


def patterns(lines: list[str]) -> list[str]:
    """Of lines of a shell those with a bracket or the like that stands in no quotes and no comment."""
    bare = {line: re.sub(r"'[^']*'|\"[^\"]*\"|(^|\s)#.*", "", line) for line in lines}
    return [line for line, rest in bare.items() if set("[*?") & set(rest)]


def test_what_is_not_ours_is_a_target_a_script_or_a_known_program() -> None:
    targets = re.findall(r"^([a-z]+):", text_of(ROOT / "Makefile"), re.MULTILINE)
    extras = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
    for one in OTHERS:
        if one.name == "make":
            assert one.words[1] in targets, one
        elif one.name.startswith("scripts/"):
            assert (ROOT / one.name).is_file(), one
        else:
            assert one.words[0] in PROGRAMS, one
        assert {extra for word in one.words for extra in re.findall(r"deepunlearn\[(\w+)\]", word)} <= {*extras}, one


@pytest.mark.parametrize("path", [*PAGES, ROOT / "README.md"], ids=lambda path: path.stem)
def test_commands_and_options_within_sentences_are_those_that_there_are(path: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```", "", text_of(path), flags=re.DOTALL | re.MULTILINE)
    assert {found.split()[0] for found in INLINE.findall(text)} <= {*SUBCOMMANDS, *FLAGS, "NAME", "completion"}
    free = ("arch.args.", "arch.parts.", "launcher.extra.", "forget.KIND")
    named = {name for name in OPTION.findall(text) if not name.startswith(free) and name.count(".") == 1}
    assert not {name for name in named if f"`{name}`" not in text_of(option_list.PAGE)}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the files that the pages speak of, in which commands are read."""
    root = tmp_path_factory.mktemp("reader")
    for kind in EXAMPLES:
        write_example(kind, root)
    text = section("A method")
    for folder in ("my_methods", "own/method"):
        (root / folder).mkdir(parents=True)
        for language, ending in (("python", "py"), ("yaml", "yaml")):
            (root / folder / f"mine.{ending}").write_text(block(text, language))
    (root / "scripts").symlink_to(ROOT / "scripts")
    (root / "hparams.yaml").write_text("digits/resnet18/ft: {lr: 0.01, epochs: 1}\n")
    (root / "recipe.yaml").write_text("{epochs: 1, lr: 0.1, momentum: 0.9, weight_decay: 0, batch_size: 64}\n")
    for name in ("model.safetensors", "photos.pt"):
        (root / name).write_bytes(b"weights")
    (root / "requests.csv").write_text("file\ntrain/cat/0014.jpg\n")
    with contextlib.chdir(root):
        yield root


@pytest.mark.parametrize("one", READ.values(), ids=[" ".join(words) for words in READ])
def test_a_command_is_understood(one: Said, reader: Path) -> None:
    """By the functions that read its words when it is typed; nothing is computed."""
    understand(one)


def understand(one: Said) -> None:
    """Raises ConfigError, or fails, for a command with a name or an option that there is not."""
    if one.words[1] in FLAGS:
        return
    assert one.name in SUBCOMMANDS, f"{one.page}: there is no command {one.name}"
    arguments = one.arguments
    if one.name in ("tables", "report"):
        parse_options(arguments, OPTIONS if one.name == "report" else inputs.OPTIONS)
    elif one.name == "forget":
        read_request(arguments)
    elif one.name in ("methods", "list"):
        assert main_of(one.name)([word for word in arguments if word != "--check"]) == 0
    else:
        for word in arguments:
            options = offered(one.name, [], word.partition("=")[0])
            assert "=" not in word or f"{word.partition('=')[0]}=" in options or word.startswith("launcher."), word


@pytest.mark.parametrize("page", sorted({one.page for one in OURS if one.name in COMPOSED}))
def test_sweeps_of_a_page_name_what_there_is(page: str, reader: Path) -> None:
    """Names of options and of choices; without composing, which the next test does."""
    for one in OURS:
        if one.page == page and one.name in COMPOSED and not {"--cfg", *FLAGS} & {*one.words}:
            read_grid(one.arguments)


def composed() -> list[tuple[str, ...]]:
    """The words of each sweep that a page tells; of a sweep file those with most options."""
    found: dict[object, tuple[str, ...]] = {}
    unread = ("plan=", "wait=", "--", "job")
    for one in (one for one in OURS if one.name in COMPOSED):
        words = tuple(word for word in one.arguments if not word.startswith(unread))
        words += ("forget=halves",) if one.name == "lira" else ()
        name = words[0] if words and words[0].startswith("sweep=") else words
        found[name] = max(found.get(name, ()), words, key=len)
    return [*found.values()]


@pytest.mark.slow
def test_every_sweep_that_a_page_tells_is_read(reader: Path) -> None:
    """As the command itself does, up to the validated sweep."""
    asked = composed()
    assert len(asked) > 30
    for arguments in asked:
        assert read_command(arguments).sweep.cells, arguments


@pytest.mark.slow
def test_the_first_sweep_goes_as_its_page_tells(tmp_path: Path) -> None:
    """Its commands one after the other, with a smaller sweep; the report is tested where its page is."""
    told = [one for one in commands(ROOT / "docs" / "first-sweep.md") if one.words[0] == "deepunlearn"]
    assert [one.name for one in told] == ["sweep", "sweep", "status", "tables", "report", "sweep", "sweep"]
    small = ["seeds=1", "train.epochs=1", "dataset.limit=300", "search.trials=1", "search.max_epochs=1"]
    said = []
    for one in [one for one in told if one.name != "report"]:
        out = io.StringIO()
        with contextlib.chdir(tmp_path), contextlib.redirect_stdout(out):
            arguments = [*one.arguments, *small] if one.name == "sweep" else one.arguments
            assert run_main(main_of(one.name), arguments) == 0, one
        said.append(out.getvalue())
    plan, _, status, tables, again, more = said
    assert "reference       0       0        0      2" in plan and "demo-" in status
    assert "| retrained" in tables and "salun" in more
    assert again.startswith("nothing to do: all 13 tasks are stored in results/store")
