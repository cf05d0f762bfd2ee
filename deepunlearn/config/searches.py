"""Options of a search that would change nothing, and are refused in place of being passed over.

Only what a command sets itself is looked at: what a search has by its YAML may stand there for another sampler.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deepunlearn.config.arguments import parsed
from deepunlearn.config.composing import composed
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.search_config import SearchConfig

OF_POPULATIONS = ("nsga3", "cmaes")  # samplers that population_size is of


def check_search(search: SearchConfig, overrides: Sequence[str], hparams: Any) -> None:
    """Raises ConfigError for what a command sets of its search without effect; hparams: its `hparams=`, null without.

    Must be called while Hydra is ready to compose.
    """
    own, choice = _own(overrides)
    if search.sampler is None:
        _check_none(search, own, choice)
    if search.winners and hparams is not None:
        raise ConfigError(
            "search.winners is what a search begins with, and with hparams= there is none",
            given=f"{own.get('winners', 'search.winners')} hparams={hparams}",
            allowed="one of the two",
            remedy="leave hparams= out for a search, or search.winners out for these values without one",
        )
    if "candidates" in own and search.sampler and search.selection != "robust":
        raise ConfigError(
            "search.candidates is of a selection that runs candidates again",
            given=f"{own['candidates']} search.selection={search.selection}",
            allowed="search.candidates with search.selection=robust",
            remedy="give search.selection=robust, or leave search.candidates out",
        )
    if "population_size" in own and search.population_size and search.sampler not in (None, *OF_POPULATIONS):
        raise ConfigError(
            f"the sampler {search.sampler} has no generations, and so no search.population_size",
            given=f"{own['population_size']} search.sampler={search.sampler}",
            allowed=f"search.population_size with search.sampler={' or '.join(OF_POPULATIONS)}",
            remedy="leave search.population_size out",
        )


def _own(overrides: Sequence[str]) -> tuple[dict[str, str], str | None]:
    """The options of the search that is chosen, by name, and its choice; null: none is made.

    What stands between one `search=` and a later one, which replaces it, is of the replaced one.
    """
    choices = [place for place, one in enumerate(overrides) if parsed(one)[0] == "search"]
    counted = [*overrides[: choices[0]], *overrides[choices[-1] :]] if choices else overrides
    own = {parsed(one)[0].removeprefix("search."): one for one in counted if parsed(one)[0].startswith("search.")}
    return own, parsed(overrides[choices[-1]])[1] if choices else None


def _check_none(search: SearchConfig, own: dict[str, str], choice: str | None) -> None:
    """Raises ConfigError for options of a search where none is chosen; what says the same as without them may stand."""
    if not own or choice is None or "sampler" in own:
        return
    plain = {**composed([f"search={choice}"])["search"], "winners": {}}
    wrong = [f"search.{name}" for name in own if getattr(search, name) != plain[name]]
    if wrong:
        raise ConfigError(
            f"search={choice} searches nothing, so that options of a search change nothing",
            given=" ".join(own[name.removeprefix("search.")] for name in wrong),
            allowed="values by method.params.NAME= or hparams=FILE",
            remedy=f"leave {', '.join(wrong)} out, or give a search, such as search=thrifty",
        )
