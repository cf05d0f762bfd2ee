"""`deepunlearn.evaluate`: the scores of the default measures of one's own unlearned model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from deepunlearn.core.errors import ConfigError, DataWarning, advising
from deepunlearn.core.seeding import derive_seed32
from deepunlearn.data.given import Data, read_given
from deepunlearn.data.loader import Part
from deepunlearn.given_logits import classes_to_judge
from deepunlearn.given_model import check_weights, copied_model, dtype_of, not_finite, unwrapped
from deepunlearn.library import check_labels, runtime_of
from deepunlearn.metrics.catalogue import BUILT_IN
from deepunlearn.metrics.corrected import CORRECTED
from deepunlearn.metrics.counted import Counted
from deepunlearn.metrics.scores import AGAINST_VAL, RELATIVE, SCORES, score
from deepunlearn.runtime import Runtime
from deepunlearn.stages.unlearning import distances
from deepunlearn.training import predict

ON_VAL = (*(name for name in SCORES if name.startswith("VA")), *AGAINST_VAL)
SAME = (("unseen", "test"),)  # where chance decided who is forgotten, all test samples are like the forgotten ones
DISTANCES = tuple(column.name for one in BUILT_IN.measures if one.name == "distance" for column in one.columns)

Logits = dict[str, npt.NDArray[np.float32]]


def evaluate(
    original: nn.Module,
    unlearned: nn.Module,
    *,
    retain: Data,
    forget: Data,
    unseen: Data,
    test: Data,
    retrained: nn.Module | None = None,
) -> dict[str, Any]:
    """The scores of `unlearned` by name, as a sweep gives them (docs/protocol.md, section 5); None where not defined.

    original: what it was made from; retrained: a model that was trained on retain alone. Without it RR, FR, TR, RetDev,
    gap, ToW and the distances to it are None, and `reason` says so. retain, forget, test: as in `unlearn`; unseen:
    samples that no model was trained on and that are like the forgotten ones, with which the attack compares these. The
    same as test where the forget set was drawn at random; test samples of the class where a class was forgotten.

    Classes of forget that retain has none of count as forgotten whole. usable, reason: whether the model counts, and
    why it does not, or why a score is not defined. Nothing of the caller's is changed; equal models have equal scores.

    Raises ConfigError for models that cannot be judged or do not fit together, DataError for unusable data, Diverged
    where the retrained model's logits are not finite.
    """
    models = {"original": unwrapped(original), "unlearned": unwrapped(unlearned)}
    if retrained is not None:
        models["retrained"] = unwrapped(retrained)
    dtype, runtime = dtype_of(models["original"]), runtime_of(models["original"])
    for name, model in models.items():
        dtype_of(model)
        if name != "unlearned":
            check_weights(model)
    with runtime.visit(dtype), runtime.seeded(0):
        copies = {name: copied_model(model).to(runtime.device, dtype) for name, model in models.items()}
        given = {"retain": retain, "forget": forget, "unseen": unseen, "test": test}
        parts, shared, _ = read_given(given, dtype, 0, runtime, alike=SAME)
        for sentence in shared:
            warnings.warn(sentence, DataWarning, stacklevel=2)
        return _scores(copies, parts, runtime)


def _scores(models: Mapping[str, nn.Module], parts: Mapping[str, Part], runtime: Runtime) -> dict[str, Any]:
    """models: copies on the device; parts: retain, forget, unseen, test."""
    _check_classes(models, parts)
    parts = {"unseen_test" if name == "unseen" else name: part for name, part in parts.items()}
    labels = {name: part.labels.cpu().numpy() for name, part in parts.items()}
    with advising("give a retrained model whose training did not diverge, or leave retrained= out"):
        scores = score(
            _logits(models["unlearned"], parts, runtime),
            _logits(models["retrained"], parts, runtime) if "retrained" in models else None,
            labels,
            derive_seed32("evaluate"),
            weights_finite=not not_finite(models["unlearned"]),
            counted=Counted(forgotten_classes=tuple(np.setdiff1d(labels["forget"], labels["retain"]).tolist())),
        )
    lengths, unlike = _lengths(models)
    bare = None if "retrained" in models else f"no retrained model was given: {', '.join(RELATIVE)} are held against it"
    reasons = [one for one in (scores["reason"], bare, unlike) if one]
    kept = {name: value for name, value in scores.items() if name not in (*ON_VAL, *CORRECTED)}
    return {**kept, **lengths, "reason": "; ".join(reasons) or None}


def _check_classes(models: Mapping[str, nn.Module], parts: Mapping[str, Part]) -> None:
    """Raises ConfigError for models that give no logits or of different numbers, DataError for labels without one."""
    two, _ = next(parts["retain"].blocks(2))
    classes = {name: classes_to_judge(model, two) for name, model in models.items()}
    if len(set(classes.values())) > 1:
        raise ConfigError(
            "the models give different numbers of logits",
            given=", ".join(f"{name}: {number}" for name, number in classes.items()),
            allowed="the same classes for all",
            remedy="give models of one task; one that lost the logits of a forgotten class needs them back, very low",
        )
    for name, part in parts.items():
        check_labels(name, part.labels, classes["original"])


def _logits(model: nn.Module, parts: Mapping[str, Part], runtime: Runtime) -> Logits:
    return {name: predict(model, part, runtime) for name, part in parts.items()}


def _lengths(models: Mapping[str, nn.Module]) -> tuple[dict[str, float | None], str | None]:
    """How far the weights of `unlearned` are from the others', and of which there is no distance."""
    lengths: dict[str, float | None] = dict.fromkeys(DISTANCES)
    unlike = []
    for role in ("original", "retrained"):
        if role not in models:
            continue
        if _shapes(models[role]) != _shapes(models["unlearned"]):
            unlike.append(role)
            continue
        found = distances(models["unlearned"], models[role])
        lengths |= {f"L2_{role}": found["L2_original"], f"L2_{role}_rel": found["L2_original_rel"]}
        if role == "original":
            lengths |= {"moved": found["moved"], "moved_buffers": found["moved_buffers"]}
    lengths = {name: value if value is not None and np.isfinite(value) else None for name, value in lengths.items()}
    told = f"no distance to {' and '.join(unlike)}: other parameters than the unlearned model's" if unlike else None
    return lengths, told


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}
