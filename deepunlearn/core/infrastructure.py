"""What is no method's fault: errors of the machine, its files, its storage and its settings. The one rule for it.

A task that ends by such an error was not run. It never makes a method F, tables miss its rows, and the next command of
its sweep does it again by itself. `RULES` has them all; what no rule names is the method's own: a diverged training, a
method that is not applicable, a search without a completed trial, a TypeError, a failed assertion. An error that was
raised `from` another is judged by that one, too. Errors are told by name and message, so that this needs no torch, and
holds for the notes of earlier versions.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterator
from typing import NamedTuple


class Rule(NamedTuple):
    """names: of classes, one of which the error has; pattern: what its message contains (a regular expression).

    remedy: what helps; "" where such errors say it themselves. scarce: the machine ran out of something, so that it is
    no mistake of this program wherever it occurs.
    """

    names: frozenset[str]
    pattern: str
    remedy: str
    scarce: bool = True


_TORCH = frozenset({"RuntimeError", "AcceleratorError"})
_OWN_METHODS = frozenset({"Diverged", "NotApplicable", "SearchFailed", "Stopped", "MeasureFailed"})
_KERNEL_ASSERT = "device-side assert"  # a CUDA error that is the code's own, e.g. an index out of range

_GPU_MEMORY = (
    "use smaller batches (method.params.batch_size=, dataset.max_batch_size=, train.batch_size=) or fewer processes "
    "on one GPU (launcher.workers_per_gpu=1), or end what else uses the GPU"
)
_MEMORY = "use fewer processes beside each other (launcher.workers=) or smaller batches, or a machine with more memory"
_DISK = "make room (or raise the quota or the limit on file sizes), or keep results elsewhere with results=DIR"
_HANDLES = "raise the limit on open files (ulimit -n), or use fewer processes (launcher.workers=)"
_DEVICE = "look whether the GPU and its driver work (nvidia-smi); then run the same command again"
_STORAGE = "look whether the storage of the search can be reached and written (search.storage, free space)"
_DIED = (
    "see the workers' logs; SIGKILL is most often the system's, out of memory: use fewer processes (launcher.workers=, "
    "launcher.workers_per_gpu=) or smaller batches"
)
_FILES = "look whether the file is there and can be read and written"
_PACKAGE = "install the package that is missing"

RULES = (
    Rule(frozenset({"OutOfMemoryError"}), "", _GPU_MEMORY),
    Rule(_TORCH, r"(CUDA|CUBLAS|CUDNN|cuDNN|HIP).*(out of memory|ALLOC_FAILED)", _GPU_MEMORY),
    Rule(_TORCH, r"can't allocate memory|[Cc]annot allocate memory|std::bad_alloc", _MEMORY),
    Rule(_TORCH, r"(CUDA|CUBLAS|CUDNN|cuDNN|cuBLAS|NCCL|HIP)[ _](driver )?(error|STATUS)", _DEVICE),
    Rule(_TORCH, r"DataLoader worker .*(killed|exited)", _DIED),
    Rule(frozenset({"MemoryError"}), "", _MEMORY),
    Rule(
        frozenset({"OSError", "SafetensorError"}),
        r"No space left|[Qq]uota|File too large|Read-only file system|Input/output error",
        _DISK,
    ),
    Rule(frozenset({"OSError", "SafetensorError"}), r"Too many open files", _HANDLES),
    Rule(frozenset({"OSError"}), r"Cannot allocate memory", _MEMORY),
    Rule(frozenset({"StorageInternalError", "DBAPIError", "OperationalError"}), "", _STORAGE),
    Rule(frozenset({"WorkerDied"}), "", _DIED),
    Rule(frozenset({"OSError"}), "", _FILES, scarce=False),
    Rule(frozenset({"SafetensorError"}), r"os error|I/O error|IoError", _FILES, scarce=False),
    Rule(frozenset({"ImportError"}), "", _PACKAGE, scarce=False),
    Rule(frozenset({"DataError", "MissingData", "StoreError", "ConfigError"}), "", "", scarce=False),
)


def infrastructure(error: BaseException) -> Rule | None:
    """The rule by which `error` is no method's fault; None where it is one, or a defect of this program."""
    return next((rule for one in _chain(error) if (rule := _judge(_names(type(one)), str(one)))), None)


def rule_of_note(error: str, message: str) -> Rule | None:
    """The same of a failure note, which has an error's name and message."""
    known = getattr(builtins, error, None)
    names = _names(known) if isinstance(known, type) else frozenset({error})
    return _judge(names, message)


def _judge(names: frozenset[str], message: str) -> Rule | None:
    if names & _OWN_METHODS or _KERNEL_ASSERT in message:
        return None
    return next((rule for rule in RULES if names & rule.names and re.search(rule.pattern, message)), None)


def _names(kind: type) -> frozenset[str]:
    return frozenset(one.__name__ for one in kind.__mro__)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """`error`, unless it says by itself whose fault it is, what it was raised from, and so on."""
    while error is not None:
        yield error
        error = None if _names(type(error)) & _OWN_METHODS else error.__cause__
