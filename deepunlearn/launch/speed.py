"""How fast this device trains and evaluates the networks of cells, for estimates. Needs no images of the dataset."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from deepunlearn import archs
from deepunlearn.core.progress import Progress
from deepunlearn.core.provenance import commit, cores
from deepunlearn.core.schema import CellConfig, Features, Inputs, named_inputs, shape_of
from deepunlearn.data.loader import Part, ResidentData, Transform, Untransformed
from deepunlearn.launch.load import Watch
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.speed_file import CROWD, Conditions, Speed, SpeedFile, Timed, speed_name
from deepunlearn.ops.optim import sgd
from deepunlearn.runtime import Runtime
from deepunlearn.training import classification_step, inference_batch, predict

SECONDS = 10.0  # that one command may spend on timing
LOOK_SECONDS = 0.3  # least time to see what other processes do, in ticks of 0.01 s
LEAST_SECONDS = 0.5  # what a network must have left to be timed at all; others are derived
STEPS = 5  # at most, of the largest batch
SECOND = 1.5  # seconds that a second batch may take even if time is up: one batch alone says little of larger ones
GROWTH = 4  # from one batch to the next that is tried
PREDICTING = 0.25  # share of a network's time that goes to inference
SHARED = 0.6  # n threads do the work of n ** SHARED: 1.5 of two, as measured on two cores (1.4 to 1.65)


class Timing:
    """Speeds of a plan's cells on this device: stored ones, and those that a few timed steps give within seconds."""

    def __init__(self, planner: Planner, runtime: Runtime, progress: Progress, seconds: float = SECONDS) -> None:
        self.planner, self.runtime, self.progress, self.seconds = planner, runtime, progress, seconds
        self.known = SpeedFile(planner.results.cache)

    def of(self, cells: Iterable[int]) -> dict[int, Timed | None]:
        """By cell; None for one that there was no time for. Cells of one name are timed once."""
        names = {cell: self.name(cell) for cell in cells}
        timings = {name: self._stored(name) for name in names.values()}
        missing = [name for name, timed in timings.items() if timed is None]
        cell_of = {name: cell for cell, name in names.items()}
        left = self.seconds
        for done, name in enumerate(missing):
            share = left / (len(missing) - done)
            if done == 0 or share >= LEAST_SECONDS:
                probe = self._probe(cell_of[name])  # imports and initial weights are no timing
                began = time.perf_counter()
                timings[name] = self._time(name, probe, share)
                left -= time.perf_counter() - began
        return {cell: timings[name] for cell, name in names.items()}

    def complete(self, timed: dict[int, Timed | None]) -> list[Speed]:
        """A speed of each cell: one that was not timed is derived from one that was, by operations per image."""
        known = {cell: one.speed for cell, one in timed.items() if one is not None}
        base = next(iter(known))
        return [known.get(cell) or self._derived(cell, base, known[base]) for cell in timed]

    def name(self, cell: int) -> str:
        """What the speed of a cell is kept under."""
        facts = self.runtime.describe()
        where = f"{facts['machine']} {facts['device']} {facts['threads']}"
        inputs, kernels = self.planner.network_inputs(cell), self.runtime.config.cpu_kernels
        return speed_name(self.planner.sweep.cells[cell], inputs, where, kernels)

    def _stored(self, name: str) -> Timed | None:
        timed = self.known.get(name)
        fresh = timed is not None and timed.conditions is not None and timed.conditions.holds(*versions())
        return timed if fresh else None

    def _probe(self, cell: int) -> Probe:
        config = self.planner.sweep.cells[cell]
        inputs = self.planner.network_inputs(cell)
        self.progress.say(f"timing a few steps of {config.arch.name} at {named_inputs(inputs)}")
        return Probe(config, inputs, self.planner.keys[cell].classes, self.runtime)

    def _time(self, name: str, probe: Probe, seconds: float) -> Timed:
        timed = measure(probe, seconds)
        try:
            self.known.put(name, timed)
        except OSError as error:
            self.progress.say(f"the measured speed cannot be kept: {error}")
        return timed

    def _derived(self, cell: int, base: int, speed: Speed) -> Speed:
        ratio = self._operations(base) / self._operations(cell)
        return Speed(speed.train * ratio, speed.predict * ratio)

    def _operations(self, cell: int) -> int:
        config, inputs = self.planner.sweep.cells[cell], self.planner.network_inputs(cell)
        return operations(config, inputs, self.planner.keys[cell].classes)


def versions() -> tuple[str, str]:
    """Of torch, and the vector instructions that it uses here: under others a speed is another."""
    return torch.__version__, torch.backends.cpu.get_cpu_capability()


def operations(cell: CellConfig, inputs: Inputs, classes: int) -> int:
    """Floating-point operations of passing two samples through a cell's network."""
    model = archs.build(cell.arch, classes, inputs, 0).eval()
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(2, *shape_of(inputs)))
    return int(counter.get_total_flops())


def measure(probe: Probe, seconds: float) -> Timed:
    """The speed of a network, found within about `seconds`.

    Where other processes have the cores, threads wait for each other and the wall clock says little about the work; one
    thread's processor time then says what the steps would take on a free machine.
    """
    end, watch = time.perf_counter() + seconds, Watch()
    with _threads(1):
        while probe.warm_up() and watch.read().wall < LOOK_SECONDS:
            pass
    others = watch.read().others
    if not probe.correctable(others):
        timed = probe.timed(probe.runtime.threads, end - time.perf_counter(), watch.load)
        if not probe.correctable(timed.others):
            return timed.result(probe)
        others = timed.others
    return probe.timed(1, end - time.perf_counter(), watch.load, others).result(probe)


class Sample(NamedTuple):
    """One timed pass of a batch."""

    batch: int
    wall: float
    processor: float


class Steps(NamedTuple):
    """Passes that were timed, and beside what."""

    train: list[Sample]
    predict: list[Sample]
    threads: int
    others: float
    load: float

    def result(self, probe: Probe) -> Timed:
        corrected = probe.correctable(self.others)
        train, predicted = (
            full / _seconds(samples, full, probe.needed if corrected else 0)
            for full, samples in zip(probe.batches, (self.train, self.predict), strict=True)
        )
        torch_version, capability = versions()
        conditions = Conditions(
            date=datetime.datetime.now(datetime.UTC),
            torch=torch_version,
            capability=capability,
            commit=commit(),
            batch=self.train[-1].batch,
            threads=self.threads,
            needed=probe.needed,
            cores=len(cores()),
            others=self.others,
            load=self.load,
            wall=sum(sample.wall for sample in self.train),
            processor=sum(sample.processor for sample in self.train),
            corrected=corrected,
        )
        return Timed(Speed(train, predicted), conditions)


class Probe:
    """A cell's network with noise to pass through it: what images show changes nothing."""

    def __init__(self, cell: CellConfig, inputs: Inputs, classes: int, runtime: Runtime) -> None:
        self.runtime = runtime
        self.batches = cell.train.batch_size, inference_batch(shape_of(inputs))
        self.smallest = min(8 if self.batches[1] > 64 else 2, cell.train.batch_size)
        self.on_cpu = runtime.device.type == "cpu"
        self.needed = runtime.threads if self.on_cpu else 1
        self.part = noise(cell, inputs, max(self.batches), classes, runtime)
        self.model = runtime.to_device(archs.build(cell.arch, classes, inputs, 0)).train()
        optimizer = sgd(self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=0.0)
        self.step = classification_step(self.model, optimizer, runtime)
        self.generator = torch.Generator().manual_seed(0)

    def correctable(self, others: float) -> bool:
        """Whether others leave too few cores, and processor time can be had instead of the wall clock's."""
        return self.on_cpu and others + self.needed > len(cores()) + CROWD

    def warm_up(self) -> bool:
        """Set up what is used for the first time; always true."""
        self.train(self.smallest)
        self.predict(self.smallest)
        return True

    def timed(self, threads: int, seconds: float, load: float, others: float = 0.0) -> Steps:
        """Steps and inference with so many threads; `others` is what is known of other processes already."""
        watch = Watch()
        with _threads(threads):
            train = _growing(self.train, self.smallest, self.batches[0], (1 - PREDICTING) * seconds)
            predicted = _growing(self.predict, self.smallest, self.batches[1], PREDICTING * seconds)
        return Steps(train, predicted, threads, max(others, watch.read().others), load)

    def train(self, batch: int) -> Sample:
        part = self.part.subset(range(batch))

        def step() -> None:
            for images, labels in part.batches(batch, self.generator, augment=True):
                self.step(images, labels)

        return self._sample(batch, step)

    def predict(self, batch: int) -> Sample:
        part = self.part.subset(range(batch))
        return self._sample(batch, lambda: predict(self.model, part, self.runtime))

    def _sample(self, batch: int, work: Callable[[], object]) -> Sample:
        clock, before = self.runtime.clock(), time.process_time()
        clock.start()
        work()
        clock.stop()
        return Sample(batch, clock.seconds, time.process_time() - before)


def _growing(run: Callable[[int], Sample], first: int, full: int, seconds: float) -> list[Sample]:
    """Passes of ever larger batches, then several of the largest that there is time for."""
    end = time.perf_counter() + seconds
    samples = [run(first)]
    while sum(sample.batch == samples[-1].batch for sample in samples) < STEPS:
        last, left = samples[-1], end - time.perf_counter()
        larger = min(full, GROWTH * last.batch)
        expected = last.wall * larger / last.batch
        if expected < left or (len(samples) == 1 and expected < SECOND):
            samples.append(run(larger))
        elif last.wall < left:
            samples.append(run(last.batch))
        else:
            break
    return samples


def _seconds(samples: list[Sample], full: int, share_among: int) -> float:
    """Of one pass of `full` images: by the wall clock, or by processor time that so many threads share (0: wall).

    The quickest counts: whatever disturbs a pass adds to it. What a larger batch takes is on the line through the last
    two batches, since a part of each pass does not depend on the number of images.
    """
    taken: dict[int, list[float]] = {}
    for sample in samples:
        taken.setdefault(sample.batch, []).append(sample.processor if share_among else sample.wall)
    (*_, before), largest = [0, *taken][:-1], samples[-1].batch
    last = min(taken[largest])
    first = min(taken[before]) if before else 0.0
    slope, mean = (last - first) / (largest - before), last / largest
    seconds = last + min(max(slope, mean / GROWTH), mean) * (full - largest)
    return float(seconds / max(1, share_among) ** SHARED)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let torch use `count` threads in the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def noise(cell: CellConfig, inputs: Inputs, count: int, classes: int, runtime: Runtime) -> Part:
    """So many samples of what a cell's network takes, on the device; the same in every process."""
    generator, table = torch.Generator().manual_seed(0), isinstance(inputs, Features)
    values = torch.randint(256, (count, *shape_of(inputs)), dtype=torch.uint8, generator=generator)
    samples, rows = (values / 128 - 1 if table else values).numpy(), torch.arange(count)
    data = ResidentData(samples, rows.numpy() % classes, rows.numpy(), runtime.device, resident=True)
    transform = Untransformed() if table else Transform(cell.dataset, (0.5,), (0.25,), runtime.device)
    return Part(data, rows, transform)
