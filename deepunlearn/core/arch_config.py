"""The validated form of an architecture: which network it is, and what identifies it beside its name."""

from __future__ import annotations

from pydantic import Field

from deepunlearn.core.keys import NetworkKey
from deepunlearn.core.params import Value
from deepunlearn.core.validation import Frozen, PositiveInt

Argument = Value | tuple[Value, ...]


class ArchConfig(Frozen):
    """An architecture: the module that builds it, with which arguments, and from which weights training starts."""

    name: str
    title: str
    module: str  # has `build(classes, image_size, **arguments)`, and `build_table(classes, features, ...)` for tables
    version: PositiveInt = 1  # bump when networks of ours would come out differently
    code: str | None = None  # digest of a module that is not ours; the name of one of ours that has another name
    model: str | None = None  # which one, of a module that builds many
    args: dict[str, Argument] = Field(default_factory=dict)  # of the network's constructor
    parts: dict[str, str | tuple[str, ...]] = Field(default_factory=dict)  # submodules, for parts that are not found
    weights: str | None = None  # a file; originals and retrained models both start from it. null: initialised
    weights_digest: str | None = None  # of that file's content
    tables: bool = False  # whether it can be built for the rows of a table, too
    stochastic: bool = True  # whether training it draws random numbers in its layers (dropout, drop path)
    blocks: PositiveInt | None = None  # the upper end of CF-k's and EU-k's k; null: counted in the network

    @property
    def arguments(self) -> dict[str, Argument]:
        """What `build` is given beside the number of classes and the image size."""
        return {**({} if self.model is None else {"model": self.model}), **self.args}

    @property
    def draws(self) -> bool:
        """Whether its training draws random numbers; of a module that is not ours nobody has said that it does not."""
        return self.stochastic or self.code is not None or bool(self.args.get("dropout"))

    @property
    def identity(self) -> NetworkKey | None:
        """What tells it from others of its name; None for those that earlier keys have."""
        key = NetworkKey(
            version=self.version, code=self.code, args=self.arguments, parts=self.parts, weights=self.weights_digest
        )
        return None if key == NetworkKey() else key
