"""deepunlearn: a benchmark sweep harness for machine unlearning in image classification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepunlearn.library import unlearn

__version__ = "0.1.0"
__all__ = ["__version__", "unlearn"]


def __getattr__(name: str) -> Any:
    """`deepunlearn.unlearn`, imported when it is first used: torch takes seconds."""
    if name != "unlearn":
        raise AttributeError(f"module 'deepunlearn' has no attribute {name!r}")
    from deepunlearn.library import unlearn  # noqa: PLC0415

    return unlearn
