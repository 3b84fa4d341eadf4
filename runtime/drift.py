"""The drift alarm: some frames of the stream are evaluated again in the reference precision.

The check runs in a thread of its own and never waits: a frame that falls due while the last one is
still being checked is skipped and counted. What checks is passed in, since this room knows neither
onnx nor the verifier.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipdeploy.core.errors import InputError
from lipdeploy.runtime.session import Prediction

Image = npt.NDArray[np.uint8]
Check = Callable[[Image, Prediction], str]
"""Image at the network's size and what was predicted of it, to what is wrong; empty if nothing."""


@dataclass(frozen=True)
class DriftReport:
    """Counts of the drift alarm.

    Attributes:
        every: each how many frames one is checked; 0 where none is.
        checked: frames that were compared.
        skipped: frames that fell due while another was being compared.
        failed: frames that could not be compared.
        alarms: frames on which the model claimed too much, or another class.
        first: what the first alarm said.
    """

    every: int = 0
    checked: int = 0
    skipped: int = 0
    failed: int = 0
    alarms: int = 0
    first: str = ""


class DriftMonitor:
    """Checks every `every`-th frame; after the first alarm nothing more may be claimed.

    Args:
        check: compares one frame.
        every: 1 or more.
        warn: told of the first alarm, and of the first check that failed, in one line each.

    Raises:
        InputError: `every` is below 1.
    """

    def __init__(self, check: Check, every: int, warn: Callable[[str], object]) -> None:
        if every < 1:
            raise InputError(f"audit every is {every}; expected 1 or more")
        self._check, self._warn = check, warn
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[tuple[int, Image, Prediction]] = queue.SimpleQueue()
        self._seen = 0
        self._counts = DriftReport(every=every)
        self._idle = threading.Event()
        self._idle.set()
        threading.Thread(target=self._run, name="drift", daemon=True).start()

    @property
    def reason(self) -> str:
        """`drift` once the model was found to claim too much, else nothing."""
        return "drift" if self.report.alarms else ""

    @property
    def report(self) -> DriftReport:
        """The counts as they are now."""
        with self._lock:
            return self._counts

    def offer(self, index: int, image: Image, prediction: Prediction) -> None:
        """A frame was predicted; takes it where one is due and no other is being checked."""
        due = self._seen % self._counts.every == 0
        self._seen += 1
        if not due:
            return
        if self._idle.is_set():
            self._idle.clear()
            self._work.put((index, image, prediction))
        else:
            self._count(skipped=1)

    def finish(self, seconds: float) -> None:
        """Wait for the check that is under way, but no longer than `seconds`."""
        self._idle.wait(max(0.0, seconds))

    def _run(self) -> None:
        while True:
            index, image, prediction = self._work.get()
            try:
                self._judge(index, self._check(image, prediction))
            except Exception as error:
                self._fail(index, f"{type(error).__name__}: {error}")
            finally:
                self._idle.set()

    def _judge(self, index: int, wrong: str) -> None:
        before = self._count(checked=1, alarms=int(bool(wrong)), first=wrong)
        if wrong and not before.alarms:
            self._say(
                f"WARNING: drift at frame {index}: {wrong}; nothing more is claimed. "
                "Run `lipdeploy verify` on this device, with the engine that streams"
            )

    def _fail(self, index: int, what: str) -> None:
        if not self._count(failed=1).failed:
            self._say(f"WARNING: frame {index} could not be audited ({what})")

    def _say(self, line: str) -> None:
        """Warn; where nobody listens any more (standard error is closed), audits go on."""
        with contextlib.suppress(Exception):
            self._warn(line)

    def _count(
        self, checked: int = 0, skipped: int = 0, failed: int = 0, alarms: int = 0, first: str = ""
    ) -> DriftReport:
        """Add to the counts; returns what they were."""
        with self._lock:
            before = self._counts
            self._counts = DriftReport(
                before.every,
                before.checked + checked,
                before.skipped + skipped,
                before.failed + failed,
                before.alarms + alarms,
                before.first or first,
            )
        return before
