"""Where everything stands at a time: fixed rows beside the road and moving streams."""

import math
import random
from dataclasses import replace
from functools import lru_cache
from typing import Protocol

from lipdeploy.samples._scene_buildings import Building
from lipdeploy.samples._scene_canvas import Floats, Sketch
from lipdeploy.samples._scene_cars import KIND_COUNT, Car
from lipdeploy.samples._scene_palette import (
    HAIRS,
    LEAVES,
    PAINTS,
    ROOFS,
    SKINS,
    TOPS,
    TROUSERS,
    WALLS,
)
from lipdeploy.samples._scene_people import Person
from lipdeploy.samples._scene_trees import Hedge, Tree
from lipdeploy.samples._scene_view import View
from lipdeploy.samples._scene_world import Light, World, world

_CELL = 14.0  # metres of road per block of fixed things
_REACH = 170.0  # metres ahead that are populated


_STREAMS = ((-1, 1), (-1, -1), (1, 1), (1, -1), (-1, 0), (1, 0))  # side of the road, way
_LANE_SHARE = {1: 0.28, -1: 0.52, 0: 0.78}  # where on the sidewalk a way walks, 0..1
_WALKERS_STEP = 6.0  # metres of sidewalk per person of a stream
_WALKERS_REACH = 75.0  # metres ahead that have people


class Thing(Protocol):
    """Anything that stands on the ground."""

    @property
    def far(self) -> float:
        """Position used to sort from far to near, in metres."""
        ...

    def shadow(self, view: View, light: Light) -> Floats | None:
        """Outline of the shadow on the road, shape (N, 3) in metres, or None."""
        ...

    def sketch(self, view: View, light: Light) -> Sketch | None:
        """Corners and painter, or None when nothing can be seen."""
        ...


def _rng(seed: int, stream: int, cell: int) -> random.Random:
    return random.Random(((seed * 64 + stream) * 1_000_003 + cell) * 2 + 1)


def _building(rng: random.Random, city: float, side: int, start: float, setback: float) -> Building:
    tall = rng.random() < city
    return Building(
        side=side,
        setback=setback + (rng.uniform(0.0, 1.0) if tall else rng.uniform(2.0, 5.0)),
        start=start,
        length=_CELL - (0.05 if tall else rng.uniform(2.5, 5.5)),
        depth=rng.uniform(8.0, 13.0),
        height=rng.choice((9.4, 12.4, 15.4, 18.4)) if tall else rng.choice((3.6, 6.4, 6.4)),
        roof=0.0 if tall else rng.uniform(2.2, 3.6),
        colour=rng.choice(WALLS),
        roof_colour=rng.choice(ROOFS),
        look=rng.randrange(1000),
    )


def _tree(rng: random.Random, lateral: float, along: float, small: bool) -> Tree:
    height = rng.uniform(4.2, 6.2) if small else rng.uniform(6.0, 11.0)
    radius = height * rng.uniform(0.26, 0.36)
    return Tree(lateral, along, height, radius, rng.choice(LEAVES), rng.randrange(8))


def _hedge(rng: random.Random, lateral: float, start: float) -> Hedge:
    return Hedge(
        lateral=lateral,
        start=start,
        length=rng.uniform(5.0, 11.0),
        height=rng.uniform(0.9, 1.5),
        colour=rng.choice(LEAVES),
        variant=rng.randrange(8),
    )


def _car(rng: random.Random, lateral: float, along: float, direction: int, moving: bool) -> Car:
    kind, paint = rng.randrange(KIND_COUNT), rng.choice(PAINTS)
    return Car(lateral, along, direction, kind, paint, moving)


@lru_cache(maxsize=4096)
def _fixed(seed: int, side: int, cell: int) -> tuple[Thing, ...]:
    """Buildings, trees, hedges and parked cars of one cell on one side."""
    place, start = world(seed), cell * _CELL
    rng = _rng(seed, 1 + side, cell)
    grounds = _grounds(place, rng, side, start)
    return (*grounds, *_street_trees(place, rng, side, start), *_parked(place, rng, side, start))


def _grounds(place: World, rng: random.Random, side: int, start: float) -> list[Thing]:
    """What stands behind the sidewalk: a building or trees, perhaps a hedge."""
    outer = place.road.outer
    found: list[Thing] = []
    if rng.random() < 0.62 + 0.3 * place.city:
        found.append(_building(rng, place.city, side, start, outer + 0.6))
    else:
        for _ in range(3):
            lateral = side * (outer + rng.uniform(3.0, 14.0))
            found.append(_tree(rng, lateral, start + rng.uniform(0.0, _CELL), small=False))
    if rng.random() < 0.55 * (1.0 - place.city):
        found.append(_hedge(rng, side * (outer + 0.7), start + 1.0))
    return found


def _street_trees(place: World, rng: random.Random, side: int, start: float) -> list[Thing]:
    road = place.road
    strip = road.half + 0.6 if road.verge else road.outer - 0.1
    return [
        _tree(rng, side * strip, start + slot, small=True)
        for slot in (3.0, 10.0)
        if rng.random() < 0.62 * place.trees
    ]


def _parked(place: World, rng: random.Random, side: int, start: float) -> list[Thing]:
    road = place.road
    cars: list[Thing] = []
    for slot in (3.5, 10.5):
        if rng.random() < place.parked:
            lateral = side * (road.lanes_half + 0.5 * road.parking + rng.uniform(0.0, 0.2))
            along = start + slot + rng.uniform(-0.6, 0.6)
            cars.append(_car(rng, lateral, along, side, moving=False))
    return cars


def _stream_cells(low: float, high: float, step: float) -> range:
    """Cells of `step` metres that a stream has between two positions in metres."""
    return range(math.floor(low / step), math.ceil(high / step))


def _traffic(place: World, view: View, time_s: float) -> list[Thing]:
    """Oncoming cars, cars in the lane beside, and the car ahead."""
    cars: list[Thing] = []
    for lane in range(place.road.lanes):
        cars.extend(_oncoming(place, view, time_s, lane))
        cars.extend(_following(place, view, time_s, lane))
    return cars


def _oncoming(place: World, view: View, time_s: float, lane: int) -> list[Thing]:
    offset = (lane + 0.5) * place.road.lane_width
    shift = -(8.0 + 1.5 * lane) * time_s
    low, high = view.position - 8.0 - shift, view.position + _REACH - shift
    cars: list[Thing] = []
    for cell in _stream_cells(low, high, 16.0):
        rng = _rng(place.seed, 4 + lane, cell)
        if rng.random() < 0.75 * place.oncoming:
            along = cell * 16.0 + rng.uniform(3.0, 13.0) + shift
            cars.append(_car(rng, -offset, along, -1, moving=True))
    return cars


def _following(place: World, view: View, time_s: float, lane: int) -> list[Thing]:
    """Cars that drive the same way, at gaps that sway slowly."""
    offset = (lane + 0.5) * place.road.lane_width
    ahead = abs(offset - view.lateral) < 1.0
    gap = place.leader * (0.75 if ahead else 0.35)
    sway = 2.2 * math.sin(0.35 * time_s + place.seed) + (0.0 if ahead else 0.9 * time_s % 26.0)
    cars: list[Thing] = []
    for step in range(3 if place.crossing and ahead else 0, 5):
        rng = _rng(place.seed, 8 + lane, step)
        along = view.position + gap + step * 26.0 + sway
        if rng.random() < (0.95 if step == 0 else 0.45):
            cars.append(_car(rng, offset, along, 1, moving=True))
    return cars


def _person(
    rng: random.Random, lateral: float, along: float, direction: tuple[float, float], walked: float
) -> Person:
    return Person(
        lateral=lateral,
        far=along,
        height=rng.uniform(1.58, 1.9) if rng.random() < 0.88 else rng.uniform(1.15, 1.4),
        across=direction[0],
        along=direction[1],
        walked=walked + rng.uniform(0.0, 1.4),
        walking=walked != 0.0,
        top=rng.choice(TOPS),
        legs=rng.choice(TROUSERS),
        skin=rng.choice(SKINS),
        hair=rng.choice(HAIRS),
        coat=rng.random() < 0.3,
        bag=rng.random() < 0.25,
    )


def _walkers(place: World, view: View, time_s: float) -> list[Thing]:
    """People on both sidewalks, walking both ways or standing."""
    people: list[Thing] = []
    for index, (_, way) in enumerate(_STREAMS):
        shift = way * (1.15 + 0.09 * index) * time_s
        low = view.position - shift
        for cell in _stream_cells(low, low + _WALKERS_REACH, _WALKERS_STEP):
            person = _walker(place.seed, index, cell)
            if person is None:
                continue
            along = person.far + shift
            if along - view.position <= _WALKERS_REACH:
                walked = abs(shift) + person.walked
                people.append(replace(person, far=along, walked=walked, walking=shift != 0.0))
    return people


@lru_cache(maxsize=4096)
def _walker(seed: int, stream: int, cell: int) -> Person | None:
    """Person of one cell of a stream as it stands at time 0, or None."""
    place = world(seed)
    rng = _rng(seed, 16 + stream, cell)
    side, way = _STREAMS[stream]
    if rng.random() > (0.85 if way else 0.3) * place.walkers:
        return None
    lateral = side * (place.road.walk + place.road.sidewalk * _LANE_SHARE[way])
    along = cell * _WALKERS_STEP + rng.uniform(1.0, _WALKERS_STEP - 1.0)
    facing = (0.0, float(way)) if way else (float(-side), 0.0)
    return _person(rng, lateral, along, facing, 0.0)


def crossings(place: World, view: View) -> tuple[float, ...]:
    """Positions of the zebra crossings ahead.

    Args:
        place: The world.
        view: The camera.

    Returns:
        Positions along the road in metres; empty when the world has none.
    """
    if not place.crossing:
        return ()
    first = math.floor(view.position / 45.0)
    return tuple(45.0 * cell + 20.0 for cell in range(first, first + 3))


def _crossers(place: World, view: View, time_s: float) -> list[Thing]:
    """People who cross on a zebra and reach the far kerb before the camera does."""
    people: list[Thing] = []
    for spot in crossings(place, view):
        arrival = (spot - place.start) / place.speed
        for member in range(3):
            rng = _rng(place.seed, 32 + member, int(spot))
            side = rng.choice((-1, 1))
            reach = place.road.half + 1.2
            pace = 1.35 + 0.1 * member
            left = arrival - time_s - 7.5 / place.speed - 0.8 * member
            progress = 2.0 * reach - pace * left
            if rng.random() < 0.8 and 0.0 <= progress <= 2.0 * reach:
                lateral = side * (progress - reach)
                along = spot + rng.uniform(-1.1, 1.1)
                people.append(_person(rng, lateral, along, (float(side), 0.0), progress + 0.01))
    return people


def things(place: World, view: View, time_s: float) -> list[Thing]:
    """Everything ahead of the camera, sorted from far to near.

    Args:
        place: The world.
        view: The camera.
        time_s: Time since the start of the drive in seconds.

    Returns:
        Things to paint in this order.
    """
    found: list[Thing] = []
    first = math.floor(view.position / _CELL) - 1
    for cell in range(first, first + math.ceil(_REACH / _CELL) + 1):
        for side in (-1, 1):
            found.extend(_fixed(place.seed, side, cell))
    found.extend(_traffic(place, view, time_s))
    found.extend(_walkers(place, view, time_s))
    found.extend(_crossers(place, view, time_s))
    ahead = [thing for thing in found if thing.far > view.position + 1.0]
    return sorted(ahead, key=lambda thing: -thing.far)
