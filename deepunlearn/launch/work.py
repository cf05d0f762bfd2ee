"""`python -m deepunlearn.launch.work FILE PARENT`: a worker process. Reads tasks from its input, answers with states.

FILE is the configuration of the sweep. PARENT is the process number of the driver that starts it. It is told, not asked
for: a driver may end while its worker still imports, which then would wait for the end of whatever process it was given
to.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from deepunlearn.core import stopping
from deepunlearn.core.progress import Progress
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.runs import load_sweep
from deepunlearn.launch.task import Task
from deepunlearn.launch.worker import Worker
from deepunlearn.runtime import Runtime

PARENT_SECONDS = 1.0  # between looks at whether it lives
ASKED_TO_STOP = 75  # exit code; what is not done is to be done later


def main(file: Path, parent: int) -> int:
    stopping.listen()
    threading.Thread(target=_stop_with, args=(parent,), daemon=True).start()
    sweep, progress = load_sweep(file), Progress()
    worker = Worker(Planner(sweep, progress), Runtime(sweep.runtime).settle(), progress)
    answers = os.dup(1)  # so that whatever prints does not answer
    os.dup2(2, 1)
    try:
        for line in sys.stdin:
            state = worker.run_task(Task.parse(line))
            os.write(answers, f"{state}\n".encode())
    except stopping.Stopped:
        progress.say("asked to stop; what was done is kept")
        return ASKED_TO_STOP
    except BrokenPipeError:
        progress.say("the process that gave out tasks is gone")
    return 0


def _stop_with(parent: int) -> None:
    """Ask this process to stop once its parent is gone: else it would finish its task, maybe hours, for nobody."""
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    os.kill(os.getpid(), signal.SIGUSR2)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), parent=int(sys.argv[2])))
