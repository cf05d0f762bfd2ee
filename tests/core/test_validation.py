"""What a command line may not say, whatever the command."""

from __future__ import annotations

import importlib

import pytest

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.validation import refuse_repeats

TWICE = {  # command -> arguments with an option that is there twice
    "tables": ["partial=true", "results=a", "results=b"],
    "report": ["format=png", "results=a", "format=png"],
    "share.command": ["export", "out=a.zip", "plan=true", "out=b.zip"],
    "list": ["arch", "plugins=a", "plugins=b"],
    "methods.__main__": ["plugins=a", "plugins=b"],
    "status": ["results=a", "results=b"],
    "measure": ["results=a", "measures=[klom]", "results=b"],
    "deletion.command": ["model=a.pt", "ids=a.csv", "ids=b.csv"],
}


@pytest.mark.parametrize("name", TWICE)
def test_a_command_refuses_an_option_that_is_given_twice_and_names_both(name: str) -> None:
    twice = next(one for one in reversed(TWICE[name]) if "=" in one).partition("=")[0]
    with pytest.raises(ConfigError, match=f"{twice}= is given twice") as caught:
        importlib.import_module(f"deepunlearn.{name}").main(TWICE[name])
    assert caught.value.given == " ".join(one for one in TWICE[name] if one.startswith(f"{twice}="))
    assert caught.value.remedy


def test_names_that_begin_alike_and_words_are_no_repeats() -> None:
    refuse_repeats(["forget=list", "forget.file=a", "ft", "ft", "--watch", "--watch"])
