"""`python -m deepunlearn.share export|import|show`."""

from __future__ import annotations

import sys

from deepunlearn.cli import run_main
from deepunlearn.share.command import main

if __name__ == "__main__":
    sys.exit(run_main(main))
