"""Keys of what chooses hyper-parameters: a search, a file or the defaults; and of the table that follows from it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from deepunlearn.cells.models import ModelKeys
from deepunlearn.core import keys
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.identity import canonical_json
from deepunlearn.core.keys import GivenKey, ResultSetKey, SearchKey, StudyKey
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import Range, Value
from deepunlearn.core.schema import SweepConfig
from deepunlearn.core.search_config import SearchConfig
from deepunlearn.forget.bank import digest_of

Source = Literal["search", "default", "file"]


class CellKeys(ModelKeys):
    """Builds all keys of a cell, as `ReferenceKeys` says; further those of its searches."""

    def report_draw(self, sweep: SweepConfig, method: MethodConfig, seed: int) -> str | None:
        """`drawn` of a report: its own where the search ran on `seed`, else the winning trial itself is reported."""
        searched = self.source(sweep, method) == "search" and seed in sweep.search_seeds(self.cell)
        return keys.REPORT if searched else None

    def study(
        self,
        method: MethodConfig,
        search: SearchConfig,
        seed: int,
        earlier: SearchKey | None = None,
        further: Sequence[int] = (),
    ) -> StudyKey:
        """earlier: `chosen_before`; further: the other seeds of a study that is shared."""
        assert search.sampler and search.objective
        ranges = self.ranges(method, search)
        tried = {name: limits.options() for name, limits in ranges.items()}
        known = {name: (value,) for name, value in method.complete({}).items()}
        return StudyKey(
            original=self.reference("original", seed),
            retrained=self.reference("retrained", seed),
            method=method.name,
            method_version=method.version,
            ranges=ranges,
            fixed=method.fixed,
            sampler=search.sampler,
            objective=search.objective,
            population_size=search.population_size,
            prune=search.prune,
            pruner=search.pruner,
            first_look=method.first_look if search.pruner == "halving" else None,
            look_samples=search.look_samples,
            stops_early=search.stops_early,
            version=keys.SCORE_VERSION,
            code=method.code,
            batches=self._unlearned_by(method, seed, {**known, **tried}),
            difficulty=self.difficulty(method, seed),
            earlier=earlier,
            further=tuple((self.reference("original", one), self.reference("retrained", one)) for one in further),
            starts=self.starts(method, search),
        )

    def starts(self, method: MethodConfig, search: SearchConfig) -> dict[str, dict[str, Value]]:
        """Where they are from -> values that the first trials have, in this order, each once.

        Of `search.winners` those of the method in whatever cell: `digits/resnet18`, by name. A number that is none of
        the choices here is the nearest of them: a batch size of 256 where the largest is 128.
        """
        ranges = self.ranges(method, search)
        found = {"defaults": _among(ranges, method.complete({}))} if search.from_defaults else {}
        for name, values in sorted(search.winners.items()):
            cell, _, of = name.rpartition("/")
            if of == method.name and (complete := _among(ranges, method.complete(values))) not in found.values():
                found[cell] = complete
        return found

    def ranges(self, method: MethodConfig, search: SearchConfig) -> dict[str, Range]:
        """What is searched: every parameter that is not fixed by hand."""
        limit, largest = self.cell.epoch_limit(search), self.cell.dataset.max_batch_size
        return {name: method.space[name].range(name, search.space, limit, largest) for name in method.searched}

    def chosen_by(self, sweep: SweepConfig, method: MethodConfig) -> SearchKey | GivenKey:
        """What decides the hyper-parameters of `method` in this sweep."""
        source = self.source(sweep, method)
        if source == "search" and self.searched_before is not None:
            return self.searched_before.chosen_by(sweep, method)
        if source != "search":
            return GivenKey(protocol=sweep.protocol.name, source=source)
        search, earlier = sweep.search, self.chosen_before(sweep, method)
        return SearchKey(
            studies=tuple(
                self.study(method, search, seed, earlier, others) for seed, *others in sweep.study_seeds(self.cell)
            ),
            trials=search.trials,
            selection=search.selection,
            candidates=search.candidates if search.selection == "robust" else None,
            protocol=sweep.protocol.name,
            space=search.space,
            drawn=keys.SELECTION if search.selection == "robust" else None,
        )

    def chosen_before(self, sweep: SweepConfig, method: MethodConfig) -> SearchKey | None:
        """What chose the values of the round before, whose models the trials of this one are made from, if any."""
        key = self.before.chosen_by(sweep, method) if self.before else None
        return key if isinstance(key, SearchKey) else None

    @property
    def searched_before(self) -> Self | None:
        """Of the round before, where hyper-parameters are searched in the first round only; None of that one."""
        return self.before if self.rounds and self.rounds.search_rounds == "first" else None

    def source(self, sweep: SweepConfig, method: MethodConfig) -> Source:
        """Where hyper-parameters come from: hparams=FILE, a search, or the defaults."""
        if sweep.hparams:
            return "file"
        return "search" if sweep.search.sampler and self.ranges(method, sweep.search) else "default"

    def given(self, sweep: SweepConfig, method: MethodConfig) -> dict[str, Value]:
        """The values where none are searched. Raises ConfigError where hparams=FILE lacks this cell and method."""
        if not sweep.hparams:
            return method.complete({})
        name, found = f"{self.cell.name}/{method.name}", sweep.entry_of(self.cell, method.name)
        if found is None:
            raise ConfigError(
                f"the hparams file has no entry for {name}",
                given=name,
                allowed=", ".join(sorted(sweep.hparams)),
                remedy="add it to the file, or leave this method or cell out of the sweep",
            )
        return method.complete(sweep.hparams[found])

    def check_blocks(self, method: MethodConfig, values: Mapping[str, Value], blocks: int | None) -> None:
        """Raises ConfigError where a value counts more of the network's blocks than there are; null: not known."""
        for name, spec in method.space.items():
            value = values.get(name)
            if spec.between and spec.between[-1] == "blocks" and isinstance(value, int) and value > (blocks or value):
                raise ConfigError(
                    f"{name} of method {method.name} is larger than the number of blocks of {self.cell.arch.name}",
                    given=f"{name}={value}",
                    allowed=f"1 to {blocks}",
                    remedy=f"lower {name}, or leave it out",
                )

    def result_set(self, sweep: SweepConfig, method: MethodConfig) -> ResultSetKey:
        source = self.source(sweep, method)
        searched: Mapping[str, Any] = {}
        changed = list(method.changed)
        if source == "search":
            searched = sweep.search.identity
            if sweep.search.winners:
                searched = {**searched, "winners": hash_of(sweep.search.winners)}
            if self.rounds and self.rounds.search_rounds == "each":
                searched = {**searched, "rounds": "each"}
        if method.bank is not None:
            changed.append(f"{method.bank_option}={digest_of(self.memorised(method))[:8]}")
        if source == "file":
            changed.append(f"hparams={hash_of(sweep.hparams)}")
        return ResultSetKey(
            cell=self.cell_key,
            protocol=sweep.protocol.name,
            source=source,
            search=dict(searched),
            changed=tuple(sorted(changed)),
        )


def _among(ranges: Mapping[str, Range], values: dict[str, Value]) -> dict[str, Value]:
    """`values` with numbers that may be drawn where there are choices of them; ends of ranges are kept elsewhere."""
    cut = {name: limits.nearest(values[name]) for name, limits in ranges.items() if limits.choices is not None}
    return {**values, **{name: value for name, value in cut.items() if value is not None}}


def hash_of(value: Any) -> str:
    """Eight hex digits that tell contents apart."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:8]
