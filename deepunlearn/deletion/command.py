"""`python -m deepunlearn.forget`: a deletion request on a trained model, end to end."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from deepunlearn.analysis.nearness import Setting
from deepunlearn.cli import table, wants_help
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import Value
from deepunlearn.core.progress import Progress, duration
from deepunlearn.data.decoded import Decoded, digest_of, load
from deepunlearn.deletion import page
from deepunlearn.deletion.checks import failed, judge
from deepunlearn.deletion.choice import choose
from deepunlearn.deletion.division import Division, check_retained, divide
from deepunlearn.deletion.facts import Deletion, data_facts, model_facts, report_of
from deepunlearn.deletion.place import JSON, PAGE, WEIGHTS, Place, place_for
from deepunlearn.deletion.report import NOT_SHOWN, Choice, Report, Took
from deepunlearn.deletion.request import (
    ACCURACY_DROP,
    ATTACK_AUC,
    Asked,
    Ids,
    cut_off,
    find_ids,
    read_request,
    with_method,
)

CHECKS_FAILED = 3  # exit code

USAGE = """usage: python -m deepunlearn.forget model=FILE arch=NAME data=DIR ids=FILE out=DIR [NAME=VALUE ...]

Unlearns the samples that a list names from a model that you have trained, checks what that did, and writes the new
weights with a report of it. Nothing is trained anew, and your files stay as they are.
  python -m deepunlearn.forget model=net.pt arch=torchvision arch.model=resnet18 data=photos ids=requests.csv out=done
  python -m deepunlearn.forget model=net.pt arch=resnet18 data=photos ids=requests.csv out=done method=ft plan=true

What it needs
  the weights       a safetensors file, or torch.save(model.state_dict(), FILE); nothing in a file is ever executed
  the network       arch=NAME, with the arguments it was built with; python -m deepunlearn.list arch lists them
  the training data the folder that the model was trained on, whole: DIR/train/CLASS/*.jpg. Images are resized and
                    normalised as in the model's training where you say how: dataset.image_size=, .mean=, .std=
  test data         DIR/test/CLASS/*.jpg, which the model was NOT trained on: all checks rest on them
  the list          a CSV file with a column file (names as train/cat/1.jpg) or id (numbers of training samples, from 0)

What it does
  1. reads everything and refuses what cannot work before any computing; the model must know the test data
  2. unlearns with the method that you name, or method=auto: the one that did best in stored results (results=DIR) of
     the setting nearest to yours; methods that read validation data get a fifth of the test data, which is in no check
  3. checks: does the model work and differ from the old one; what accuracy was lost on held-out data; does an attack
     tell the deleted samples from unseen ones of their classes, before and after; accuracy on the deleted; how many
     steps of training bring them back (relearn=false leaves that out)
  4. writes into out=DIR, which must not be there: model.safetensors, report.json and report.html. Where a check fails
     the reports alone. The reports have no image, name or number of a sample, and hashes of list and weights.

A check that passes is evidence and no proof: the report says of each what it does not prove.
The folder appears whole or not at all. A run that was stopped is started again with the same command.
docs/deletion.md is the guide."""

_WORDS = {
    "data=DIR": "images in class folders; or dataset=NAME dataset.NAME=VALUE, as a sweep has them",
    "arch=NAME, arch.model=, arch.args.NAME=": "the network, as a sweep has it; python -m deepunlearn.list arch",
    "method=auto|NAME": "auto (the default), or a name of python -m deepunlearn.methods",
    "method.params.NAME=VALUE": "a hyper-parameter of the named method; the others have their defaults",
    "results=results": "folders with results of sweeps that method=auto picks from: DIR or [DIR,DIR]",
    "seed=0": "of everything that is drawn at random; equal seeds give equal weights on one machine",
    f"checks.accuracy_drop={ACCURACY_DROP:g}": "held-out accuracy that may be lost, by the end of its 95 % interval",
    f"checks.attack_auc={ATTACK_AUC:g}": "how far from 0.5 (chance) the 95 % interval of the attack's AUC may begin",
    "relearn=true|false": "measure how soon the deleted samples are learnt again, which may take a while",
    "plan=true": "read and check everything, show what would be done and how long it would take, and stop",
    "runtime.device=, runtime.threads=": "where it runs; a GPU where there is one",
    "plugins=DIR, extra_methods=DIR": "folders with methods and networks of your own (docs/adding.md)",
}
_CODES = {
    "0": "done: weights and reports are in out=DIR",
    "1": "the method cannot work on this model, or diverged; nothing is written",
    "2": "something given cannot be used, and the message says what; nothing is written",
    "3": "a check failed: out=DIR has the reports and no weights",
}


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit code: 0, or 3 where a check failed."""
    if wants_help(arguments):
        print("\n\n".join([USAGE, table("options", _WORDS), table("exit codes", _CODES)]))
        return 0
    started = time.monotonic()
    asked = read_request(arguments)
    out, progress = Path(asked.options.out), Progress()
    if asked.options.plan:
        with tempfile.TemporaryDirectory() as cache:
            _plan(_prepared(asked, Path(cache), progress))
        return 0
    with place_for(out) as place:
        deletion = _prepared(asked, place.cache, progress)
        report = _delete(deletion, place, started)
        place.publish()
    _print_end(report, out)
    return 0 if report.passed else CHECKS_FAILED


# -------------------------------------------------------------------------------------------------------- what is done


def _prepared(asked: Asked, cache: Path, progress: Progress) -> Deletion:
    """Raises DeepUnlearnError for whatever is wrong with what was given."""
    cut = cut_off(asked)
    data, digest = load(asked.cell.dataset, cache, progress), digest_of(asked.cell.dataset, cache, progress)
    ids = find_ids(asked, data)
    check_retained(len(data.train_labels) - len(ids.rows), len(data.train_labels))
    method, choice = asked.method, None
    if method is None:
        choice = _choice(asked, data, ids)
        method = with_method(asked, choice.method)
    values = method.complete(choice.values if choice else {})
    validation = "val" in method.reads
    division = divide(data, ids.rows, validation=validation, seed=asked.options.seed, limits=asked.limits)
    from deepunlearn.deletion.work import Work, check_blocks  # noqa: PLC0415  torch takes seconds, and is needed only now
    from deepunlearn.runtime import Runtime  # noqa: PLC0415

    check_blocks(asked.cell, method, values, data)
    runtime = Runtime(asked.runtime).settle()
    work = Work(asked.cell, Path(asked.options.model), data, division, runtime=runtime, progress=progress)
    return Deletion(asked, ids, digest, division, method, values, choice, work, cut)


def _choice(asked: Asked, data: Decoded, ids: Ids) -> Choice:
    retained = np.delete(data.train_labels, ids.rows)
    setting = Setting(
        dataset=asked.cell.dataset.name,
        arch=asked.cell.arch.name,
        classes=len(data.class_names),
        samples=len(data.train_labels),
        forgotten=len(ids.rows),
        whole_classes=bool(np.setdiff1d(data.train_labels, retained).size),
    )
    folders = [Path(folder) for folder in asked.options.results]
    return choose(setting, folders, folders=asked.folders, refuses=partial(_refusal, asked, data))


def _refusal(asked: Asked, data: Decoded, method: MethodConfig, values: Mapping[str, Value]) -> str:
    """Why a method cannot be used with these values on this network, "" where it can."""
    from deepunlearn.deletion.work import check_blocks  # noqa: PLC0415

    try:
        check_blocks(asked.cell, method, values, data)
    except ConfigError as error:
        return f"cannot be used on this network: {error.problem}"
    return ""


def _delete(deletion: Deletion, place: Place, started: float) -> Report:
    """Unlearn, look, judge, and write what is to be there."""
    from deepunlearn.training import save_weights  # noqa: PLC0415

    work, asked = deletion.work, deletion.asked
    model, run = work.unlearn(deletion.method, deletion.values, asked.options.seed)
    since = time.monotonic()
    checks = judge(work.evidence(model, relearning=asked.limits.relearn), asked.limits)
    looked = time.monotonic() - since
    weights = None if failed(checks) else place.results / WEIGHTS
    if weights:
        save_weights(weights, model)
    facts = model_facts(deletion, model, weights)
    took = Took(unlearning=run.seconds, checks=looked, whole=time.monotonic() - started)
    report = report_of(deletion, run, checks, facts, took)
    (place.results / JSON).write_text(report.json_text(), encoding="utf-8")
    (place.results / PAGE).write_text(page.render(report), encoding="utf-8")
    return report


# ------------------------------------------------------------------------------------------------------ what is shown


def _plan(deletion: Deletion) -> None:
    """Print what would be done, and what it would cost."""
    facts, limits, work = data_facts(deletion), deletion.asked.limits, deletion.work
    parameters = sum(one.numel() for one in work.original.parameters())
    costs = work.costs(deletion.method, deletion.values, relearning=limits.relearn)
    values = ", ".join(f"{name}={value}" for name, value in deletion.values.items())
    print(f"delete    {facts.deleted} of {facts.training} training samples of {facts.title}, and retain the others")
    print(f"model     {deletion.asked.cell.arch.title}, {parameters:,} parameters")
    print(f"method    {deletion.method.title}: {values or 'no hyper-parameters'}")
    if deletion.choice:
        print(f"          {deletion.choice.why}")
        print(f"near      {deletion.choice.near}")
        print(f"order     {deletion.choice.order}")
    beside = f"; {facts.validation} more are validation data of the method" if facts.validation else ""
    print(f"checks    on {facts.held_out} held-out samples{beside}; {_attacked(deletion.division)}")
    for remark in facts.remarks:
        print(f"remark    {remark}")
    again = f", learning again at most {duration(costs.relearning)}" if limits.relearn else ""
    print(f"estimate  unlearning {duration(costs.unlearning)}, looking {duration(costs.looking)}{again}")
    print("nothing was written: leave plan=true out to do it")


def _attacked(division: Division) -> str:
    return f"the attack holds {len(division.compared)} deleted samples against {len(division.unseen)} unseen ones"


def _print_end(report: Report, out: Path) -> None:
    for check in report.checks:
        print(f"{check.outcome:<10}  {check.title}: {check.found}")
    for remark in report.data.remarks:
        print(f"remark      {remark}")
    took = duration(report.seconds.whole)
    if report.passed:
        print(f"\nno check failed: the new weights are {out / WEIGHTS}, with {JSON} and {PAGE}. Took {took}.")
        if not report.tells_of_the_deleted:
            print(NOT_SHOWN)
        return
    print(f"\na check failed: there are no new weights; {out} has {JSON} and {PAGE}. Took {took}.")
    print("Give another method or other values (method.params.NAME=), or allow more (checks.NAME=), and another out=.")
