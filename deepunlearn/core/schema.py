"""The validated form of a composed configuration: frozen pydantic models, built once before anything runs.

Hydra composes plain YAML (defaults stand there, in `conf/`); `validate` turns the result into these models,
so that types are settled before hashing and a wrong value is refused with its name, the value and what is allowed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from deepunlearn.core.arch_config import ArchConfig
from deepunlearn.core.errors import NO_MPS
from deepunlearn.core.forget import AnyForgetSet
from deepunlearn.core.measure_config import Measure
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.search_config import SearchConfig
from deepunlearn.core.validation import Frozen, NonNegativeFloat, PositiveFloat, PositiveInt, Ratio, Unfit

UNSAID = ("random", "random(ratio=0.1)")  # the forget set that cells have where nothing is said of it
CHANNELS = 3  # of the images that a network sees; grey ones are repeated


@dataclass(frozen=True)
class Features:
    """How many numbers a network sees of a row of a table: what stands where images have their size."""

    number: int


Inputs = int | Features  # what a network is built for: the height and width of images in pixels, or features


def shape_of(inputs: Inputs) -> tuple[int, ...]:
    """The shape of one sample as a network sees it: (3, S, S) or (D,)."""
    return (inputs.number,) if isinstance(inputs, Features) else (CHANNELS, inputs, inputs)


def named_inputs(inputs: Inputs) -> str:
    """`32x32`, `30 features`."""
    return f"{inputs.number} features" if isinstance(inputs, Features) else f"{inputs}x{inputs}"


class DatasetConfig(Frozen):
    """A dataset, how it is read and how it is split (protocol section 2)."""

    name: str
    title: str
    source: str  # how its files are read: a file of deepunlearn/data/sources/, or its own name for code of its own
    module: str | None = None  # of a plug-in: where its code is
    reader: str | None = None  # source torchvision: the class of torchvision.datasets
    path: str | None = None  # source huggingface: a folder that save_to_disk wrote, or a name on the hub
    subset: str | int | None = None  # where a source has several of one name: EMNIST's letters, a hub's configurations
    image: str | None = None  # source huggingface: the column of images, where there are several
    train_part: str | None = None  # source huggingface: the part that is trained on; null: train
    test_part: str | None = None  # source huggingface: the part that tests; null: test, or else validation
    target: str | None = None  # what is to be learnt, where the data have several: an attribute, a column
    root: str | None = None  # directory of the files, or a table's file; null where none is needed
    download: bool = False  # fetch missing files, where the source can
    classes: Annotated[int, Field(ge=2)] | None = None  # how many there are; null: counted in the data
    train_images: PositiveInt | None = None  # as published: what plan=true counts with where the files are missing
    test_images: PositiveInt | None = None  # the same of the test part
    persons: PositiveInt | None = None  # as published, numbered from 1: of whom a plan without the files may speak
    image_size: Annotated[int, Field(ge=8)] | None = 32  # height and width after resizing, pixels; null: a table
    crop_padding: Annotated[int, Field(ge=0)] = 0  # random crop after padding with black, pixels
    flip: bool = False  # random horizontal flip
    mean: tuple[float, ...] | None = None  # per channel, images in [0, 1]; null: from the training part
    std: tuple[float, ...] | None = None  # per channel; null: from the training part
    background: Literal["black", "white"] = "black"  # what transparent pixels of image files are put on
    id: int | str | None = None  # of tables from the net: number or name at their source
    missing: Literal["error", "mean", "drop"] = "error"  # of tables: what to do about missing values
    categories: tuple[str, ...] = ()  # of tables: columns of categories that look like numbers
    ignore: tuple[str, ...] = ()  # of tables: columns that no network sees; forget sets may name them
    duplicates: Literal["warn", "error", "drop"] = "warn"  # training samples that are there twice, or in the test part
    test_ratio: Ratio | None = None  # share cut off as test part where the data has none
    limit: Annotated[int, Field(ge=1)] | None = None  # training samples that are used, stratified; test in proportion
    val_ratio: Ratio = 0.15  # share of the training part held out for validation
    split_seed: Annotated[int, Field(ge=0)] = 123  # seed of all splits, the same for all methods and model seeds
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

    @model_validator(mode="after")
    def _of_one_kind(self) -> DatasetConfig:
        wrong = {name for name in (OF_IMAGES if self.is_table else OF_TABLES) if getattr(self, name) != _default(name)}
        if wrong:
            kind, other = ("a table", "images") if self.is_table else ("images", "tables")
            raise Unfit(
                f"dataset {self.name} is {kind}, and some of its options are of {other}",
                given=", ".join(f"dataset.{name}={getattr(self, name)}" for name in sorted(wrong)),
                allowed="tables with dataset.image_size=null, images with a size in pixels",
                remedy=f"leave {', '.join(f'dataset.{name}' for name in sorted(wrong))} out",
            )
        return self

    @property
    def is_table(self) -> bool:
        """Whether its samples are rows of numbers and not images."""
        return self.image_size is None


OF_HUB = ("path", "image", "train_part", "test_part")  # what only sets of Hugging Face have
OF_IMAGES = ("reader", "subset", *OF_HUB, "crop_padding", "flip", "mean", "std", "background")  # what a table has not
OF_TABLES = ("id", "missing", "categories", "ignore")  # what images have not


def _default(name: str) -> Any:
    return DatasetConfig.model_fields[name].default


def _normalises(mean: tuple[float, ...], std: tuple[float, ...]) -> bool:
    finite = all(math.isfinite(value) for value in (*mean, *std))
    return finite and {len(mean), len(std)} <= {1, CHANNELS} and min(std) > 0


class TrainConfig(Frozen):
    """The recipe of originals and retrains (protocol section 4): SGD, cosine to 0 per epoch."""

    epochs: PositiveInt  # over the training set
    lr: PositiveFloat  # learning rate at the start, annealed to 0 along a cosine
    momentum: Annotated[float, Field(ge=0, lt=1)]  # of SGD
    weight_decay: NonNegativeFloat  # of SGD
    batch_size: Annotated[int, Field(ge=2)]  # samples per step; batch normalisation cannot train on a single one


class GivenFile(Frozen):
    """The weights of an original that a user has trained."""

    seed: Annotated[int, Field(ge=0)]  # of the report
    path: str  # says where it is and identifies nothing
    digest: str  # of the file's content, 16 hex digits


class GivenOriginals(Frozen):
    """Originals that are given and not trained, one for each report seed."""

    files: Annotated[tuple[GivenFile, ...], Field(min_length=1)]
    recipe: bool  # whether it is known how they were trained, so that retrained models can be

    def of(self, seed: int) -> GivenFile:
        """The file of a report seed."""
        return next(file for file in self.files if file.seed == seed)

    @property
    def identity(self) -> tuple[str, ...]:
        """SEED:DIGEST of each, whatever the files are called."""
        return tuple(f"{file.seed}:{file.digest}" for file in sorted(self.files, key=lambda file: file.seed))


class ProtocolConfig(Frozen):
    """Which seeds are searched on (protocol section 6)."""

    name: str
    title: str
    first_search_seed: Annotated[int, Field(ge=0)]  # the search has this seed and those after it


CpuKernels = Literal["auto", "off"]


class RuntimeConfig(Frozen):
    """Where and how it runs. Only `precision` changes numbers, so only it is hashed."""

    device: Literal["auto", "cpu", "cuda"]  # auto: a GPU where there is one
    precision: Literal["fp32", "bf16"]
    threads: Annotated[int, Field(ge=1, le=1024)] | None  # null: all cores this process may use
    compile: Literal["inductor", "cudagraphs", "aot_eager"] | None = None  # changes numbers by rounding at most
    cpu_kernels: CpuKernels = "auto"  # the same; but CFW, FF, JiT and RNI draw other noise, as on another device
    checkpoint_seconds: NonNegativeFloat  # least time between two training checkpoints
    data_budget_gb: PositiveFloat  # larger datasets stay memory-mapped on disk

    @field_validator("device", mode="before")
    @classmethod
    def _computed_on(cls, device: Any) -> Any:
        if device == "mps":
            raise Unfit(
                NO_MPS,
                given="runtime.device=mps",
                allowed="auto, cpu, cuda",
                remedy="give runtime.device=cpu; on such a machine everything runs on the CPU",
            )
        return device


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
    extra: dict[str, str | int | float | bool | None] = Field(default_factory=dict)  # any other options of sbatch


LAUNCHERS: dict[str, type[LocalLauncher | SlurmLauncher]] = {"local": LocalLauncher, "slurm": SlurmLauncher}


class CellConfig(Frozen):
    """What references depend on: one dataset x architecture with its recipe."""

    dataset: DatasetConfig
    arch: ArchConfig
    train: TrainConfig
    forget: AnyForgetSet
    precision: Literal["fp32", "bf16"]
    given: GivenOriginals | None = None  # null: originals are trained by the recipe

    @property
    def retrains(self) -> bool:
        """Whether there are retrained models: beside given originals only where it is known how these were trained."""
        return self.given is None or self.given.recipe

    @model_validator(mode="after")
    def _network_fits(self) -> CellConfig:
        if self.dataset.is_table and not self.arch.tables:
            raise Unfit(
                f"{self.arch.name} takes images, and dataset {self.dataset.name} is a table",
                given=f"arch={self.arch.name} dataset={self.dataset.name}",
                allowed="a network for rows of numbers: arch=mlp, or one of your own whose YAML says tables: true",
                remedy="give arch=mlp",
            )
        return self

    @property
    def name(self) -> str:
        """Tells it from other cells, for people and in files of hyper-parameters: digits/resnet18/random(ratio=0.2)."""
        forget = self.forget.spelling
        return self.short_name if forget in UNSAID else f"{self.short_name}/{forget}"

    @property
    def short_name(self) -> str:
        """Without the forget set: the whole name in files of versions that had one forget set in a sweep."""
        return f"{self.dataset.name}/{self.arch.name}"

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
    seeds: tuple[Annotated[int, Field(ge=0)], ...]  # report seeds, where the forget set does not say which
    hparams: dict[str, dict[str, Any]]  # "<dataset>/<arch>/<method>" -> given hyper-parameters (hparams=FILE)
    results: Annotated[str, Field(min_length=1)]
    keep: Literal["weights", "logits"]  # what is stored of each unlearned model of a report seed
    measures: tuple[Measure, ...] = ()  # beside those of every row
    tracker: Literal["none", "mlflow", "wandb", "tensorboard"] = "none"  # is told of what is stored; identifies nothing

    def report_seeds(self, cell: CellConfig) -> Sequence[int]:
        """Seeds of the models of `cell` that are reported."""
        return cell.forget.seeds(self.seeds)

    def search_seeds(self, cell: CellConfig) -> tuple[int, ...]:
        """Seeds of the models of `cell` that hyper-parameters are searched on."""
        first = self.protocol.first_search_seed
        numbers = range(first, first + self.search.seeds) if self.search.sampler else range(0)
        return tuple(cell.forget.search_seed(number) for number in numbers)

    def study_seeds(self, cell: CellConfig) -> tuple[tuple[int, ...], ...]:
        """The search seeds of each study of a method of `cell`; the first one names the study."""
        seeds = self.search_seeds(cell)
        return (seeds,) if self.search.shared and seeds else tuple((seed,) for seed in seeds)

    def entry_of(self, cell: CellConfig, method: str) -> str | None:
        """The entry of `hparams` with the values of a method in a cell; null: there is none.

        What it says of dataset, architecture and method alone is of all forget sets that it does not name.
        """
        names = f"{cell.name}/{method}", f"{cell.short_name}/{method}"
        return next((name for name in names if name in self.hparams), None)

    @model_validator(mode="after")
    def _told_apart(self) -> SweepConfig:
        """Names of cells stand for them in plans, progress and files of hyper-parameters."""
        counts = Counter(cell.name for cell in self.cells)
        if twice := [name for name, count in counts.items() if count > 1]:
            raise Unfit(
                "two cells of the sweep have the same name",
                given=", ".join(twice),
                allowed="cells that differ in dataset, architecture, or forget set; lists in files of different names",
                remedy="rename one of the files, or run one sweep after the other",
            )
        return self

    @model_validator(mode="after")
    def _searched_models_exist(self) -> SweepConfig:
        for cell in self.cells:
            self.search_seeds(cell)
        return self
