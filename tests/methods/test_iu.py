"""IU against the WoodFisher recurrence and a dense solver, over gradients of single samples."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from deepunlearn.composition import load_method
from deepunlearn.core.params import Value
from deepunlearn.data.loader import Part
from deepunlearn.methods import iu
from deepunlearn.methods.base import Problem
from deepunlearn.running import Run, execute
from deepunlearn.testing.small import make_problem, runtime
from tests.methods.oracles import DATA, RETAIN, SEED, flat, gradient_rows, near, run, student_of, trained
from tests.networks import tiny


def plain_influence(net: nn.Module, data: dict[str, Part]) -> Tensor:
    forget, retain = gradient_rows(net, data["forget"]), gradient_rows(net, data["retain"])
    total = len(forget) + len(retain)
    return forget.sum(0) / total - len(forget) / (total * len(retain)) * retain.sum(0)


def plain_woodfisher(rows: Tensor, v: Tensor) -> Tensor:
    n = len(rows)
    k, o = v.clone(), rows[0].clone()
    for g in rows[1:]:
        t = float(o @ g)
        k = k - float(k @ g) / (n + t) * o
        o = o - t / (n + t) * o
    return k


def moved(original: nn.Module, unlearned: nn.Module) -> Tensor:
    """The change of all parameters, in double precision."""
    before = dict(original.named_parameters())
    return flat({name: value.detach() - before[name].detach() for name, value in unlearned.named_parameters()})


@pytest.mark.parametrize("samples", [1, 30, 10_000])
def test_iu_follows_the_woodfisher_recurrence_over_single_samples(samples: int) -> None:
    net, retain = student_of(trained()), DATA["retain"]
    order = torch.randperm(len(retain), generator=torch.Generator().manual_seed(SEED))[:samples]
    rows, v = gradient_rows(net, retain.subset(order)), plain_influence(net, DATA)
    k = plain_woodfisher(rows, v)
    assert samples == 1 or float((k - v).norm() / v.norm()) > 0.01, "the recurrence is to make a difference"
    near(moved(net, run("iu", net, alpha=2.0, samples=samples, solver="recurrence")), 2.0 * k)


def run_on_tiny(**params: Value) -> tuple[nn.Module, Run]:
    here = runtime()

    def problem_of(generator: torch.Generator) -> Problem:
        problem = make_problem(trained(), "smallnet", generator, DATA, here)
        problem.original, problem.model = tiny(), student_of(tiny())
        return problem

    return execute(load_method("iu")(**params), problem_of, here, SEED)


@pytest.mark.parametrize("samples", [20, 10_000])
def test_iu_solves_the_fisher_system_as_a_dense_solver_does(samples: int) -> None:
    order = torch.randperm(RETAIN, generator=torch.Generator().manual_seed(SEED))[:samples]
    rows, v = gradient_rows(tiny(), DATA["retain"].subset(order)), plain_influence(tiny(), DATA)
    matrix = torch.eye(len(v), dtype=torch.float64) + sum(torch.outer(g, g) for g in rows) / len(rows)
    k = torch.linalg.solve(matrix, v)
    assert float((k - v).norm() / v.norm()) > 0.5, "the Fisher matrix is to count"
    unlearned, ran = run_on_tiny(alpha=3.0, samples=samples, solver="cg")
    near(moved(tiny(), unlearned), 3.0 * k)
    assert isinstance(ran.notes["cg_residual"], float) and 0 < ran.notes["cg_residual"] < 1e-4


def test_iu_notes_a_residual_that_its_iterations_did_not_remove(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iu, "MOST_ITERATIONS", 2)
    rows, v = gradient_rows(tiny(), DATA["retain"]), plain_influence(tiny(), DATA)
    unlearned, ran = run_on_tiny(alpha=3.0, samples=10_000, solver="cg")
    k = moved(tiny(), unlearned) / 3.0
    residual = v - k - sum(g * float(g @ k) for g in rows) / len(rows)
    assert ran.notes["cg_residual"] == pytest.approx(float(residual.norm() / v.norm()), rel=1e-2)
    assert ran.notes["cg_residual"] > 0.01


def test_iu_leaves_the_statistics() -> None:
    for solver in ("recurrence", "cg"):
        unlearned, _ = run_on_tiny(alpha=1.0, samples=20, solver=solver)
        assert torch.equal(unlearned.norm.running_mean, tiny().norm.running_mean)
        assert torch.equal(unlearned.norm.running_var, tiny().norm.running_var)
