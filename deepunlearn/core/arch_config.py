"""The validated form of an architecture: which network it is, and what identifies it beside its name."""

from __future__ import annotations

from pydantic import Field

from deepunlearn.core.keys import NetworkKey
from deepunlearn.core.params import Value
from deepunlearn.core.validation import Frozen, PositiveInt

Argument = Value | tuple[Value, ...]


class ArchConfig(Frozen):
    """An architecture; `module` has `build(classes, image_size)` and `parts(model)`."""

    name: str
    title: str
    module: str
    version: PositiveInt = 1  # bump when networks of ours would come out differently
    code: str | None = None  # digest of the module's file where it is not the one that ships under this name
    args: dict[str, Argument] = Field(default_factory=dict)  # of `build`
    stochastic: bool = True  # whether training it draws random numbers in its layers (dropout, drop path)
    blocks: PositiveInt  # how many blocks `parts` names: the upper end of CF-k's and EU-k's k

    @property
    def draws(self) -> bool:
        """Whether its training draws random numbers; of a module that is not ours nobody has said that it does not."""
        return self.stochastic or self.code is not None

    @property
    def identity(self) -> NetworkKey | None:
        """What tells it from others of its name; None for those that earlier keys have."""
        key = NetworkKey(version=self.version, code=self.code, args=dict(sorted(self.args.items())))
        return None if key == NetworkKey() else key
