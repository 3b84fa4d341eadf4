"""Sinks side by side: none stalls, fails or hangs for the others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lipdeploy.core.errors import InputError, LipdeployError
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.session import open_session
from lipdeploy.runtime.sinks.jsonl import JsonlSink
from lipdeploy.runtime.sources import open_source
from lipdeploy.runtime.stream import Stream, StreamOptions, check_options

SCENE = "test://scene?seed=3&duration=1s&size=64x48&fps=20"


class Hanging:
    """A sink that never returns: from `write` or from `close`."""

    wants_overlay = False

    def __init__(self, where: str = "write") -> None:
        self._where = where
        self.released = threading.Event()

    def write(self, result: Result) -> None:
        if self._where == "write":
            self.released.wait(60)

    def describe(self) -> str:
        return "stuck.bin"

    def close(self) -> None:
        if self._where == "close":
            self.released.wait(60)


class Broken:
    """A sink with a bug."""

    wants_overlay = False

    def write(self, result: Result) -> None:
        raise ValueError("no such pixel")

    def describe(self) -> str:
        return "broken.bin"

    def close(self) -> None:
        raise RuntimeError("closing fails as well")


def run(model: Path, address: str, sinks: list[Any], **options: Any) -> Stream:
    with open_session(model) as session:
        stream = Stream(session, open_source(address), sinks, StreamOptions(**options))
        try:
            stream.run()
        except LipdeployError as error:
            stream.caught = error  # type: ignore[attr-defined]
    return stream


def test_a_hanging_sink_is_named_and_the_others_get_everything(
    model_path: Path, recorder: Any
) -> None:
    stuck, good = Hanging(), recorder()
    stream = run(
        model_path, SCENE, [stuck, good], stall_s=0.5, finish_s=5.0, on_sink_error="continue"
    )
    stuck.released.set()
    assert [r.frame.index for r in good.results] == list(range(20))
    assert good.closed == 1
    states = stream.report.sinks
    assert states[0].name == "stuck.bin"
    assert "took nothing for 0.5 s" in states[0].error
    assert (states[1].written, states[1].dropped, states[1].error) == (20, 0, "")
    assert not hasattr(stream, "caught"), "the run goes on and ends with code 0"


@pytest.mark.parametrize("where", ["write", "close"])
def test_a_hanging_sink_ends_the_run_with_a_message(
    model_path: Path, recorder: Any, where: str
) -> None:
    stuck, good = Hanging(where), recorder()
    address = SCENE.replace("1s", "200ms")
    stream: Any = run(model_path, address, [stuck, good], finish_s=0.5)
    stuck.released.set()
    assert "stuck.bin did not finish within 0.5 s" in str(stream.caught)
    assert stream.caught.exit_code == 1
    assert good.closed == 1


def test_a_failing_sink_need_not_end_the_run(model_path: Path, recorder: Any) -> None:
    bad, good = recorder(fails_at=3), recorder()
    stream = run(model_path, SCENE, [bad, good], on_sink_error="continue")
    assert [r.frame.index for r in good.results] == list(range(20))
    assert (bad.closed, good.closed) == (1, 1)
    assert stream.report.sinks[0].error == "the disk is full; free it"
    assert stream.report.sinks[0].written == 3
    assert stream.report.sinks[0].dropped >= 1


def test_a_run_without_any_sink_left_ends(model_path: Path, recorder: Any) -> None:
    bad = [recorder(fails_at=1), recorder(fails_at=2)]
    stream: Any = run(model_path, SCENE.replace("1s", "60s"), bad, on_sink_error="continue")
    assert "the disk is full" in str(stream.caught)


def test_a_bug_in_a_sink_names_the_sink(model_path: Path) -> None:
    stream: Any = run(model_path, SCENE, [Broken()])
    assert "sink broken.bin failed (ValueError: no such pixel)" in str(stream.caught)


def test_what_fails_while_it_runs_was_no_wrong_option(model_path: Path, recorder: Any) -> None:
    """A supervisor tries exit code 1 again, and 2 never."""

    class Rotating(Broken):
        def write(self, result: Result) -> None:
            raise InputError("sink log cannot be written (No space left); name another file")

    stream: Any = run(model_path, SCENE, [Rotating(), recorder()])
    assert type(stream.caught) is LipdeployError
    assert stream.caught.exit_code == 1
    assert "No space left" in str(stream.caught)


def test_a_full_disk(model_path: Path, recorder: Any) -> None:
    full, good = JsonlSink(Path("/dev/full"), ("a", "b", "c")), recorder()
    stream: Any = run(model_path, SCENE, [full, good])
    assert "/dev/full cannot be written (No space left on device)" in str(stream.caught)
    assert stream.caught.exit_code == 1
    assert good.closed == 1


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), LipdeployError("said already")])
def test_an_engine_that_fails_in_the_middle(
    model_path: Path, recorder: Any, error: Exception
) -> None:
    sink = recorder()
    with open_session(model_path) as session:
        infer: Callable[..., Any] = session.infer
        calls = []

        def failing(*args: Any) -> Any:
            calls.append(1)
            if len(calls) == 6:
                raise error
            return infer(*args)

        session.infer = failing  # type: ignore[method-assign, assignment]
        stream = Stream(session, open_source(SCENE), [sink], StreamOptions())
        with pytest.raises(LipdeployError, match=r"out of memory|said already") as caught:
            stream.run()
    assert caught.value.exit_code == 1
    if isinstance(error, RuntimeError):
        assert "failed on frame 5 (RuntimeError: out of memory)" in str(caught.value)
    assert [r.frame.index for r in sink.results] == list(range(5))
    assert sink.closed == 1


def test_unknown_policy() -> None:
    wrong: Any = "ignore"
    with pytest.raises(InputError, match="expected stop or continue"):
        check_options(StreamOptions(on_sink_error=wrong))
