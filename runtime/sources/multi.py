"""Several sources at once: one model sees them in turn, and none waits for another."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Mapping

from lipdeploy.core.errors import SourceError, SourceLostError
from lipdeploy.runtime.sources.frame import Frame, Source
from lipdeploy.runtime.sources.lane import Lane
from lipdeploy.runtime.sources.state import SourceState, states_of


class MultiSource:
    """Frames of several sources in turn, each with its `source_id`; in order within each source.

    Of live sources the newest frame of each is kept; of files every frame. Sources that have no
    frame are passed over. `Frame.index` counts over all of them, and a gap in it is what its source
    lost or what a newer frame replaced; `Frame.name` is `<source_id>/<name at its source>`.

    Raises:
        SourceError: live sources together with files, or videos with single pictures.
    """

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = dict(sources)
        self.live = _alike(sources, "live", "a camera or stream", "a file")
        self.still = _alike(sources, "still", "single pictures", "video")
        self.recorded = all(getattr(s, "recorded", False) for s in sources.values())
        self.fps = sum(source.fps for source in sources.values())
        self._changed = threading.Condition()
        self._lanes = {
            name: Lane(name, source, self._changed) for name, source in self._sources.items()
        }

    def describe(self) -> str:
        """Every source with its name."""
        each = [f"{name}: {source.describe()}" for name, source in self._sources.items()]
        return f"{len(each)} sources; " + "; ".join(each)

    def states(self) -> tuple[SourceState, ...]:
        """One state a source, named after its `source_id`; safe in any thread."""
        return tuple(self._state(name) for name in self._sources)

    def drops(self) -> Mapping[str, int]:
        """Frames of each source that it lost itself or that a newer one replaced here."""
        return {name: lane.missed for name, lane in self._lanes.items()}

    def __iter__(self) -> Iterator[Frame]:
        for lane in self._lanes.values():
            lane.start()
        index = -1
        for lane in self._turns():
            taken = lane.take()
            if taken is None:  # closed meanwhile
                continue
            frame, gap = taken
            index += 1 + gap
            name = f"{lane.name}/{frame.name}"
            yield dataclasses.replace(frame, index=index, name=name, source_id=lane.name)
        self._raise_if_lost()

    def close(self) -> None:
        """Close every source; iterating ends."""
        for lane in self._lanes.values():
            lane.close()

    def _turns(self) -> Iterator[Lane]:
        """The next lane that has a frame, one after the other, until all have ended."""
        lanes = list(self._lanes.values())
        while (first := self._next_ready(lanes)) is not None:
            yield first
            at = lanes.index(first) + 1
            lanes = lanes[at:] + lanes[:at]  # whoever was served is last in the next turn

    def _next_ready(self, lanes: list[Lane]) -> Lane | None:
        with self._changed:
            self._changed.wait_for(lambda: any(each.ready for each in lanes) or _over(lanes))
            return next((each for each in lanes if each.ready), None)

    def _state(self, name: str) -> SourceState:
        lane = self._lanes[name]
        state = dataclasses.replace(states_of(self._sources[name])[0], name=name)
        if lane.error is not None:
            return dataclasses.replace(state, status="lost", last_error=str(lane.error))
        return dataclasses.replace(state, status="ended") if lane.over else state

    def _raise_if_lost(self) -> None:
        """Tell at the end of all: a run that lost a camera must not look complete."""
        lost = {name: lane.error for name, lane in self._lanes.items() if lane.error is not None}
        other = [error for error in lost.values() if not isinstance(error, SourceLostError)]
        if other:
            raise other[0]
        if lost:
            what = "; ".join(f"{name}: {error}" for name, error in lost.items())
            raise SourceLostError(f"{len(lost)} of {len(self._lanes)} sources lost: {what}")


def _over(lanes: list[Lane]) -> bool:
    return all(lane.over for lane in lanes)


def _alike(sources: Mapping[str, Source], what: str, yes: str, no: str) -> bool:
    values = {name: bool(getattr(source, what)) for name, source in sources.items()}
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    one = next(name for name, value in values.items() if value)
    other = next(name for name, value in values.items() if not value)
    raise SourceError(
        f"source {one} is {yes}, source {other} is {no}; run these apart: "
        "late frames are dropped of the one and never of the other"
    )
