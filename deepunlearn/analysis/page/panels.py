"""What `report panels=true` adds to a method's view: class-activation maps on a few images, losses before and after.

Images of forgotten samples are on the page then: it is for people who may see them.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image

from deepunlearn.analysis.figures.loss_change import MODELS, loss_change
from deepunlearn.analysis.figures.style import PAGE, Picture, Sheet, Subject, titles_of
from deepunlearn.analysis.inference import Floats
from deepunlearn.analysis.page.pictures import Gallery, Inlined
from deepunlearn.analysis.page.result_sets import ResultSet, result_sets
from deepunlearn.analysis.provenance import caption_text, describe
from deepunlearn.analysis.records import Records

SHARE = 0.55  # of the map in what is shown; the rest is the image
LARGEST = 64  # pixels of a tile; larger images are made smaller
QUALITY = 85  # of JPEG
GREY = np.array([0.299, 0.587, 0.114])  # luma: colours would be taken for the map's
SHOWN_AS = {"forget": "forget set", "retain": "retain set", "test": "test image"}
SIDES = ("upper", "middle", "lower"), ("left", "middle", "right")

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Sample:
    """part: "forget", "retain" or "test"; label: its class; image: [C, S, S]; by model: its map [S, S], and the
    probability that the model gives the label."""

    part: str
    label: str
    image: Bytes
    maps: Mapping[str, Bytes]
    probability: Mapping[str, float]


@dataclass(frozen=True)
class Model:
    """What is shown of one unlearned model, of a cell and result set.

    losses: by part and model, [N] in nats; level: where in the network maps are from, in words; refused: why there are
    none, in words.
    """

    cell: str
    result_set: str
    method: str
    seed: int
    losses: Mapping[str, Mapping[str, Floats]]
    level: str = ""
    samples: Sequence[Sample] = ()
    refused: str = ""


@dataclass(frozen=True)
class Line:
    """A sample's tiles as a data URI, what they show in words, and by model the probability of the label."""

    name: str
    source: str
    alt: str
    width: int
    probabilities: list[str]


@dataclass(frozen=True)
class Panel:
    """title: of the result set; caption: how to read it."""

    name: str
    title: str
    seed: int
    level: str
    refused: str
    losses: Inlined
    lines: list[Line] = field(default_factory=list)


def panels_of(
    method: str, title: str, models: Sequence[Model], sets: Sequence[ResultSet], gallery: Gallery
) -> Iterator[Panel]:
    """Those of one method, in the order of the result sets."""
    for own in sets:
        for model in models:
            if model.method == method and (model.cell, model.result_set) == _identity(own):
                yield Panel(
                    name=f"panel-{method}-{own.name}",
                    title=own.title,
                    seed=model.seed,
                    level=model.level,
                    refused=model.refused,
                    losses=gallery.inline(picture(model, title, own, PAGE)),
                    lines=[line_of(sample) for sample in model.samples],
                )


def pictures(records: Records, models: Sequence[Model], sheet: Sheet) -> list[Picture]:
    """The figures of all losses, for files."""
    if not models:
        return []
    sets, titles = {_identity(own): own for own in result_sets(records)}, titles_of(records.rows)
    known = [(one, sets[one.cell, one.result_set]) for one in models if (one.cell, one.result_set) in sets]
    return [picture(one, titles[one.method], own, sheet) for one, own in known if one.method in titles]


def picture(model: Model, title: str, own: ResultSet, sheet: Sheet) -> Picture:
    """The figure of its losses."""
    subject = Subject(caption_text(describe(own.rows)), own.name, own.title)
    return loss_change(model.losses, model.method, title, model.seed, sheet=sheet, subject=subject)


def _identity(own: ResultSet) -> tuple[str, str]:
    return str(own.rows["cell"].iloc[0]), own.result_set


def line_of(sample: Sample) -> Line:
    tiles = [_grey(sample.image), *(_overlaid(sample.image, sample.maps[name]) for name in MODELS)]
    strip = Image.fromarray(np.concatenate(tiles, axis=1))
    if (size := strip.height) > LARGEST:
        strip = strip.resize((round(strip.width * LARGEST / size), LARGEST), Image.Resampling.LANCZOS)
    looked = ", ".join(f"{name} {where(sample.maps[name])}" for name in MODELS)
    kind = SHOWN_AS[sample.part]
    return Line(
        name=f"{kind}, {sample.label}",
        source=_embedded(strip),
        alt=f"{kind}, class {sample.label}: the image, then where each model sees its class: {looked}",
        width=4 * LARGEST,
        probabilities=[f"{sample.probability[name]:.2f}" for name in MODELS],
    )


def _grey(image: Bytes) -> Bytes:
    """uint8 [S, S, 3] of [C, S, S]."""
    planes = np.broadcast_to(image, (3, *image.shape[1:])).astype(float)
    luma = np.tensordot(GREY, planes, axes=1)
    return np.repeat(np.rint(luma).astype(np.uint8)[..., None], 3, axis=2)


def _overlaid(image: Bytes, activation: Bytes) -> Bytes:
    """The map in colours that differ in lightness, too, over the grey image."""
    colours = mpl.colormaps["inferno"](activation)[..., :3] * 255
    mixed = SHARE * colours + (1 - SHARE) * _grey(image)
    made: Bytes = np.rint(mixed).astype(np.uint8)
    return made


def where(activation: Bytes) -> str:
    """In which ninth of the image most of a map lies."""
    if not activation.any():
        return "nowhere"
    size = len(activation)
    heights = [
        [part.sum() for part in np.array_split(rows, 3, axis=1)] for rows in np.array_split(activation.astype(int), 3)
    ]
    row, column = np.unravel_index(int(np.argmax(heights)), (min(3, size), min(3, size)))
    words = f"{SIDES[0][row]} {SIDES[1][column]}"
    return "middle" if words == "middle middle" else words


def _embedded(strip: Image.Image) -> str:
    content = io.BytesIO()
    strip.save(content, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
