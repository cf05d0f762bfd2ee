"""A report with everything filled in, for whoever shows one."""

from __future__ import annotations

from deepunlearn.deletion.report import (
    Check,
    Choice,
    DataFacts,
    Estimate,
    Figure,
    Limits,
    MethodFacts,
    ModelFacts,
    Report,
    Request,
    Took,
)

CHECKS = (
    Check(
        name="works",
        title="The model works",
        outcome="passed",
        rule="weights and outputs are finite, and it is right more often than the commonest class would be",
        found="Weights and outputs are finite; it is right on 0.713 of the held-out samples.",
        shows="The file holds a model that can be used.",
        does_not_prove="That it is as good as the model was; the next check looks at that.",
    ),
    Check(
        name="accuracy",
        title="Accuracy on held-out data",
        outcome="passed",
        rule="the upper end of the interval of the drop is at most 0.020",
        found="It went from 0.715 to 0.713: a drop of 0.002, at most 0.009 by its interval.",
        figures=(
            Figure(
                name="held_out_accuracy",
                title="accuracy on held-out samples",
                kind="accuracy",
                before=Estimate(value=0.715, low=0.694, high=0.735),
                after=Estimate(value=0.713, low=0.692, high=0.733),
                drop=Estimate(value=0.002, low=-0.005, high=0.009),
                samples=2000,
            ),
        ),
        shows="How much of what the model could do was lost on data like these.",
        does_not_prove="That no group among the samples lost more than the mean.",
    ),
    Check(
        name="attack",
        title="Can the deleted samples be told from samples that the model never saw?",
        outcome="passed",
        rule="the interval of the attack's AUC reaches to within 0.050 of 0.5, where it is chance",
        found="The attack found them before (0.812) and does not any more (0.548, interval 0.419 to 0.670).",
        figures=(
            Figure(
                name="attack_auc",
                title="attack by the loss",
                kind="auc",
                before=Estimate(value=0.812, low=0.695, high=0.889),
                after=Estimate(value=0.548, low=0.419, high=0.670),
                samples=20,
                against=1800,
            ),
        ),
        shows="That this attack does not find the deleted samples.",
        does_not_prove="That no stronger attack does.",
    ),
    Check(
        name="deleted",
        title="Accuracy on the deleted samples",
        outcome="not judged",
        rule=None,
        found="It went from 1.000 to 0.750.",
        figures=(
            Figure(
                name="deleted_accuracy",
                title="accuracy on the deleted samples",
                kind="accuracy",
                before=Estimate(value=1.0, low=0.832, high=1.0),
                after=Estimate(value=0.75, low=0.509, high=0.913),
                samples=20,
            ),
        ),
        shows="What the model still answers.",
        does_not_prove="That anything was forgotten: a model that never saw them may be right on them, too.",
    ),
    Check(
        name="relearning",
        title="How soon the deleted samples are learnt again",
        outcome="not judged",
        rule=None,
        found="Not measured: relearn=false.",
        figures=(
            Figure(
                name="relearn_steps",
                title="steps of training until the deleted samples are known as before",
                kind="steps",
                samples=20,
                note="not measured: relearn=false",
            ),
        ),
        shows="How much of them is left in the weights.",
        does_not_prove="That nothing is left.",
    ),
)

PASSED = Report(
    made="2026-11-26T22:40:00+00:00",
    outcome="passed",
    request=Request(
        samples=20,
        listed_by="file",
        ids_sha256="a" * 64,
        ids_hashed="sha256 of the sorted names, in UTF-8 with a line feed after each",
        method="auto",
        values={},
        seed=0,
        limits=Limits(accuracy_drop=0.02, attack_auc=0.05, relearn=False),
        classes=10,
        whole_classes=0,
    ),
    data=DataFacts(
        name="folder",
        title="Image folder",
        digest="b" * 64,
        image_size=32,
        classes=10,
        training=4000,
        retained=3980,
        deleted=20,
        held_out=2000,
        validation=0,
        prepared="normalised by mean 0.5, 0.5, 0.5 and standard deviation 0.25, 0.25, 0.25 of each channel",
        remarks=("1 of the deleted samples is among the retained ones too, pixel for pixel",),
    ),
    model=ModelFacts(
        name="torchvision-resnet18",
        title="resnet18 (torchvision)",
        parameters=11_181_642,
        weights_hashed="sha256 of each tensor's name, type, shape and values, sorted by name",
        weights_before="c" * 64,
        weights_after="d" * 64,
        file_before="e" * 64,
        file_after="f" * 64,
    ),
    method=MethodFacts(
        name="ft",
        title="FT",
        paper="Warnecke et al. 2021",
        version=1,
        values={"epochs": 5, "lr": 0.01, "batch_size": 64},
        epochs=5,
        choice=Choice(
            method="ft",
            values={"epochs": 5, "lr": 0.01, "batch_size": 64},
            source=("CIFAR-10, ResNet18, random 1 %: 40 of 4000 samples", "seeds 0-2, search quick, trials 20"),
            points=1.8,
            near="neither near nor far, 1.8 points; what differs: 0.005 of the samples are forgotten, there 0.01 (0.3)",
            order="3 seeds, 1 cell, 20 trials per search: how certain the ranks are cannot be told (it needs 5 seeds).",
            tied=("FT", "MSG"),
            left_out=("SISA needs a record of the model's training",),
            passed_over=("Image folder, SmallNet, random 1 %: not ranked, since 1 seed shows no spread",),
            why="FT and MSG share the best place there, and FT was the fastest of them.",
        ),
    ),
    checks=CHECKS,
    limits=("Copies of the samples elsewhere (backups, caches, other models) are untouched.",),
    seconds=Took(unlearning=41.5, checks=12.25, whole=70.0),
    program={"deepunlearn": "1.0", "commit": "0123456789ab", "torch": "2.9.0", "device": "cpu", "threads": 2},
)

FAILED = PASSED.model_copy(
    update={
        "outcome": "failed",
        "checks": (
            CHECKS[0],
            CHECKS[1].model_copy(update={"outcome": "failed", "found": "It went from 0.715 to 0.512."}),
            *CHECKS[2:],
        ),
        "model": PASSED.model.model_copy(update={"weights_after": None, "file_after": None}),
        "method": PASSED.method.model_copy(update={"choice": None}),
    }
)
