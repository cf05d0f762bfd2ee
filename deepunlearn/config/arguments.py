"""The words of a command line, before anything is composed of them."""

from __future__ import annotations

from deepunlearn.core.errors import ConfigError


def parsed(argument: str) -> tuple[str, str]:
    key, equals, value = argument.partition("=")
    if not equals or not key or key.startswith("-"):
        raise ConfigError(
            f"cannot read {argument!r}",
            given=argument,
            allowed="NAME=VALUE, e.g. method=msg train.epochs=10",
            remedy="see python -m deepunlearn.sweep --help",
        )
    if key.startswith(("+", "~")):
        raise ConfigError(
            "options cannot be added or removed, only set",
            given=argument,
            allowed=f"{key.lstrip('+~')}=VALUE",
            remedy=f"drop the {key[0]!r}",
        )
    return key, value


def listed(value: str) -> list[str]:
    """`ft`, `ft,ct` or `[ft,ct]` as a list."""
    return [item.strip() for item in value.strip("[]").split(",") if item.strip()]
