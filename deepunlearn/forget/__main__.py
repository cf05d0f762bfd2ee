"""`python -m deepunlearn.forget`: what a list names is deleted from a trained model (`deepunlearn.deletion`)."""

import sys

from deepunlearn.cli import run_main
from deepunlearn.deletion.command import main

if __name__ == "__main__":
    sys.exit(run_main(main))
