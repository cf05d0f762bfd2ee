"""Keys as they stand in a sweep, for tests."""

from __future__ import annotations

from deepunlearn.core.keys import ReferenceKey, SplitKey

SPLIT = SplitKey(
    data_digest="ab" * 32,
    image_size=32,
    limit=None,
    val_ratio=0.15,
    forget="random",
    forget_ratio=0.1,
    split_seed=123,
    version=1,
)


def reference(**changes: object) -> ReferenceKey:
    fields = {
        "split": SPLIT,
        "role": "original",
        "arch": "resnet18",
        "classes": 10,
        "seed": 0,
        "epochs": 182,
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "batch_size": 256,
        "crop_padding": 4,
        "flip": True,
        "mean": (0.4914, 0.4822, 0.4465),
        "std": (0.2023, 0.1994, 0.2010),
        "precision": "fp32",
        "version": 1,
    }
    return ReferenceKey(**{**fields, **changes})
