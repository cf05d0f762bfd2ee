"""The `key=value` options of the commands that read results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.validation import refuse_repeats

TRUTH = {"true": True, "false": False}


def parse_options(arguments: Sequence[str], defaults: Mapping[str, str | bool]) -> dict[str, str | bool]:
    """`defaults`, replaced by what stands on the command line as `name=value`; a true/false default takes only these.

    Raises ConfigError for an argument of another form, a name that is there twice or not in `defaults`, or a wrong
    value.
    """
    refuse_repeats(arguments)
    options = dict(defaults)
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name not in defaults:
            raise unknown("option", name, defaults)
        options[name] = _typed(name, value if equals else "", defaults[name])
    return options


def _typed(name: str, value: str, default: str | bool) -> str | bool:
    if isinstance(default, bool) and value in TRUTH:
        return TRUTH[value]
    if isinstance(default, bool) or not value:
        example = str(default).lower() if isinstance(default, bool) else default or "VALUE"
        raise ConfigError(
            f"option {name} has a value that cannot be used",
            given=repr(value),
            allowed=" or ".join(TRUTH) if isinstance(default, bool) else "text",
            remedy=f"give {name}=VALUE, e.g. {name}={example}",
        )
    return value
