"""The validated form of a composed configuration: frozen pydantic models, built once before anything runs.

Hydra composes plain YAML (defaults stand there, in `conf/`); `validate` turns the result into these models,
so that types are settled before hashing and a wrong value is refused with its name, the value and what is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.params import ParamSpec, Value

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Ratio = Annotated[float, Field(gt=0, lt=1)]
CHANNELS = 3  # of the images that a network sees; grey ones are repeated


class Unfit(ValueError):
    """What a validator raises for values that do not go together; `validate` turns it into a ConfigError."""

    def __init__(self, problem: str, *, given: str, allowed: str, remedy: str) -> None:
        super().__init__(problem)
        self.error = ConfigError(problem, given=given, allowed=allowed, remedy=remedy)


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class DatasetConfig(Frozen):
    """A dataset, how it is read and how it is split (protocol section 2)."""

    name: str
    title: str
    source: Literal["sklearn", "torchvision", "folder", "utkface"]
    root: str | None = None  # directory of the files; null where none is needed
    download: bool = False
    classes: Annotated[int, Field(ge=2)] | None = None  # null: counted in the data
    train_images: PositiveInt | None = None  # as published: what plan=true counts with where the files are missing
    test_images: PositiveInt | None = None
    image_size: Annotated[int, Field(ge=8)] = 32  # height = width after resizing, pixels
    crop_padding: Annotated[int, Field(ge=0)] = 0  # random crop after padding with black, pixels
    flip: bool = False  # random horizontal flip
    mean: tuple[float, ...] | None = None  # per channel, images in [0, 1]; null: from the training part
    std: tuple[float, ...] | None = None
    background: Literal["black", "white"] = "black"  # what transparent pixels of image files are put on
    duplicates: Literal["warn", "error", "drop"] = "warn"  # what to do about training images that are there twice
    test_ratio: Ratio | None = None  # share cut off as test part where the data has none
    limit: Annotated[int, Field(ge=1)] | None = None  # stratified subset of the training part, samples
    val_ratio: Ratio = 0.15
    split_seed: Annotated[int, Field(ge=0)] = 123
    max_batch_size: PositiveInt | None = None  # upper bound of searched batch sizes

    @model_validator(mode="after")
    def _both_or_none(self) -> DatasetConfig:
        if (self.mean is None) != (self.std is None):
            raise Unfit(
                "one of dataset.mean and dataset.std is missing",
                given=f"dataset.mean={self.mean}, dataset.std={self.std}",
                allowed="both, or neither (null: computed from the training part)",
                remedy="give dataset.mean=[0.5] dataset.std=[0.25], or set both to null",
            )
        if self.mean is not None and self.std is not None and not _normalises(self.mean, self.std):
            raise Unfit(
                "dataset.mean and dataset.std cannot normalise images",
                given=f"dataset.mean={self.mean}, dataset.std={self.std}",
                allowed=f"1 or {CHANNELS} values each, std above 0",
                remedy="correct them, or set both to null to have them computed",
            )
        return self


def _normalises(mean: tuple[float, ...], std: tuple[float, ...]) -> bool:
    finite = all(math.isfinite(value) for value in (*mean, *std))
    return finite and {len(mean), len(std)} <= {1, CHANNELS} and min(std) > 0


class ArchConfig(Frozen):
    """An architecture; `module` has `build(classes, image_size)` and `parts(model)`."""

    name: str
    title: str
    module: str
    stochastic: bool = True  # whether training it draws random numbers in its layers (dropout, drop path)
    blocks: PositiveInt  # how many blocks `parts` names: the upper end of CF-k's and EU-k's k

    @property
    def draws(self) -> bool:
        """Whether its training draws random numbers; of a module that is not ours nobody has said that it does not."""
        return self.stochastic or not self.module.startswith("deepunlearn.")


class TrainConfig(Frozen):
    """The recipe of originals and retrains (protocol section 4): SGD, cosine to 0 per epoch."""

    epochs: PositiveInt
    lr: PositiveFloat
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: NonNegativeFloat
    batch_size: Annotated[int, Field(ge=2)]  # batch normalisation cannot train on a single image


class RandomForget(Frozen):
    """One forget set, drawn at random from the training part without validation."""

    name: Literal["random"]
    ratio: Ratio


FEWEST_FORGOTTEN = 6  # models in which each sample is forgotten: with fewer the per-sample attack says nothing


class HalvesForget(Frozen):
    """U-LiRA's design: random halvings into train and held-out, each train half cut into disjoint forget sets.

    Its models are numbered halving x parts + part; these numbers stand where other sweeps have seeds.
    """

    name: Literal["halves"]
    halvings: PositiveInt  # in pairs: what one trains on the other holds out
    parts: Annotated[int, Field(ge=2)]  # forget sets per halving

    @property
    def ratio(self) -> float:
        """Share of the train half in each forget set."""
        return 1 / self.parts

    @property
    def models(self) -> int:
        return self.halvings * self.parts

    def place(self, model: int) -> tuple[int, int]:
        """(halving, part) of a model."""
        return divmod(model, self.parts)

    def original(self, model: int) -> int:
        """The first model of the same halving: they share its original."""
        return model - model % self.parts

    @model_validator(mode="after")
    def _enough(self) -> HalvesForget:
        if self.halvings % 2 or self.halvings // 2 < FEWEST_FORGOTTEN:
            raise Unfit(
                "these halvings are too few, or cannot be paired",
                given=f"forget.halvings={self.halvings}",
                allowed=f"an even number, at least {2 * FEWEST_FORGOTTEN}: each sample is forgotten in half of "
                f"them, and fewer than {FEWEST_FORGOTTEN} observations say nothing",
                remedy=f"give forget.halvings={2 * FEWEST_FORGOTTEN} or more",
            )
        return self


FORGETS: dict[str, type[RandomForget | HalvesForget]] = {"random": RandomForget, "halves": HalvesForget}


class ProtocolConfig(Frozen):
    """Which seeds are searched on (protocol section 6)."""

    name: str
    title: str
    first_search_seed: Annotated[int, Field(ge=0)]


class SearchConfig(Frozen):
    """The hyper-parameter search (protocol section 6)."""

    name: str
    title: str
    sampler: Literal["nsga3", "tpe"] | None  # null: no search
    objective: Literal["four", "sum"] | None
    trials: Annotated[int, Field(ge=0)]  # per study
    seeds: Annotated[int, Field(ge=0)]  # number of studies, one per search seed
    space: Literal["paper", "ours"]
    max_epochs: PositiveInt | None  # E_max; null: max(3, ceil(0.2 x training epochs))
    storage: str | None  # sqlite, journal or an Optuna storage URL; null: sqlite, and journal with launcher=slurm
    population_size: Annotated[int, Field(ge=2)] | None = None  # NSGA-III
    prune: bool = False  # stop hopeless trials after half of their epochs
    selection: Literal["paper", "robust"] = "paper"
    candidates: PositiveInt = 5  # of selection=robust

    @model_validator(mode="after")
    def _consistent(self) -> SearchConfig:
        if self.sampler is not None and (self.trials < 1 or self.seeds < 1):
            raise Unfit(
                "a search needs trials and seeds",
                given=f"search.trials={self.trials}, search.seeds={self.seeds}",
                allowed="search.trials >= 1 and search.seeds >= 1",
                remedy="raise them, or give search=none to use default or given values",
            )
        if self.sampler is not None and self.objective is None:
            raise Unfit(
                "a search needs an objective",
                given=f"search.sampler={self.sampler}, search.objective=null",
                allowed="search.objective=four or sum",
                remedy="give search.objective=four, or search=none to use default or given values",
            )
        if self.prune and self.objective == "four":
            raise Unfit(
                "trials with four losses cannot be pruned",
                given="search.prune=true, search.objective=four",
                allowed="search.prune=true with search.objective=sum, or search.prune=false",
                remedy="give search.objective=sum search.sampler=tpe, or leave search.prune out",
            )
        return self


class RuntimeConfig(Frozen):
    """Where and how it runs. Only `precision` changes numbers, so only it is hashed."""

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["fp32", "bf16"]
    threads: Annotated[int, Field(ge=1, le=1024)] | None  # null: all cores this process may use
    compile: Literal["inductor", "cudagraphs", "aot_eager"] | None = None  # changes numbers by rounding at most
    checkpoint_seconds: NonNegativeFloat  # least time between two training checkpoints
    data_budget_gb: PositiveFloat  # larger datasets stay memory-mapped on disk


class LocalLauncher(Frozen):
    """Worker processes on this machine."""

    name: Literal["local"]
    workers: PositiveInt | None  # null: workers_per_gpu for each GPU, one without a GPU
    workers_per_gpu: PositiveInt
    workers_per_study: PositiveInt


class SlurmLauncher(Frozen):
    """Jobs on a SLURM cluster; conf/launcher/slurm.yaml explains the fields."""

    name: Literal["slurm"]
    workers: PositiveInt | None
    workers_per_gpu: PositiveInt
    workers_per_study: PositiveInt
    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    gpus: Annotated[int, Field(ge=0)]
    gres: str | None
    cpus: PositiveInt
    memory_gb: PositiveFloat | None  # null: --mem is not sent
    minutes: PositiveInt
    minutes_per_job: PositiveFloat
    array_parallelism: PositiveInt
    max_array_size: PositiveInt
    max_requeues: Annotated[int, Field(ge=0)]
    signal_seconds: PositiveInt
    images_per_second: PositiveFloat
    setup: tuple[str, ...]
    tables: bool
    wckey: str | None = None
    extra: dict[str, str | int | float | bool | None] = {}  # any other options of sbatch


LAUNCHERS: dict[str, type[LocalLauncher | SlurmLauncher]] = {"local": LocalLauncher, "slurm": SlurmLauncher}


class MaskConfig(Frozen):
    """A saliency mask on a gradient method: only this fraction of all weights may move."""

    threshold: Annotated[float, Field(gt=0, le=1)] | None  # null: no mask
    search: bool  # search the threshold, from `threshold` or 0.5 as default


class ContractConfig(Frozen):
    """Hyper-parameters for the contract tests, where their quick values would leave something without effect."""

    params: dict[str, Any] = {}
    val: dict[str, Any] = {}  # over these, where validation data is to matter


class MethodConfig(Frozen):
    """A method's YAML: identity, what it reads, its hyper-parameters (specs in `space`, fixed values in `params`)."""

    name: str
    version: PositiveInt  # bumped by hand when the maths changes
    title: str
    paper: str
    reads: tuple[Literal["retain", "forget", "val"], ...]
    epoch_cost: PositiveFloat  # time of one of its epochs / time of a plain training epoch on the retain set
    space: dict[str, ParamSpec]
    params: dict[str, Any]
    mask: MaskConfig | None = None  # null: the method takes no mask (it uses no optimiser, or makes its own mask)
    steps: tuple[str, ...] = ()  # of a chain: names of the methods that run one after the other
    changed: tuple[str, ...] = ()  # settings made by hand, for telling result sets apart
    contract: ContractConfig = ContractConfig()
    modules: dict[str, str] = {}  # of methods that are not ours: name -> where the class is, for `load_method`
    code: str | None = None  # digest of these modules' files; identifies results of theirs beside the version

    @property
    def fixed(self) -> dict[str, Value]:
        """The values given by hand, typed; these are not searched. Raises ConfigError for a bad one."""
        given = {name: value for name, value in self.params.items() if value is not None}
        return {name: self.space[name].typed(f"method.params.{name}", value) for name, value in given.items()}

    @property
    def defaults(self) -> dict[str, Value]:
        return {name: spec.typed(f"method.space.{name}.default", spec.default) for name, spec in self.space.items()}

    def complete(self, given: dict[str, Any]) -> dict[str, Value]:
        """All hyper-parameters: `given` over values fixed by hand over defaults. Unknown names are refused."""
        for name in given:
            if name not in self.space:
                raise unknown(
                    "hyper-parameter", f"{self.name}.{name}", [f"{self.name}.{param}" for param in self.space]
                )
        typed = {name: self.space[name].typed(f"{self.name}.{name}", value) for name, value in given.items()}
        return {**self.defaults, **self.fixed, **typed}

    def from_search(self, drawn: dict[str, Any], blocks: int) -> dict[str, Value]:
        """All hyper-parameters from what a sampler drew; integers that depend on others are put in their ranges.

        blocks: of the architecture, for ranges that end there.
        """
        dependent = [name for name, spec in self.space.items() if spec.between is not None and name in drawn]
        params = self.complete({name: value for name, value in drawn.items() if name not in dependent})
        for name in dependent:  # in the order of the YAML, so that a later one may depend on an earlier
            params[name] = self.space[name].place(drawn[name], {**params, "blocks": blocks})
        return params

    @model_validator(mode="after")
    def _params_exist(self) -> MethodConfig:
        if set(self.params) != set(self.space):
            raise Unfit(
                "params: and space: of a method name different hyper-parameters",
                given=self.name,
                allowed=f"the same in both; only in one: {', '.join(sorted(set(self.params) ^ set(self.space)))}",
                remedy="correct the method's YAML; docs/adding.md shows one",
            )
        return self


def epochs_of(params: Mapping[str, Any]) -> int:
    """How often a run with these values yields: its epochs, a warm-up's and those of a chain's steps; at least 1."""
    counts: list[float] = [
        value for name, value in params.items() if name.split(".")[-1] in ("epochs", "warmup_epochs")
    ]
    return max(1, sum(math.ceil(count) for count in counts))


class CellConfig(Frozen):
    """What references depend on: one dataset x architecture with its recipe."""

    dataset: DatasetConfig
    arch: ArchConfig
    train: TrainConfig
    forget: Annotated[RandomForget | HalvesForget, Field(discriminator="name")]
    precision: Literal["fp32", "bf16"]

    @property
    def name(self) -> str:
        return f"{self.dataset.name}/{self.arch.name}"

    @property
    def halves(self) -> HalvesForget | None:
        """The design of a U-LiRA cell; None of any other."""
        return self.forget if isinstance(self.forget, HalvesForget) else None

    def epoch_limit(self, search: SearchConfig) -> int:
        """E_max: the most epochs a searched method may take (protocol section 6)."""
        return search.max_epochs or max(3, math.ceil(0.2 * self.train.epochs))


class SweepConfig(Frozen):
    """All of one command: cells x methods x seeds, how they are searched and where results go."""

    cells: tuple[CellConfig, ...]
    methods: tuple[MethodConfig, ...]
    search: SearchConfig
    protocol: ProtocolConfig
    launcher: Annotated[LocalLauncher | SlurmLauncher, Field(discriminator="name")]
    runtime: RuntimeConfig
    seeds: tuple[Annotated[int, Field(ge=0)], ...]  # report seeds
    hparams: dict[str, dict[str, Any]]  # "<dataset>/<arch>/<method>" -> given hyper-parameters (hparams=FILE)
    results: Annotated[str, Field(min_length=1)]
    keep: Literal["weights", "logits"]  # what is stored of each unlearned model of a report seed

    @property
    def search_seeds(self) -> tuple[int, ...]:
        """Seeds of the searches; with forget=halves the first model of as many halvings."""
        first = self.protocol.first_search_seed
        numbers = range(first, first + self.search.seeds) if self.search.sampler else range(0)
        halves = self.cells[0].halves
        return tuple(number * halves.parts for number in numbers) if halves else tuple(numbers)

    @model_validator(mode="after")
    def _searched_halvings_exist(self) -> SweepConfig:
        for cell in self.cells:
            if cell.halves and self.search_seeds and self.search_seeds[-1] >= cell.halves.models:
                raise Unfit(
                    "there are more search seeds than halvings",
                    given=f"searches on models {list(self.search_seeds)}",
                    allowed=f"models 0 to {cell.halves.models - 1}: at most {cell.halves.halvings} searches",
                    remedy="lower search.seeds, raise forget.halvings, or use protocol=paper",
                )
        return self


Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], values: Any, where: str) -> Model:
    """`values` as a `model`. Raises ConfigError naming the first wrong entry, e.g. `forget.ratio`, and its remedy."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _explain(error, model, where) from None


def _explain(error: ValidationError, model: type[BaseModel], where: str) -> ConfigError:
    first = error.errors()[0]
    name = _spelled(where, first["loc"])
    if first["type"] == "extra_forbidden":
        return unknown("option", name, [f"{where}.{field}".lstrip(".") for field in model.model_fields])
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, Unfit):
        return cause.error
    return ConfigError(
        f"{name} has a value that cannot be used",
        given=repr(first["input"])[:200],
        allowed=KINDS.get(first["type"]) or first["msg"].removeprefix("Value error, ").removeprefix("Input should be "),
        remedy=f"give {name.split('[')[0]}=VALUE on the command line or in the sweep file",
    )


KINDS = {  # pydantic's types of errors -> what a person would have to give
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list, e.g. [1,2]"),
    **dict.fromkeys(("dict_type", "model_type"), "names with values, e.g. {name: value}"),
    "string_type": "text",
    "string_too_short": "text that is not empty",
    "missing": "a value",
}
BRANCHES = ("int", "float", "str", "bool")  # pydantic's names of the alternatives of a field, which nobody has written


def _spelled(where: str, loc: tuple[int | str, ...]) -> str:
    """A field as it is written in a command: `forget.ratio`, `seeds[0]`."""
    fields = [part for part in (where, *loc) if part != "" and part not in BRANCHES]
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fields).lstrip(".")
