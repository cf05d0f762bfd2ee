"""The commands that pages and the help of commands tell their readers to type: each is understood."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from itertools import dropwhile
from pathlib import Path
from string import Template
from typing import NamedTuple

import pytest

from deepunlearn import completion, measure, report, status
from deepunlearn.__main__ import SUBCOMMANDS, main_of, usage
from deepunlearn.analysis import inputs
from deepunlearn.analysis.options import parse_options
from deepunlearn.check_gpu import __main__ as check_gpu
from deepunlearn.cli import folders_of, run_main
from deepunlearn.config import read_command
from deepunlearn.config.grid import read_grid
from deepunlearn.core.errors import ConfigError
from deepunlearn.deletion.request import read_request
from deepunlearn.registry import get
from deepunlearn.share import command as share
from scripts import cheats
from tests import option_list
from tests.pages import PAGES, PLUGIN, ROOT, TOLD, blocks, sentences, text_of, title
from tests.test_adding import EXAMPLES, block, section, write_example


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
    """Those in the blocks of a page that are for a shell, and those behind a $ in a block that shows what is printed.

    Continued lines are in one, and variables that a line of the page sets have their value.
    """
    typed = "\n".join(blocks(path, "bash|sh")).replace("\\\n", " ").splitlines()
    shown = [line for text in blocks(path, "text") for line in re.findall(r"^ *\$ (.+)", text, re.MULTILINE)]
    given = dict(re.findall(r"^([A-Z]+)=(\S+)$", "\n".join(typed), re.MULTILINE))
    return [Template(line).safe_substitute(given) for line in (*typed, *shown)]


def said(page: str, line: str) -> Said | None:
    """The command of a line, without comments and settings before; null where there is none."""
    words = tuple(dropwhile(lambda word: re.fullmatch(r"[A-Z_]+=\S+", word), shlex.split(line, comments=True)))
    ours = words[:1] == ("deepunlearn",) or words[:2] == ("python", "-m")
    return Said(page, (*words, *(INSTALLED.get(page, ()) if ours else ()))) if words else None


def commands(path: Path) -> list[Said]:
    """Those in the blocks of shell lines of a page."""
    return [one for line in shell_lines(path) if (one := said(title(path), line))]


def inline(path: Path) -> list[Said]:
    """The whole commands within sentences and tables: with an option, or of a script or `make`.

    Those that stand for several, with NAME, KIND, N, "..." or "[--option]", are none. FILE and DIR are paths like any.
    """
    whole = [line for line in WHOLE.findall(sentences(path)) if not STANDS_FOR_SEVERAL.search(line)]
    return [one for line in whole if (one := said(title(path), line))]


INSTALLED = {title(PLUGIN / "README.md"): ("plugins=installed",)}  # page -> what stands for a package that it installs
WHOLE = re.compile(r"`((?:(?:python -m deepunlearn\.|deepunlearn )[^`]*(?:=|--)|python scripts/|make\s+[a-z])[^`]*)`")
STANDS_FOR_SEVERAL = re.compile(r"\.\.\.|…|<TAB>|\[-|\b(?:NAME|KIND|N)\b")
ALL = [one for path in TOLD for one in (*commands(path), *inline(path))]
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


@pytest.mark.parametrize("path", TOLD, ids=title)
def test_what_a_shell_takes_for_a_pattern_of_files_is_quoted(path: Path) -> None:
    """Where no file is like it, zsh runs nothing."""
    assert not patterns(shell_lines(path))


def test_examples_in_the_help_of_commands_are_quoted_too() -> None:
    assert examples_of("measure") and not patterns([line for name in SUBCOMMANDS for line in examples_of(name)])


def examples_of(name: str) -> list[str]:
    """The commands that the help of a command shows, and that of `deepunlearn --help` of it."""
    own = re.findall(EXAMPLE, sys.modules[main_of(name).__module__].USAGE, re.MULTILINE)
    return [f"deepunlearn {name} {SUBCOMMANDS[name].example}", *own]


EXAMPLE = r"^  ((?:python -m deepunlearn\.|deepunlearn )\S.*?)(?: {2,}.*)?$"


def patterns(lines: list[str]) -> list[str]:
    """Of lines of a shell those with a bracket or the like that stands in no quotes and no comment."""
    bare = {line: re.sub(r"'[^']*'|\"[^\"]*\"|(^|\s)#.*", "", line) for line in lines}
    return [line for line, rest in bare.items() if set("[*?") & set(rest)]


@pytest.fixture
def beside_benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their files import each other."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts" / "bench"))


@pytest.mark.usefixtures("beside_benchmarks")
def test_what_is_not_ours_is_a_target_a_script_or_a_known_program() -> None:
    makefile = text_of(ROOT / "Makefile")
    targets = re.findall(r"^([a-z]+):", makefile, re.MULTILINE)
    variables = re.findall(r"^([A-Z]+) \?=", makefile, re.MULTILINE)
    extras = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
    for one in OTHERS:
        if one.name == "make":
            known = [word in targets or word.partition("=")[0] in variables for word in one.words[1:]]
            assert known and all(known), one
        elif one.name.startswith("scripts/"):
            assert (ROOT / one.name).is_file(), one
            SCRIPTS.get(one.name, list)(one.arguments)
        else:
            assert one.words[0] in PROGRAMS, one
        assert {extra for word in one.words for extra in re.findall(r"deepunlearn\[(\w+)\]", word)} <= {*extras}, one


SCRIPTS: dict[str, Callable[[list[str]], object]] = {  # whose words can be read without computing what they say
    "scripts/bench/run.py": lambda arguments: importlib.import_module("run").read(arguments),
    "scripts/cheats.py": lambda arguments: parse_options(arguments, cheats.OPTIONS),
}


@pytest.mark.usefixtures("beside_benchmarks")
@pytest.mark.parametrize(
    ("script", "word"),
    [("scripts/bench/run.py", "nonesuch"), ("scripts/bench/run.py", "--nonesuch"), ("scripts/cheats.py", "nonesuch=1")],
)
def test_a_wrong_word_of_a_script_is_not_understood(script: str, word: str) -> None:
    with pytest.raises((ConfigError, SystemExit)):
        SCRIPTS[script]([word])


@pytest.mark.parametrize("path", [*PAGES, ROOT / "README.md"], ids=title)
def test_commands_and_options_within_sentences_are_those_that_there_are(path: Path) -> None:
    text = sentences(path)
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
    (root / "recipe.yaml").write_text(blocks(ROOT / "docs" / "own-models.md", "yaml")[0])
    for kind, name in (("method", "bounded"), ("measure", "above_chance")):
        (root / "installed" / kind).mkdir(parents=True)
        for ending in ("py", "yaml"):
            shutil.copy(PLUGIN / "src" / "bounded_ascent" / f"{name}.{ending}", root / "installed" / kind)
    for name in ("model.safetensors", "photos.pt", "net.pt"):
        (root / name).write_bytes(b"weights")
    (root / "requests.csv").write_text("file\ntrain/cat/0014.jpg\n")
    with contextlib.chdir(root):
        yield root


@pytest.mark.parametrize("one", READ.values(), ids=[" ".join(words) for words in READ])
def test_a_command_is_understood(one: Said, reader: Path) -> None:
    """By the functions that read its words when it is typed; nothing is computed."""
    understand(one)


def understand(one: Said) -> None:
    """Raises ConfigError, or fails, for a command with a name, an option or a value that there is not."""
    if one.words[1] in FLAGS:
        return
    assert one.name in SUBCOMMANDS, f"{one.page}: there is no command {one.name}"
    if not {*FLAGS} & {*one.words}:
        READERS[one.name](one.arguments)


def read_measure(arguments: list[str]) -> None:
    """As the command does, but that models are looked for among all that there can be and not among those stored."""
    _, chosen = measure.read(arguments)
    for axis, names in chosen.items():
        for name in names:
            get(axis, name.partition("(")[0], folders_of(arguments)[1])


def read_check(arguments: list[str]) -> None:
    asked = check_gpu.read(arguments)
    from deepunlearn.check_gpu import plan

    check_gpu.chosen(plan.listed(plan.Where.named("cpu"), asked.out.absolute()), asked.patterns)


def read_list(name: str) -> Callable[[list[str]], None]:
    """What is listed, the command lists; its tests, --check, take longer."""

    def read(arguments: list[str]) -> None:
        assert main_of(name)([word for word in arguments if word != "--check"]) == 0

    return read


READERS: dict[str, Callable[[list[str]], object]] = {
    "sweep": read_grid,  # without composing, which a slow test does
    "lira": read_grid,
    "status": status.read,
    "tables": inputs.read_options,
    "report": report.read,
    "measure": read_measure,
    "forget": read_request,
    "share": share.read,
    "methods": read_list("methods"),
    "list": read_list("list"),
    "check-gpu": read_check,
    "completion": completion.main,
}
WRONG = (
    "deepunlearn sweep search=nonesuch",
    "deepunlearn sweep forget.nonesuch=1",
    "deepunlearn lira sweep=nonesuch",
    "deepunlearn status --wach",
    "deepunlearn status result=results",
    "deepunlearn tables compares=erasure",
    "deepunlearn tables compare=nonesuch",
    "deepunlearn tables partial=yes",
    "deepunlearn report format",
    "deepunlearn report format=nonesuch",
    "deepunlearn report figures.width=wide",
    "deepunlearn report panels=1",
    "deepunlearn report panels=true records=results",
    "deepunlearn report compare=nonesuch",
    "deepunlearn measure 'measures=[nonesuch]'",
    "deepunlearn measure 'measures=[default]' plan=true",
    "deepunlearn measure 'measures=[aus]' method=nonesuch",
    "deepunlearn measure 'measures=[aus]' seeds=3",
    "deepunlearn forget model=net.pt arch=resnet18 data=photos ids=requests.csv",
    "deepunlearn share exprot out=x.zip",
    "deepunlearn share export method=ft out=x.zip",
    "deepunlearn share import",
    "deepunlearn methods nonesuch",
    "deepunlearn list nonesuch --check",
    "deepunlearn check-gpu --minuts 8",
    "deepunlearn check-gpu 'nonesuch/*'",
    "deepunlearn completion tcsh",
)


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_command_is_not_understood(line: str, reader: Path) -> None:
    wrong = said("a page", line)
    assert wrong is not None and {one.split()[1] for one in WRONG} == {*READERS} == {*SUBCOMMANDS}
    with pytest.raises(ConfigError):
        understand(wrong)


@pytest.mark.parametrize("line", ["deepunlearn sweeep sweep=demo", "python -m deepunlearn.measures --help"])
def test_a_command_that_there_is_not_is_not_understood(line: str) -> None:
    wrong = said("a page", line)
    assert wrong is not None
    with pytest.raises(AssertionError, match="there is no command"):
        understand(wrong)


def from_help(name: str) -> list[Said]:
    """The commands that the help of a command shows."""
    return [one for line in examples_of(name) if (one := said(f"{name} --help", line))]


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_examples_in_the_help_of_a_command_are_understood(name: str, reader: Path) -> None:
    for one in from_help(name):
        understand(one)


def test_the_first_steps_in_the_help_of_all_commands_are_understood(reader: Path) -> None:
    first = re.findall(EXAMPLE, usage().partition("\n\ncommands")[0], re.MULTILINE)
    assert len(first) == 4
    for line in first:
        one = said("deepunlearn --help", line)
        assert one is not None
        understand(one)


@pytest.mark.parametrize("page", sorted({one.page for one in OURS if one.name in COMPOSED}))
def test_sweeps_of_a_page_name_what_there_is(page: str, reader: Path) -> None:
    """Names of options and of choices; without composing, which the next test does."""
    for one in OURS:
        if one.page == page and one.name in COMPOSED and "--cfg" not in one.words:
            understand(one)


def composed() -> list[tuple[str, ...]]:
    """The words of each sweep that a page tells; of a sweep file those with most options."""
    found: dict[object, tuple[str, ...]] = {}
    unread = ("plan=", "wait=", "--", "job")
    helped = [one for name in COMPOSED for one in from_help(name)]
    for one in (one for one in (*OURS, *helped) if one.name in COMPOSED and not {*FLAGS} & {*one.words}):
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
    printed = []
    for one in [one for one in told if one.name != "report"]:
        out = io.StringIO()
        with contextlib.chdir(tmp_path), contextlib.redirect_stdout(out):
            arguments = [*one.arguments, *small] if one.name == "sweep" else one.arguments
            assert run_main(main_of(one.name), arguments) == 0, one
        printed.append(out.getvalue())
    plan, _, state, tables, again, more = printed
    assert "reference       0       0        0      2" in plan and "demo-" in state
    assert "| retrained" in tables and "salun" in more
    assert again.startswith("nothing to do: all 13 tasks are stored in results/store")
