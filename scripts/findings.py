"""The ten questions of docs/findings.md, answered from stored records by the rules that were written there before.

    python scripts/findings.py records=DIR[,DIR...] [page=FILE]

Reads records (or whole results folders, or a folder with such folders in it), computes nothing anew and prints
Markdown: a table of the answers, and what each rests on. What is neither agreement nor contradiction is "not decided";
what was not run is "not run".

A run is known by the name of its sweep file. A method counts in a cell where it came to an end on every seed. One that
diverged, failed or is not usable on some seed is not in tests, and comes last in orders.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from findings_answers import Answer, Ask, in_each_cell
from findings_cells import Findings
from findings_methods import at_the_top, ff_in_both_ranges, ga_and_ngplus, newer_beat_the_challenge, order_by_time
from findings_metrics import METRICS, orders_agree
from findings_searches import search_flatters, search_gains
from published import markdown
from record_pages import print_page

from deepunlearn.analysis.records import gather
from deepunlearn.cli import run_main

QUESTIONS: Mapping[str, Ask] = {
    "MSG and CT are at the top in Indisc": at_the_top("Indisc", "msg", "ct"),
    "GA is at the bottom and NG+ is better": in_each_cell(ga_and_ngplus, one_contradicts=True),
    "FF fails in the paper's range, and works in ours": ff_in_both_ranges,
    "FT is a baseline that is hard to beat in RetDev": at_the_top("RetDev", "ft"),
    "RTE falls in the order CT, FT, MSG, KDE, PRMQ, CFW": order_by_time,
    "the order by U-MIA agrees with those by KLoM and Disc_AUC": orders_agree(
        [("Indisc", "KLoM_F"), ("Indisc", "Disc_AUC")], claim_is_agreement=True
    ),
    "the choice of a metric changes the order": orders_agree(list(combinations(METRICS, 2)), claim_is_agreement=False),
    "a search on report seeds flatters the result": search_flatters,
    "a search gains over default values": search_gains,
    "newer methods beat those of the challenge": newer_beat_the_challenge,
}
"""Claim -> what answers it, in the order of docs/findings.md."""


def page_of(found: Findings) -> str:
    """The table of the answers, and what each rests on."""
    answers = [(claim, ask(found)) for claim, ask in QUESTIONS.items()]
    lines = [[str(number), claim, answer.verdict] for number, (claim, answer) in enumerate(answers, 1)]
    return "\n".join([markdown(["", "the claim", "our results"], lines), "", *_reasons(answers)]) + "\n"


def _reasons(answers: Sequence[tuple[str, Answer]]) -> Iterator[str]:
    for number, (claim, answer) in enumerate(answers, 1):
        yield from (f"**{number}. {claim}: {answer.verdict}.**", "", *(f"- {one}" for one in answer.told), "")


def made_of(folders: Sequence[Path]) -> str:
    """The page of the records in `folders`."""
    return page_of(Findings.of(gather(folders)))


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit code."""
    return print_page(arguments, told=__doc__, records="results/findings", page_of=made_of)


if __name__ == "__main__":
    sys.exit(run_main(main))
