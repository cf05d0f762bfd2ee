"""Tables of the page: what links, what opens, and what columns are sorted by."""

from __future__ import annotations

import pandas as pd

from deepunlearn.analysis.glossary import terms
from deepunlearn.analysis.page.sheets import Printer, in_two
from deepunlearn.metrics.catalogue import BUILT_IN

PRINTER = Printer({"FT": "method-ft"}, terms(), BUILT_IN)
SHOWN = pd.DataFrame(
    {
        "method": ["retrained", "FT"],
        "status": ["", ""],
        "RA": ["0.900 ± 0.010", "0.800 ± 0.020 ¹"],
        BUILT_IN["RR"].header: ["1.000 ± 0.000", "0.950 ± 0.010"],
        BUILT_IN["Indisc"].header: ["0.960 ± 0.010", "n/a"],
        "why": ["", "1 <b>reason</b>"],
    }
)


def test_columns_know_what_is_best() -> None:
    headers = {one.text.split()[0]: one for one in PRINTER.of(SHOWN, "x", "X", "").headers}
    assert headers["RR"].ideal == 1.0 and headers["RA"].ideal == 0.9, "the retrained model's is to be met"
    assert headers["Indisc"].ideal is None and headers["Indisc"].first == "down"
    assert "status" not in headers, "it says nothing here"
    assert headers["RR"].under == "(ideal 1)" and "RA(unlearned)" in headers["RR"].tip


def test_methods_link_reasons_open_and_deviations_stand_below() -> None:
    first, second = PRINTER.of(SHOWN, "x", "X", "").lines
    assert (first[0].link, second[0].link) == ("", "method-ft")
    assert (second[1].text, second[1].under) == ("0.800", "± 0.020 ¹")
    assert second[-1].opens and not first[-1].opens


def test_only_a_number_is_parted_from_what_follows() -> None:
    assert in_two("0.961 (> 0.902)") == ("0.961", "(> 0.902)")
    assert in_two("MNIST ResNet18 (limit 2000)") == ("MNIST ResNet18 (limit 2000)", "")
