"""`python -m deepunlearn.lira`: the U-LiRA experiment, a sweep over halvings with an attack on each sample."""

from __future__ import annotations

import sys

from deepunlearn.cli import run_main
from deepunlearn.ulira.command import main

if __name__ == "__main__":
    sys.exit(run_main(main))
