"""What each number of the tables means: the page's tooltips and the table in docs/guide.md."""

from __future__ import annotations

from typing import NamedTuple


class Term(NamedTuple):
    """names: columns that it explains; reference: the value to compare with, and which way is better."""

    names: tuple[str, ...]
    formula: str
    reference: str


TERMS = (
    Term(
        ("RA", "FA", "VA", "TA"),
        "accuracy on the retain, forget, validation and test set",
        "those of the retrained model: closer is better, not higher",
    ),
    Term(
        ("RR", "FR", "TR"),
        "RA(unlearned) / RA(retrained); likewise FA, TA",
        "1: closer is better, from either side",
    ),
    Term(("RetDev",), "abs(RR - 1) + abs(FR - 1) + abs(TR - 1)", "0, the retrained model: lower is closer to it"),
    Term(
        ("MIA",),
        "accuracy of a logistic regression on one loss that tells forget from test samples, 10-fold cross-validated",
        "0.5, chance: closer is better; far below 0.5 also tells the sets apart; †: read MIA_AUC instead",
    ),
    Term(
        ("MIA_AUC",),
        "area under the ROC curve of the loss: share of pairs of a forget and a test sample in which the forget sample "
        "has the lower one; nothing is fitted, so the scale of the losses does not matter",
        "0.5, chance: closer is better",
    ),
    Term(
        ("Disc", "Indisc"),
        "Disc = abs(2 MIA - 1); Indisc = 1 - Disc",
        "Indisc 1: the attack does no better than chance; the retrained model need not reach it; †: as for MIA",
    ),
    Term(
        ("RTE",),
        "seconds of retraining / seconds of unlearning, on the same machine",
        "1 is retraining: higher is faster",
    ),
    Term(("seconds",), "wall time of the unlearning call", "the training time of the retrained model: lower is faster"),
    Term(
        ("moved",),
        "L2 distance of the weights to the original's / L2 norm of the original's",
        '0: nothing happened; neither direction is better; below 1e-5 the table says "did not move", or "moved '
        'statistics alone" where running averages did',
    ),
    Term(
        ("usable",),
        "finite weights and logits, and TA above 1.1 x the share of the commonest test class",
        "all report seeds: a method with fewer is F in that cell",
    ),
    Term(
        ("G1", "G2", "G3", "F"),
        "Ward clusters of the methods' means over seeds in a cell, best to worst; F: failed",
        "G1: indistinguishable from the best by this grouping",
    ),
    Term(
        ("rank",),
        "most cells in G1 first, then G2, then G3; equal counts share a rank",
        "1; its interval is that of 95 % of 1,000 bootstraps over seeds",
    ),
    Term(
        ("accuracy", "balanced", "AUC", "TPR"),
        "of U-LiRA, the per-sample attack: right decisions, area under the ROC curve, true positive rate at a false "
        "positive rate",
        "0.5, 0.5, 0.5 and the false positive rate: what the retrained models have",
    ),
    Term(
        ("norm",),
        "Euclidean norm of a trial's losses: gaps to the retrained accuracies on D_R, D_F, D_V, each / 3; Disc(D_V)",
        "0: lower is better",
    ),
)


def explain(header: str) -> str:
    """What a column header's first words mean, "" where it is no term: "RetDev ↓ (best 0)" -> RetDev's."""
    words = header.replace(",", " ").split()
    term = next((term for word in words[:2] for term in TERMS if word in term.names), None)
    return "" if term is None else f"{', '.join(term.names)}: {term.formula}. Reference: {term.reference}."


def to_markdown() -> str:
    """The table of docs/guide.md."""
    lines = [f"| {', '.join(term.names)} | {term.formula} | {term.reference} |" for term in TERMS]
    return "\n".join(["| | formula | reference value |", "|---|---|---|", *lines])
