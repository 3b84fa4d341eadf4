"""One process for each run of a sweep, so that a crash or a kill takes no other run with it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

from lipdeploy.training.sweep import Run

LOG = "train.log"


class TrainProcesses:
    """Launches `lipdeploy train` for runs and stops what is running.

    Attributes:
        extra: options that do not change the result, such as `--threads 2`.
    """

    def __init__(self, extra: tuple[str, ...] = ()) -> None:
        self.extra = extra
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def __call__(self, run: Run) -> int:
        """Train `run` to its end, or on from its last.pt; its words go to train.log."""
        run.folder.mkdir(parents=True, exist_ok=True)
        with (run.folder / LOG).open("ab") as log:
            process = self._start(self._command(run), log.fileno())
            if process is None:
                return 0
            try:
                return process.wait()
            finally:
                self._running.discard(process)

    def stop(self) -> None:
        """Ask what is running to save and end; nothing starts any more. Safe in a handler."""
        self._stopped = True
        for process in tuple(self._running):
            process.send_signal(signal.SIGTERM)

    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def _command(self, run: Run) -> list[str]:
        place = ("--project", str(run.folder.parent), "--name", run.folder.name)
        resume = ("--resume",) if (run.folder / "last.pt").is_file() else ()
        program = (sys.executable, "-m", "lipdeploy", "train")
        return [*program, *run.arguments, *self.extra, *place, *resume]

    def _start(self, command: list[str], log: int) -> subprocess.Popen[bytes] | None:
        """The process, or None after a stop; a stop during the start still reaches it."""
        with self._lock:
            if self._stopped:
                return None
            # A session of its own: the Ctrl-C of a terminal comes once, through `stop`.
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
            self._running.add(process)
            if self.stopped():
                process.send_signal(signal.SIGTERM)
            return process
