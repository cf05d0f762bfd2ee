"""A few generated images in the own format of each set that torchvision knows, written as its archives unpack.

Every image tells its class: upper left bright, upper right dark, the rest as bright as `level(label)`. The training
part has each class twice, the test part once. `python -m tests.data.torchvision_sets` writes the table of docs/data.md.
"""

from __future__ import annotations

import bz2
import hashlib
import json
import pickle
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torchvision.datasets
from PIL import Image
from scipy.io import savemat

from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data.decoded import load
from deepunlearn.data.sources.torchvision import SETS, TorchvisionSet
from tests.data.celeba_files import write_celeba
from tests.data.small_data import write_idx

PARTS = ("train", "test")


def level(label: int) -> int:
    return 40 + 2 * label


def picture(label: int, height: int = 12, width: int = 16) -> np.ndarray:
    """Grey, uint8 [height, width]."""
    pixels = np.full((height, width), level(label), dtype=np.uint8)
    pixels[: height // 3, : width // 3], pixels[: height // 3, -(width // 3) :] = 250, 5
    return pixels


def labels_of(part: str, classes: int, times: int = 1) -> np.ndarray:
    return np.tile(np.arange(classes), 2 * times if part == "train" else times)


def arrays(part: str, classes: int, size: int, times: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """(images uint8 [N, size, size], labels), `times` as many as otherwise"""
    labels = labels_of(part, classes, times)
    return np.stack([picture(label, size, size) for label in labels]), labels


def coloured(images: np.ndarray) -> np.ndarray:
    """[N, H, W] to [N, 3, H, W]"""
    return np.repeat(images[:, None], 3, axis=1)


def save(path: Path, label: int) -> None:
    """Flat parts stay as they are: JPEG without subsampling, at its best."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"quality": 100, "subsampling": 0} if path.suffix == ".jpg" else {}
    Image.fromarray(picture(label)).convert("RGB").save(path, **options)


class Writer(NamedTuple):
    """write(root, monkeypatch): writes the files, and has torchvision expect their checksums where it knows any."""

    write: Callable[[Path, pytest.MonkeyPatch], None]
    classes: int
    options: Mapping[str, Any] = MappingProxyType({})
    test_part: bool = True


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def text(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def numbered() -> Iterator[tuple[str, int, int]]:
    """(part, number, label) of two classes; numbers from 1 over both parts."""
    number = 0
    for part in PARTS:
        for label in labels_of(part, 2):
            number += 1
            yield part, number, int(label)


def mnist_like(reader: str) -> Callable[[Path, pytest.MonkeyPatch], None]:
    def write(root: Path, _: pytest.MonkeyPatch) -> None:
        for part, name in (("train", "train"), ("test", "t10k")):
            images, labels = arrays(part, 10, 28)
            write_idx(root / reader / "raw" / f"{name}-images-idx3-ubyte", images)
            write_idx(root / reader / "raw" / f"{name}-labels-idx1-ubyte", labels)

    return write


def emnist(subset: str, classes: int, first: int) -> Callable[[Path, pytest.MonkeyPatch], None]:
    def write(root: Path, _: pytest.MonkeyPatch) -> None:
        for part in PARTS:
            images, labels = arrays(part, classes, 28)
            folder = root / "EMNIST" / "raw"
            write_idx(folder / f"emnist-{subset}-{part}-images-idx3-ubyte", images.transpose(0, 2, 1))
            write_idx(folder / f"emnist-{subset}-{part}-labels-idx1-ubyte", labels + first)

    return write


def qmnist(root: Path, _: pytest.MonkeyPatch) -> None:
    for part in PARTS:
        images, labels = arrays(part, 10, 28)
        write_idx(root / "QMNIST" / "raw" / f"qmnist-{part}-images-idx3-ubyte", images)
        known = np.zeros((len(labels), 8), dtype=">i4")
        known[:, 0], known[:, 1], known[:, 2] = labels, 4, 2100 + labels % 3
        sizes = b"".join(size.to_bytes(4, "big") for size in known.shape)
        (root / "QMNIST" / "raw" / f"qmnist-{part}-labels-idx2-int").write_bytes(
            bytes([0, 0, 12, 2]) + sizes + known.tobytes()
        )


def cifar(name: str, classes: int, times: int = 1) -> Callable[[Path, pytest.MonkeyPatch], None]:
    def write(root: Path, patch: pytest.MonkeyPatch) -> None:
        reader = getattr(torchvision.datasets, name)
        folder = root / reader.base_folder
        folder.mkdir(parents=True)

        def dump(file: str, value: dict[str, Any]) -> str:
            (folder / file).write_bytes(pickle.dumps(value, protocol=2))
            return md5(folder / file)

        def batches(part: str, files: list[str]) -> list[list[str]]:
            images, labels = arrays(part, classes, 32, times)
            rows = np.array_split(np.arange(len(labels)), len(files))
            key = "labels" if name == "CIFAR10" else "fine_labels"
            coarse = (
                [{}] * len(files)
                if name == "CIFAR10"
                else [{"coarse_labels": (labels[one] % 20).tolist()} for one in rows]
            )
            made = [{"data": coloured(images[one]).reshape(len(one), -1), key: labels[one].tolist()} for one in rows]
            return [[file, dump(file, {**one, **more})] for file, one, more in zip(files, made, coarse, strict=True)]

        patch.setattr(reader, "train_list", batches("train", [file for file, _ in reader.train_list]))
        patch.setattr(reader, "test_list", batches("test", [file for file, _ in reader.test_list]))
        names = {reader.meta["key"]: [f"class {number}" for number in range(classes)]}
        if name == "CIFAR100":
            names["coarse_label_names"] = [f"kind {number}" for number in range(20)]
        patch.setattr(reader, "meta", {**reader.meta, "md5": dump(reader.meta["filename"], names)})

    return write


def svhn(root: Path, patch: pytest.MonkeyPatch) -> None:
    sums = {}
    for part in PARTS:
        images, labels = arrays(part, 10, 32)
        file = root / f"{part}_32x32.mat"
        stored = np.where(labels == 0, 10, labels)[:, None].astype(np.uint8)
        savemat(file, {"X": coloured(images).transpose(2, 3, 1, 0), "y": stored})
        sums[part] = ["", file.name, md5(file)]
    patch.setattr(torchvision.datasets.SVHN, "split_list", sums)


def stl10(root: Path, _: pytest.MonkeyPatch) -> None:
    folder = root / "stl10_binary"
    folder.mkdir()
    for part in PARTS:
        images, labels = arrays(part, 10, 96)
        (folder / f"{part}_X.bin").write_bytes(coloured(images).transpose(0, 1, 3, 2).tobytes())
        (folder / f"{part}_y.bin").write_bytes((labels + 1).astype(np.uint8).tobytes())
    text(folder / "class_names.txt", [f"thing{number}" for number in range(10)])


def usps(root: Path, _: pytest.MonkeyPatch) -> None:
    for part, file in (("train", "usps.bz2"), ("test", "usps.t.bz2")):
        images, labels = arrays(part, 10, 16)
        values = images.reshape(len(images), -1).astype(float) / 255 * 2 - 1
        rows = [
            f"{label + 1} " + " ".join(f"{number}:{value:.6f}" for number, value in enumerate(row, start=1))
            for label, row in zip(labels, values, strict=True)
        ]
        (root / file).write_bytes(bz2.compress("\n".join(rows).encode()))


def pcam(root: Path, _: pytest.MonkeyPatch) -> None:
    import h5py

    (root / "pcam").mkdir()
    for part in PARTS:
        images, labels = arrays(part, 2, 96)
        start = root / "pcam" / f"camelyonpatch_level_2_split_{part}"
        with h5py.File(f"{start}_x.h5", "w") as file:
            file["x"] = coloured(images).transpose(0, 2, 3, 1)
        with h5py.File(f"{start}_y.h5", "w") as file:
            file["y"] = labels.reshape(-1, 1, 1, 1).astype(np.uint8)


def class_folders(*folders: str, names: tuple[str, str] = ("cat", "dog"), ending: str = ".jpg") -> Callable[..., None]:
    """DIR/CLASS/picture for the training part, and for the test part where a second folder is given."""

    def write(root: Path, _: pytest.MonkeyPatch) -> None:
        for part, number, label in numbered():
            if len(folders) == 2 or part == "train":
                save(root / folders[PARTS.index(part)] / names[label] / f"{number:05d}{ending}", label)

    return write


def gtsrb(root: Path, patch: pytest.MonkeyPatch) -> None:
    rows = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    for part, number, label in numbered():
        if part == "train":
            save(root / f"gtsrb/GTSRB/Training/{label:05d}/{number:05d}.ppm", label)
        else:
            save(root / f"gtsrb/GTSRB/Final_Test/Images/{number:05d}.ppm", label)
            rows.append(f"{number:05d}.ppm;16;12;1;1;2;2;{label}")
    text(root / "gtsrb/GT-final_test.csv", rows)


def sun397(root: Path, _: pytest.MonkeyPatch) -> None:
    text(root / "SUN397/ClassName.txt", ["/a/abbey", "/a/airport"])
    for part, number, label in numbered():
        if part == "train":
            save(root / f"SUN397/a/{('abbey', 'airport')[label]}/sun_{number:05d}.jpg", label)


def food101(root: Path, _: pytest.MonkeyPatch) -> None:
    names: dict[str, dict[str, list[str]]] = {part: {"apple_pie": [], "waffles": []} for part in PARTS}
    for part, number, label in numbered():
        name = ("apple_pie", "waffles")[label]
        names[part][name].append(f"{name}/{number}")
        save(root / f"food-101/images/{name}/{number}.jpg", label)
    for part in PARTS:
        text(root / f"food-101/meta/{part}.json", [json.dumps(names[part])])


def flowers102(root: Path, patch: pytest.MonkeyPatch) -> None:
    both = [(part, label) for part in PARTS for label in labels_of(part, 102)]
    for number, (_, label) in enumerate(both, start=1):
        save(root / f"flowers-102/jpg/image_{number:05d}.jpg", int(label))
    ids = {part: [number for number, one in enumerate(both, start=1) if one[0] == part] for part in PARTS}
    savemat(root / "flowers-102/imagelabels.mat", {"labels": [label + 1 for _, label in both]})
    savemat(root / "flowers-102/setid.mat", {"trnid": ids["train"], "valid": [1], "tstid": ids["test"]})
    files = {
        key: (file, md5(root / "flowers-102" / file))
        for key, file in (("label", "imagelabels.mat"), ("setid", "setid.mat"))
    }
    patch.setattr(torchvision.datasets.Flowers102, "_file_dict", files)


def pets(root: Path, _: pytest.MonkeyPatch) -> None:
    lines: dict[str, list[str]] = {part: [] for part in PARTS}
    for part, number, label in numbered():
        name = f"{('Abyssinian', 'american_bulldog')[label]}_{number}"
        save(root / f"oxford-iiit-pet/images/{name}.jpg", label)
        lines[part].append(f"{name} {label + 1} {label + 1} 1")
    for part, file in (("train", "trainval"), ("test", "test")):
        text(root / f"oxford-iiit-pet/annotations/{file}.txt", lines[part])


def dtd(subset: str) -> Callable[[Path, pytest.MonkeyPatch], None]:
    def write(root: Path, _: pytest.MonkeyPatch) -> None:
        lines: dict[str, list[str]] = {part: [] for part in PARTS}
        for part, number, label in numbered():
            name = f"{('banded', 'dotted')[label]}/{number:04d}.jpg"
            save(root / "dtd/dtd/images" / name, label)
            lines[part].append(name)
        for part in PARTS:
            text(root / f"dtd/dtd/labels/{part}{subset}.txt", lines[part])

    return write


def aircraft(subset: str, file: str) -> Callable[[Path, pytest.MonkeyPatch], None]:
    def write(root: Path, _: pytest.MonkeyPatch) -> None:
        data = root / "fgvc-aircraft-2013b/data"
        lines: dict[str, list[str]] = {part: [] for part in PARTS}
        for part, number, label in numbered():
            save(data / f"images/{number:07d}.jpg", label)
            lines[part].append(f"{number:07d} {('Boeing 707', 'Boeing 737')[label]}")
        for name in ("variants.txt", "families.txt", "manufacturers.txt"):
            text(data / name, ["Boeing 707", "Boeing 737"] if name == file else ["other"])
        for part, name in (("train", "trainval"), ("test", "test")):
            text(data / f"images_{subset}_{name}.txt", lines[part])

    return write


def cars(root: Path, _: pytest.MonkeyPatch) -> None:
    kind = [("fname", object), ("class", object)]
    rows: dict[str, list[tuple[str, int]]] = {part: [] for part in PARTS}
    for part, number, label in numbered():
        save(root / f"stanford_cars/cars_{part}/{number:05d}.jpg", label)
        rows[part].append((f"{number:05d}.jpg", label + 1))
    devkit = root / "stanford_cars/devkit"
    devkit.mkdir()
    savemat(devkit / "cars_meta.mat", {"class_names": np.array(["AM Hummer", "Acura RL"], dtype=object)})
    for part, file in (
        ("train", devkit / "cars_train_annos.mat"),
        ("test", devkit.parent / "cars_test_annos_withlabels.mat"),
    ):
        savemat(file, {"annotations": np.array(rows[part], dtype=kind)})


def places365(subset: str) -> Callable[[Path, pytest.MonkeyPatch], None]:
    def write(root: Path, patch: pytest.MonkeyPatch) -> None:
        lines: dict[str, list[str]] = {part: [] for part in PARTS}
        for part, number, label in numbered():
            name = f"a/{('abbey', 'airport')[label]}/{number:08d}.jpg" if part == "train" else f"{number:08d}.jpg"
            folder = f"data_{subset}_standard" if part == "train" else f"val_{subset}"
            save(root / folder / name, label)
            lines[part].append(f"/{name} {label}" if part == "train" else f"{name} {label}")
        sums = {}
        for part, split, file in (
            ("train", "train-standard", "places365_train_standard.txt"),
            ("test", "val", "places365_val.txt"),
        ):
            text(root / file, lines[part])
            sums[split] = (file, md5(root / file))
        text(root / "categories_places365.txt", ["/a/abbey 0", "/a/airport 1"])
        patch.setattr(torchvision.datasets.Places365, "_FILE_LIST_META", sums)
        meta = ("categories_places365.txt", md5(root / "categories_places365.txt"))
        patch.setattr(torchvision.datasets.Places365, "_CATEGORIES_META", meta)

    return write


def celeba(root: Path, _: pytest.MonkeyPatch) -> None:
    write_celeba(root, persons=20, pictures=3)


WHOLE = {"test_ratio": 0.5}
WRITERS = {  # a name and, after a colon, dataset.subset
    "CelebA": Writer(celeba, 2, {"target": "Smiling"}),
    "CIFAR10": Writer(cifar("CIFAR10", 10), 10),
    "CIFAR100": Writer(cifar("CIFAR100", 100), 100),
    "Country211": Writer(class_folders("country211/train", "country211/test"), 2),
    "DTD": Writer(dtd("1"), 2),
    "DTD:7": Writer(dtd("7"), 2),
    "EMNIST": Writer(emnist("balanced", 47, 0), 47),
    "EMNIST:letters": Writer(emnist("letters", 26, 1), 26),
    "EuroSAT": Writer(class_folders("eurosat/2750"), 2, WHOLE, test_part=False),
    "FashionMNIST": Writer(mnist_like("FashionMNIST"), 10),
    "FGVCAircraft": Writer(aircraft("variant", "variants.txt"), 2),
    "FGVCAircraft:manufacturer": Writer(aircraft("manufacturer", "manufacturers.txt"), 2),
    "Flowers102": Writer(flowers102, 102),
    "Food101": Writer(food101, 2),
    "GTSRB": Writer(gtsrb, 2),
    "KMNIST": Writer(mnist_like("KMNIST"), 10),
    "MNIST": Writer(mnist_like("MNIST"), 10),
    "OxfordIIITPet": Writer(pets, 2),
    "PCAM": Writer(pcam, 2),
    "Places365": Writer(places365("256"), 2),
    "Places365:large": Writer(places365("large"), 2),
    "QMNIST": Writer(qmnist, 10),
    "RenderedSST2": Writer(
        class_folders("rendered-sst2/train", "rendered-sst2/test", names=("negative", "positive"), ending=".png"), 2
    ),
    "StanfordCars": Writer(cars, 2),
    "STL10": Writer(stl10, 10),
    "SUN397": Writer(sun397, 2, WHOLE, test_part=False),
    "SVHN": Writer(svhn, 10),
    "USPS": Writer(usps, 10),
}


# ---------------------------------------------------------------------------------------------------- the table of docs

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
BLOCK = re.compile(r"(<!-- torchvision -->\n).*?(<!-- end -->)", re.DOTALL)


def row(case: str) -> str:
    """What became of the generated files of a set: read and decoded, or the error."""
    reader, _, subset = case.partition(":")
    values = {
        "name": "torchvision",
        "title": reader,
        "source": "torchvision",
        "reader": reader,
        "subset": subset or None,
    }
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        WRITERS[case].write(Path(folder), patch)
        config = DatasetConfig(**values, **WRITERS[case].options, root=folder)
        data = load(config, Path(folder) / "cache", Progress(quiet=True))
        place = SETS[reader]
        read = f"{len(data.class_names)} classes, {len(data.train_labels)} + {len(data.test_labels)} images"
        columns = [*data.attributes.train]
    shown = ", ".join(columns if len(columns) < 5 else [*columns[:1], f"{len(columns) - 1} more"])
    given = " ".join(f"{option}={value}" for option, value in WRITERS[case].options.items())
    extra = " ".join((f"subset={subset}" if subset else "", given)).strip()
    return f"| {reader} | {extra} | {_parts(place)} | {_folders(place)} | {shown} | {read} |"


def _folders(place: TorchvisionSet) -> str:
    """The folders that hold the files; files that lie in dataset.root itself."""
    holding = [name.rpartition("/")[0] + "/" if "/" in name else name for name in place.files]
    return ", ".join(f"`{name}`" for name in dict.fromkeys([*holding, *(f"{folder}/" for folder in place.folders)]))


def _parts(place: TorchvisionSet) -> str:
    names = [", ".join(f"{name}={value}" for name, value in part.items()) for part in place.parts]
    return " / ".join(f"`{name}`" for name in names) if all(names) else "`dataset.test_ratio`"


def table() -> str:
    head = "| dataset.reader | other options | train / test | in dataset.root | attributes | read |\n"
    return head + "|---|---|---|---|---|---|\n" + "".join(f"{row(case)}\n" for case in WRITERS)


if __name__ == "__main__":
    written = table()
    PAGE.write_text(BLOCK.sub(lambda found: found[1] + written + found[2], PAGE.read_text("utf-8")), "utf-8")
