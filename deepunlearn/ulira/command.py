"""What `python -m deepunlearn.lira` does: a sweep over halvings, then the attack on each sample, then its table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deepunlearn import sweep
from deepunlearn.analysis import render, ulira_results, verdict_results
from deepunlearn.analysis.agreement import agreement_tables
from deepunlearn.analysis.records import attack_table, verdict_table
from deepunlearn.cli import wants_help
from deepunlearn.config import read_command
from deepunlearn.config.hydra_flags import read_flags
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.progress import Progress
from deepunlearn.forget.halves import HalvesForget
from deepunlearn.launch.plan import Planner
from deepunlearn.ulira.attack_stage import Attacks

DESIGN = "forget=halves"
USAGE = """usage: python -m deepunlearn.lira [sweep=ulira_small] [GROUP=OPTION ...] [NAME=VALUE ...]

How well can an attacker tell, for each sample, a model that unlearned it from one that never saw it? Trains originals
on halvings of the data and retrained models without each forget set, searches, unlearns, attacks; what is stored is
not computed again, and the same command goes on after a stop.
  python -m deepunlearn.lira sweep=ulira_small plan=true
  python -m deepunlearn.lira sweep=ulira_small dataset.download=true
  python -m deepunlearn.lira sweep=ulira launcher=slurm

  forget.halvings=16   even; each sample is trained on, and forgotten once, in half of them: at least 12
  forget.parts=5       disjoint forget sets per halving
  search.seeds=4       halvings that hyper-parameters are searched on (their first forget set)

Everything else is as in python -m deepunlearn.sweep --help; seeds= is the design's. Results: tables here, and with
figures in python -m deepunlearn.tables and python -m deepunlearn.report."""


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit code."""
    if wants_help(arguments):
        print(USAGE)
        return 0
    arguments = [argument for argument in arguments if argument != DESIGN]
    for argument in arguments:
        if argument.startswith("forget="):
            raise ConfigError("U-LiRA has its own forget sets", given=argument, allowed=DESIGN, remedy="leave it out")
    if read_flags(arguments).shows:
        return sweep.main([*arguments, DESIGN])
    command = read_command([*arguments, DESIGN])
    if command.nearest:
        raise ConfigError(
            "no stored search is near a design of U-LiRA, which forgets halves",
            given="hparams=nearest",
            allowed="hparams=FILE",
            remedy="give the hparams.yaml of a run, or leave it out, for a search",
        )
    planner = Planner(command.sweep, Progress(), only_plan=command.flags.plan)
    for cell in range(len(planner.sweep.cells)):
        describe(planner, cell)
    code = sweep.main([*arguments, DESIGN])
    if not command.flags.plan:
        for cell in range(len(planner.sweep.cells)):
            for name, missing in Attacks(planner, cell).run().items():
                print(f"{name} is not attacked yet: {missing} of its models are missing; the same command goes on")
        show(planner)
    return code


def describe(planner: Planner, cell: int) -> None:
    """Print how large the design is."""
    config = planner.sweep.cells[cell]
    assert isinstance(config.forget, HalvesForget)
    design, sizes = config.forget, planner.sizes(cell)
    unlearned = design.models * len(planner.methods)
    print(
        f"{config.name}: {design.halvings} halvings x {design.parts} forget sets of {sizes['forget']}; "
        f"{design.halvings} originals, {design.models} retrained and {unlearned} unlearned models; "
        f"each sample is forgotten in {design.halvings // 2} and never seen in {design.halvings // 2 * design.parts} "
        f"models of a method",
        flush=True,
    )


def show(planner: Planner) -> None:
    """Print the tables of this command's cells."""
    own, results = {keys.cell_key.short for keys in planner.keys}, Path(planner.sweep.results)
    attacks = attack_table([line for line in ulira_results.collect(results) if line["cell"] in own])
    verdicts = verdict_table([line for line in verdict_results.collect(results) if line["cell"] in own])
    for table in (
        *ulira_results.attack_tables(attacks, ""),
        *verdict_results.verdict_tables(verdicts, attacks, ""),
        *agreement_tables(attacks, verdicts, ""),
    ):
        print(render.to_markdown(table))
