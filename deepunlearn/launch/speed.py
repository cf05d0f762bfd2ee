"""How fast this device trains and evaluates a cell's network, for estimates. Needs no images of the dataset."""

from __future__ import annotations

import torch

from deepunlearn import archs
from deepunlearn.core.schema import CellConfig
from deepunlearn.data.loader import CHANNELS, Part, ResidentData, Transform
from deepunlearn.launch.estimate import Speed
from deepunlearn.runtime import Runtime
from deepunlearn.training import inference_batch, predict, seconds_per_step

STEPS, WARM_UP_STEPS = 5, 2


def measure(cell: CellConfig, classes: int, runtime: Runtime) -> Speed:
    """Images per second on noise of the dataset's image size: what images show changes nothing."""
    batch = cell.train.batch_size
    part = _noise(cell, max(batch, inference_batch(cell.dataset.image_size)), classes, runtime)
    model = runtime.place(archs.build(cell.arch, classes, cell.dataset.image_size, 0))
    predict(model, part, runtime)  # what is set up at its first use does not count
    clock = runtime.clock()
    clock.start()
    predict(model, part, runtime)
    clock.stop()
    step = seconds_per_step(model, part.subset(range(batch)), cell.train, runtime, steps=STEPS, warm_up=WARM_UP_STEPS)
    return Speed(train=batch / step, predict=len(part) / clock.seconds)


def _noise(cell: CellConfig, count: int, classes: int, runtime: Runtime) -> Part:
    generator, size = torch.Generator().manual_seed(0), cell.dataset.image_size
    images = torch.randint(256, (count, CHANNELS, size, size), dtype=torch.uint8, generator=generator).numpy()
    rows = torch.arange(count)
    data = ResidentData(images, rows.numpy() % classes, rows.numpy(), runtime.device, resident=True)
    return Part(data, rows, Transform(cell.dataset, (0.5,), (0.25,), runtime.device))
