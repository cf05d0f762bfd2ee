"""deepunlearn: a benchmark sweep harness for machine unlearning in image classification."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepunlearn.judgement import evaluate
    from deepunlearn.library import unlearn

__version__ = "0.2.0"
__all__ = ["__version__", "evaluate", "unlearn"]
_HOME = {"evaluate": "deepunlearn.judgement", "unlearn": "deepunlearn.library"}


def __getattr__(name: str) -> Any:
    """`deepunlearn.unlearn` and `evaluate`, imported when they are first used: torch takes seconds."""
    if name not in _HOME:
        raise AttributeError(f"module 'deepunlearn' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
