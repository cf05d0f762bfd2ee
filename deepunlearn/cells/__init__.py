"""The keys of one cell: what each result of a dataset x architecture is called. Torch-free, so planning is quick."""

from deepunlearn.cells.choices import CellKeys, hash_of
from deepunlearn.cells.references import REFERENCES, WATCHED_SEED, references_of

__all__ = ["REFERENCES", "WATCHED_SEED", "CellKeys", "hash_of", "references_of"]
