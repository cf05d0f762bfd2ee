"""Identity: a result is addressed by the hash of what determines it, chained from the split to the row.

Each stage has a key class in `core.keys`, which is an allow-list of fields. Keys nest: a reference key contains its
split key, so the hash of a result covers everything upstream and its `config.json` can be read without any other file.
What changes no number (device, workers, paths, launcher) is not a field. A field that is added later is declared
`Annotated[..., LATER]` with a default and left out of the hash while it has that default, so old results live on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from deepunlearn.core.errors import ConfigError

PLAIN = (str, int, float, bool)
KEY_LENGTH = 16  # hex digits shown in paths; config.json holds the whole hash


class _Later:
    """Marks a field that older keys do not have."""


LATER = _Later()


def canonical_json(value: Any) -> str:
    """The one JSON text of `value`: sorted keys, no spaces, floats by their shortest exact form.

    Raises ConfigError for NaN and infinities, which are equal to nothing and so can identify nothing.
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise ConfigError(
            "a value that identifies a result is not finite",
            given=repr(value)[:200],
            allowed="finite numbers",
            remedy="give a finite value",
        ) from error


class Key(BaseModel):
    """Base of all keys. Frozen and typed: pydantic turns 1 into 1.0 for a float field before it is hashed."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
    stage: ClassVar[str]

    def canonical(self) -> dict[str, Any]:
        """Plain data that determines the hash, nested keys included: not to be changed, since it is kept."""
        return self._plain_fields

    @cached_property
    def _plain_fields(self) -> dict[str, Any]:
        """Kept, as the hash is: of a model that is measured, the keys of all its measures hold the same ones."""
        values = ((name, getattr(self, name), left_out) for name, left_out in _fields(type(self)))
        return {name: _plain(value) for name, value, left_out in values if not (left_out and value == left_out[0])}

    @cached_property
    def hash(self) -> str:
        """64 hex digits."""
        return hashlib.sha256(canonical_json([self.stage, self.canonical()]).encode()).hexdigest()

    @property
    def short(self) -> str:
        return self.hash[:KEY_LENGTH]

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values is another key: what is kept of this one is not of that."""
        copied = super().model_copy(update=update, deep=deep)
        for kept in ("_plain_fields", "hash"):
            copied.__dict__.pop(kept, None)
        return copied


@cache
def _fields(kind: type[Key]) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """Each field's name and, of a later one, the value at which it is left out. Planning asks 100,000 times."""
    return tuple(
        (name, (field.default,) if LATER in field.metadata else ()) for name, field in kind.model_fields.items()
    )


def _plain(value: Any) -> Any:
    if value is None or type(value) in PLAIN:
        return value
    if isinstance(value, Key):
        return value.canonical()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
