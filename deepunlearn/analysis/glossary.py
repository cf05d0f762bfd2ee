"""What each number of the tables means: the page's tooltips and the table in docs/scores.md."""

from __future__ import annotations

from deepunlearn.core.measure_config import Term
from deepunlearn.metrics.catalogue import BUILT_IN, Catalogue

OTHERS = (  # what is no measure
    Term(
        names=("usable",),
        formula="finite weights and logits, and TA above 1.1 x the share of the commonest test class",
        reference="all report seeds: a method with fewer is F in that cell",
    ),
    Term(
        names=("G1", "G2", "G3", "F"),
        formula="Ward clusters of the methods' means over seeds in a cell, best to worst; F: failed",
        reference="G1: the cluster of the best means; whether its methods differ from the best, "
        "the table of differences tests",
    ),
    Term(
        names=("rank",),
        formula="most cells in G1 first, then G2, then G3; equal counts share a rank",
        reference="1: the best; none is told where methods differ no more than seeds do",
    ),
    Term(
        names=("place",),
        formula="of equal ranks the mean of the places that they share; in brackets the places in 95 % of 1,000 "
        "bootstraps over seeds",
        reference="1: alone at the top; certain where both ends are equal; no interval below 5 seeds",
    ),
    Term(
        names=("accuracy", "balanced", "AUC", "TPR"),
        formula="of U-LiRA, the per-sample attack: right decisions, area under the ROC curve, true positive rate at a "
        "false positive rate",
        reference="0.5, 0.5, 0.5 and the false positive rate: what the retrained models have",
    ),
    Term(
        names=("norm",),
        formula="Euclidean norm of a trial's losses: gaps to the retrained accuracies on D_R, D_F, D_V, each / 3; "
        "Disc(D_V)",
        reference="0: lower is better",
    ),
)


def terms(catalogue: Catalogue = BUILT_IN) -> tuple[Term, ...]:
    return (*catalogue.glossary, *OTHERS)


def explain(header: str, known: tuple[Term, ...]) -> str:
    """What a column header's first words mean, "" where it is no term: "RetDev ↓ (best 0)" -> RetDev's."""
    words = header.replace(",", " ").split()
    term = next((term for word in words[:2] for term in known if word in term.names), None)
    return "" if term is None else f"{', '.join(term.names)}: {term.formula}. Reference: {term.reference}."


def to_markdown() -> str:
    """The table of docs/scores.md."""
    lines = [f"| {', '.join(term.names)} | {term.formula} | {term.reference} |" for term in terms()]
    return "\n".join(["| | formula | reference value |", "|---|---|---|", *lines])
