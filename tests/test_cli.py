"""How commands end that are asked to."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from deepunlearn.cli import run_main

WAITS = """
import sys, time
from deepunlearn.cli import run_main

def main(arguments):
    print("at work", flush=True)
    time.sleep(60)

sys.exit(run_main(main, []))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_who_is_asked_to_end_says_how_to_go_on(number: signal.Signals, code: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        process.send_signal(number)
        _, words = process.communicate(timeout=60)
    assert process.returncode == code
    assert words == "\nstopped; nothing stored is lost. Run the same command to go on.\n"


def test_who_calls_a_command_keeps_its_own_way_to_end() -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert run_main(lambda _: int(signal.getsignal(signal.SIGTERM) == before), []) == 0, "a command has one of its own"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_command_may_run_in_a_thread() -> None:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(run_main(lambda _: 7, [])))
    thread.start()
    thread.join()
    assert codes == [7]
