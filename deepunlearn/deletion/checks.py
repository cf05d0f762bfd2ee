"""The evidence that a deletion worked: what is asked of the unlearned model, the answers, and what they do not prove.

Three checks have a rule and may fail: whether the model works and moved at all, whether it kept its accuracy, whether
an attack tells the deleted samples from unseen ones. What else is measured is told, and judged by nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from deepunlearn.core.samples import Indices, Labels
from deepunlearn.deletion.intervals import auc, paired_drop, share
from deepunlearn.deletion.report import Check, Estimate, Figure, Limits, Outcome
from deepunlearn.metrics import FOLDS, LEAST_MOVE
from deepunlearn.metrics.accuracy import Floats, losses
from deepunlearn.metrics.counted import Counted
from deepunlearn.metrics.mia import loss_auc
from deepunlearn.metrics.usable import broken_parts, usable

CHANCE = 0.5  # of an attack's AUC


@dataclass(frozen=True)
class Relearnt:
    """Steps of training until the model is right on as many samples as the original was on the deleted ones.

    deleted, twins: None where that was not reached in `most` steps; twins: of as many unseen samples of the same
    classes. why_not: of what was not measured, by the name of the samples.
    """

    deleted: int | None = None
    twins: int | None = None
    most: int = 0
    why_not: Mapping[str, str] | None = None


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the checks are made of.

    before, after: logits [N, K] of the parts retain, forget and held_out of both models; labels [N]; compared, unseen:
    as in `Division`; moved: distance of the weights as a share of their norm; forgotten_classes: that nobody retains.
    """

    before: Mapping[str, Floats]
    after: Mapping[str, Floats]
    labels: Mapping[str, Labels]
    compared: Indices
    unseen: Indices
    forgotten_classes: tuple[int, ...]
    weights_finite: bool
    moved: float
    relearnt: Relearnt

    def hits(self, when: str, part: str) -> np.ndarray:
        """Which samples of a part a model is right on, of retained classes on held-out data; bool [n]."""
        right: np.ndarray = getattr(self, when)[part].argmax(1) == self.labels[part]
        return right[self.counted.retained(self.labels[part])] if part == "held_out" else right

    @property
    def counted(self) -> Counted:
        return Counted(self.forgotten_classes)


def judge(evidence: Evidence, limits: Limits) -> tuple[Check, ...]:
    """All checks, those with a rule first."""
    works = _works(evidence)
    if broken_parts(evidence.after):
        return (works,)  # of outputs that are no numbers nothing else can be said
    return (
        works,
        _accuracy(evidence, limits.accuracy_drop),
        _attack(evidence, limits.attack_auc),
        _deleted(evidence),
        _relearning(evidence),
    )


def failed(checks: Sequence[Check]) -> list[str]:
    """Titles of the checks that were not passed."""
    return [check.title for check in checks if check.outcome == "failed"]


def unusable(logits: Floats, labels: Labels, forgotten_classes: tuple[int, ...]) -> str | None:
    """Why a model cannot be used, by its logits on held-out samples; None where it can."""
    return usable(True, {"test": logits}, labels, Counted(forgotten_classes))[1]


# ------------------------------------------------------------------------------------------------------------- works


def _works(evidence: Evidence) -> Check:
    logits = {"deleted" if name == "forget" else name: values for name, values in evidence.after.items()}
    logits["test"] = logits.pop("held_out")
    good, reason = usable(evidence.weights_finite, logits, evidence.labels["held_out"], evidence.counted)
    still = good and evidence.moved < LEAST_MOVE
    if still:
        reason = "its weights are those of the model as it was given: nothing was unlearned"
    return Check(
        name="works",
        title="Does the model work, and is it another one?",
        outcome="passed" if good and not still else "failed",
        rule=f"weights and outputs are finite, held-out accuracy is above that of naming the commonest class, and the "
        f"weights moved by at least {LEAST_MOVE:g} of their norm",
        found=f"{_capital(reason or f'it works; its weights moved by {evidence.moved:.2g} of their norm')}.",
        figures=(
            Figure(
                name="moved",
                title="how far the weights moved, as a share of their norm",
                kind="share",
                after=Estimate(value=evidence.moved) if np.isfinite(evidence.moved) else None,
                samples=0,
                note=None if np.isfinite(evidence.moved) else "the weights are not finite",
            ),
        ),
        shows="The file holds a model that answers, and not the one that was given.",
        does_not_prove="That the model answers as well as it did, or that it forgot: weights that moved may have "
        "forgotten nothing.",
    )


# ---------------------------------------------------------------------------------------------------------- accuracy


def _accuracy(evidence: Evidence, limit: float) -> Check:
    before, after = evidence.hits("before", "held_out"), evidence.hits("after", "held_out")
    drop = paired_drop(int((before & ~after).sum()), int((after & ~before).sum()), len(before))
    assert drop.high is not None
    whose = " of the classes that are retained" if evidence.forgotten_classes else ""
    return Check(
        name="accuracy",
        title="Is the model as good as it was?",
        outcome="passed" if drop.high <= limit else "failed",
        rule=f"held-out accuracy fell by at most {limit:g}, by the upper end of the 95 % interval",
        found=f"On {len(before)} held-out samples{whose} it went from {before.mean():.3f} to {after.mean():.3f}: "
        f"{_drop_in_words(drop)}.{TOO_WIDE if drop.value <= limit < drop.high else ''}",
        figures=(
            Figure(
                name="held_out_accuracy",
                title=f"accuracy on held-out samples{whose}",
                kind="accuracy",
                before=_accuracy_of(before),
                after=_accuracy_of(after),
                drop=drop,
                samples=len(before),
            ),
            _both(evidence, "retain", "retained_accuracy", "accuracy on retained samples"),
        ),
        shows="How much of what the model could do was lost, on samples that neither it nor the method ever saw.",
        does_not_prove="That each class or group kept its accuracy, or that the model is as good on data unlike these.",
    )


TOO_WIDE = " The drop itself is small enough: more held-out samples would tell whether that is chance."


def _drop_in_words(drop: Estimate) -> str:
    assert drop.low is not None and drop.high is not None
    ends = f"between {_change(drop.low)} and {_change(drop.high)}"
    return f"{_change(drop.value)}; with 95 % confidence it is {ends}"


def _change(drop: float) -> str:
    """Nobody should have to read of a drop below 0."""
    if round(drop, 3) == 0:
        return "no change"
    return f"a drop of {drop:.3f}" if drop > 0 else f"a gain of {-drop:.3f}"


def _both(evidence: Evidence, part: str, name: str, title: str) -> Figure:
    before, after = evidence.hits("before", part), evidence.hits("after", part)
    drop = paired_drop(int((before & ~after).sum()), int((after & ~before).sum()), len(before))
    return Figure(
        name=name,
        title=title,
        kind="accuracy",
        before=_accuracy_of(before),
        after=_accuracy_of(after),
        drop=drop,
        samples=len(before),
    )


def _accuracy_of(hits: np.ndarray) -> Estimate:
    return share(int(hits.sum()), len(hits))


# ------------------------------------------------------------------------------------------------------------ attack

FOUND, NOT_FOUND = "tells them apart", "does not surely tell them apart"


def _attack(evidence: Evidence, limit: float) -> Check:
    members, others = len(evidence.compared), len(evidence.unseen)
    known = min(members, others) >= FOLDS
    before, after = (_attacked(evidence, when) if known else None for when in ("before", "after"))
    outcome: Outcome = "not judged"  # an attack that never found them cannot fail, and so cannot be passed
    if before is not None and after is not None and (_found(before, limit) or _found(after, limit)):
        outcome = "failed" if _found(after, limit) else "passed"
    left_out = len(evidence.labels["forget"]) - members
    return Check(
        name="attack",
        title="Does an attack tell the deleted samples from unseen ones?",
        outcome=outcome,
        rule=f"it told them apart before, and now the 95 % interval of its AUC reaches to within {limit:g} of chance, "
        f"which is {CHANCE}",
        found=_attack_in_words(before, after, limit) if before and after else _too_few(members, others),
        figures=(
            Figure(
                name="attack_auc",
                title="attack by the loss: AUC of deleted against unseen samples of the same classes",
                kind="auc",
                before=before,
                after=after,
                samples=members,
                against=others,
                note="; ".join(_notes(left_out, known)) or None,
            ),
        ),
        shows="Whether somebody who has the model, and a sample with its label, can tell by the loss that the model "
        "was trained on it.",
        does_not_prove="That no other attack tells them apart: stronger ones train many models of their own. With few "
        "samples the interval is wide, and hides all but strong traces.",
    )


def _attacked(evidence: Evidence, when: str) -> Estimate:
    """The AUC of "the lower the loss, the likelier deleted"."""
    logits: Mapping[str, Floats] = getattr(evidence, when)
    sides = [
        losses(logits[part][rows], evidence.labels[part][rows])
        for part, rows in (("forget", evidence.compared), ("held_out", evidence.unseen))
    ]
    return auc(loss_auc(*sides), *map(len, sides))


def _found(area: Estimate, limit: float) -> bool:
    """Whether the attack surely tells them apart; one that is always wrong tells as much as one that is right."""
    assert area.low is not None and area.high is not None
    return area.low > CHANCE + limit or area.high < CHANCE - limit


def _attack_in_words(before: Estimate, after: Estimate, limit: float) -> str:
    earlier, now = _found(before, limit), _found(after, limit)
    values = f"AUC {_with_ends(before)} before, {_with_ends(after)} after"
    if now and after.value < CHANCE:
        return f"It tells them apart the other way round: their losses stand out above those of unseen ones ({values})."
    if now:
        return f"It still {FOUND} ({values})." if earlier else f"It {FOUND} now, and did not before ({values})."
    if earlier:
        return f"It told them apart before, and {NOT_FOUND} now ({values})."
    return f"It {NOT_FOUND}, and did not before either: so it says nothing about the deletion ({values})."


def _with_ends(area: Estimate) -> str:
    return f"{area.value:.3f} (from {area.low:.3f} to {area.high:.3f})"


def _too_few(members: int, others: int) -> str:
    return f"n/a: {members} deleted samples against {others} unseen ones of their classes; it needs {FOLDS} of each."


def _notes(left_out: int, known: bool) -> list[str]:
    notes = [] if known else [f"n/a below {FOLDS} samples on either side"]
    if left_out:
        notes.append(f"{left_out} deleted samples are left out: no held-out sample is of their classes")
    return notes


# -------------------------------------------------------------------------------------------------- told, not judged


def _deleted(evidence: Evidence) -> Check:
    figure = _both(evidence, "forget", "deleted_accuracy", "accuracy on the deleted samples")
    assert figure.before is not None and figure.after is not None
    return Check(
        name="deleted",
        title="What does the model answer for the deleted samples?",
        outcome="not judged",
        rule=None,
        found=f"It went from {figure.before.value:.3f} to {figure.after.value:.3f}; {_expected(evidence)}.",
        figures=(figure, *_alike(evidence)),
        shows="What the model answers now.",
        does_not_prove="That anything was forgotten, or not: a model that never saw a sample may be right on it.",
    )


def _expected(evidence: Evidence) -> str:
    """What a model that never saw the deleted samples would answer."""
    known = "a model that never saw them would be right on about as many as on unseen samples of their classes"
    if not evidence.forgotten_classes:
        return known
    lost = set(evidence.forgotten_classes)
    whole = "a model that never saw a class would be right on none of it"
    return whole if set(evidence.labels["forget"].tolist()) <= lost else f"{known}, and on none of whole classes"


def _alike(evidence: Evidence) -> tuple[Figure, ...]:
    """The accuracy on the unseen samples that match the deleted ones."""
    if not len(evidence.unseen):
        return ()
    hits = {
        when: logits["held_out"][evidence.unseen].argmax(1) == evidence.labels["held_out"][evidence.unseen]
        for when, logits in (("before", evidence.before), ("after", evidence.after))
    }
    return (
        Figure(
            name="unseen_accuracy",
            title="accuracy on unseen samples, their classes in the same proportions",
            kind="accuracy",
            before=_accuracy_of(hits["before"]),
            after=_accuracy_of(hits["after"]),
            samples=len(evidence.unseen),
        ),
    )


def _relearning(evidence: Evidence) -> Check:
    relearnt, samples = evidence.relearnt, len(evidence.labels["forget"])
    named = {
        "deleted": "steps of training on the deleted samples until they are known as before",
        "twins": "the same of as many unseen samples of the same classes",
    }
    notes = dict(relearnt.why_not or {})
    figures = []
    for name, title in named.items():
        steps = getattr(relearnt, name)
        note = notes.get(name) or (f"not reached in {relearnt.most} steps" if steps is None else None)
        after = None if steps is None else Estimate(value=steps)
        figures.append(
            Figure(name=f"relearn_{name}", title=title, kind="steps", after=after, samples=samples, note=note)
        )
    return Check(
        name="relearning",
        title="How soon are the deleted samples learnt again?",
        outcome="not judged",
        rule=None,
        found=_relearnt_in_words(relearnt, notes),
        figures=tuple(figures),
        shows="How much of the deleted samples is left in the weights: less time than unseen samples take is a trace.",
        does_not_prove="That nothing is left where both take as long; and there is no agreed limit for how long it "
        "should take.",
    )


def _relearnt_in_words(relearnt: Relearnt, notes: Mapping[str, str]) -> str:
    if "deleted" in notes:
        return f"{_capital(notes['deleted'])}."
    told = _deleted_relearnt(relearnt.deleted, relearnt.most)
    return f"{told}." if "twins" in notes else f"{told}. {_twins_learnt(relearnt)}."


def _deleted_relearnt(steps: int | None, most: int) -> str:
    if steps is None:
        return f"After {_counted(most)} of training on them the model does not yet know the deleted samples as before"
    if not steps:
        return "They need not be learnt again: without any training the model knows them about as well as before"
    return f"After {_counted(steps)} of training on them the model knows the deleted samples about as well as before"


def _twins_learnt(relearnt: Relearnt) -> str:
    """As many unseen samples of the same classes, beside what the deleted ones took."""
    steps = relearnt.twins
    if steps is None:
        return f"As many unseen samples of their classes are not known as well after {_counted(relearnt.most)}"
    if not steps:
        either = " either" if relearnt.deleted == 0 else ""
        return f"As many unseen samples of their classes need no training{either} to be known as well"
    return f"As many unseen samples of their classes take {_counted(steps)} to be known as well"


def _counted(steps: int) -> str:
    return f"{steps} step" if steps == 1 else f"{steps} steps"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
