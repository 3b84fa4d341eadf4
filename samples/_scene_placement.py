"""Where everything stands at a time: fixed rows beside the road and moving streams."""

import math
import random
from functools import lru_cache
from typing import Protocol

from lipdeploy.samples._scene_buildings import Building
from lipdeploy.samples._scene_canvas import Canvas, Colour, Floats
from lipdeploy.samples._scene_cars import KIND_COUNT, Car
from lipdeploy.samples._scene_people import Person
from lipdeploy.samples._scene_trees import Hedge, Tree
from lipdeploy.samples._scene_view import View
from lipdeploy.samples._scene_world import Light, World, world

_CELL = 14.0  # metres of road per block of fixed things
_REACH = 170.0  # metres ahead that are populated

_WALLS: tuple[Colour, ...] = ((186, 174, 154), (170, 150, 132), (152, 112, 94), (196, 190, 180), (142, 140, 138), (178, 160, 120), (130, 92, 78), (160, 168, 172), (204, 192, 164))  # fmt: skip
_ROOFS: tuple[Colour, ...] = ((122, 72, 58), (96, 84, 80), (84, 88, 94), (136, 86, 66))
_GREENS: tuple[Colour, ...] = ((84, 110, 54), (96, 116, 58), (70, 98, 56), (112, 120, 60), (88, 104, 64), (128, 112, 58))  # fmt: skip
_PAINTS: tuple[Colour, ...] = ((196, 198, 200), (42, 44, 48), (116, 120, 124), (226, 226, 222), (140, 34, 34), (44, 66, 112), (78, 82, 86), (58, 82, 72), (164, 152, 130), (96, 128, 158))  # fmt: skip
_TOPS: tuple[Colour, ...] = ((52, 58, 78), (128, 44, 44), (88, 92, 96), (62, 86, 70), (188, 178, 160), (148, 112, 62), (70, 96, 132), (200, 200, 198), (40, 40, 44), (164, 132, 60))  # fmt: skip
_TROUSERS: tuple[Colour, ...] = ((44, 52, 74), (52, 50, 50), (98, 88, 74), (70, 80, 100), (34, 34, 38))
_SKINS: tuple[Colour, ...] = ((216, 172, 146), (190, 144, 116), (138, 98, 74), (98, 68, 52))
_HAIRS: tuple[Colour, ...] = ((46, 36, 30), (88, 64, 44), (150, 122, 84), (28, 26, 26), (140, 138, 136))


class Thing(Protocol):
    """Anything that stands on the ground."""

    @property
    def far(self) -> float:
        """Position used to sort from far to near, in metres."""
        ...

    def shadow(self, view: View, light: Light) -> Floats | None:
        """Outline of the shadow on the ground in pixels, or None."""
        ...

    def draw(self, canvas: Canvas, view: View, light: Light) -> None:
        """Paint the thing."""
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
        colour=rng.choice(_WALLS),
        roof_colour=rng.choice(_ROOFS),
        look=rng.randrange(1000),
    )


def _tree(rng: random.Random, lateral: float, along: float, small: bool) -> Tree:
    height = rng.uniform(4.2, 6.2) if small else rng.uniform(6.0, 11.0)
    return Tree(lateral, along, height, height * rng.uniform(0.26, 0.36), rng.choice(_GREENS), rng.randrange(8))  # fmt: skip


@lru_cache(maxsize=4096)
def _fixed(seed: int, side: int, cell: int) -> tuple[Thing, ...]:
    """Buildings, trees, hedges and parked cars of one cell on one side."""
    place, start = world(seed), cell * _CELL
    road, rng = place.road, _rng(seed, 1 + side, cell)
    things: list[Thing] = []
    if rng.random() < 0.62 + 0.3 * place.city:
        things.append(_building(rng, place.city, side, start, road.outer + 0.6))
    else:
        for _ in range(3):
            lateral = side * (road.outer + rng.uniform(3.0, 14.0))
            things.append(_tree(rng, lateral, start + rng.uniform(0.0, _CELL), small=False))
    if rng.random() < 0.55 * (1.0 - place.city):
        hedge = Hedge(side * (road.outer + 0.7), start + 1.0, rng.uniform(5.0, 11.0), rng.uniform(0.9, 1.5), rng.choice(_GREENS), rng.randrange(8))  # fmt: skip
        things.append(hedge)
    strip = road.half + 0.6 if road.verge else road.outer - 0.1
    for slot in (3.0, 10.0):
        if rng.random() < 0.62 * place.trees:
            things.append(_tree(rng, side * strip, start + slot, small=True))
    things.extend(_parked(place, rng, side, start))
    return tuple(things)


def _parked(place: World, rng: random.Random, side: int, start: float) -> list[Thing]:
    road = place.road
    cars: list[Thing] = []
    for slot in (3.5, 10.5):
        if rng.random() < place.parked:
            lateral = side * (road.lanes_half + 0.5 * road.parking + rng.uniform(0.0, 0.2))
            along = start + slot + rng.uniform(-0.6, 0.6)
            cars.append(Car(lateral, along, side, rng.randrange(KIND_COUNT), rng.choice(_PAINTS), moving=False))  # fmt: skip
    return cars


def _stream_cells(position: float, shift: float, step: float, back: float) -> range:
    """Cells of a stream moved by `shift` metres that lie ahead of a position."""
    first = math.floor((position - back - shift) / step)
    return range(first, math.ceil((position + _REACH - shift) / step))


def _traffic(place: World, view: View, time_s: float) -> list[Thing]:
    """Oncoming cars, cars in the lane beside, and the car ahead."""
    road = place.road
    cars: list[Thing] = []
    for lane in range(road.lanes):
        offset = (lane + 0.5) * road.lane_width
        shift = -(8.0 + 1.5 * lane) * time_s
        for cell in _stream_cells(view.position, shift, 16.0, 8.0):
            rng = _rng(place.seed, 4 + lane, cell)
            if rng.random() < 0.75 * place.oncoming:
                along = cell * 16.0 + rng.uniform(3.0, 13.0) + shift
                cars.append(Car(-offset, along, -1, rng.randrange(KIND_COUNT), rng.choice(_PAINTS), moving=True))  # fmt: skip
        ahead = abs(offset - view.lateral) < 1.0
        cars.extend(_following(place, view, time_s, lane, ahead))
    return cars


def _following(place: World, view: View, time_s: float, lane: int, ahead: bool) -> list[Thing]:
    offset = (lane + 0.5) * place.road.lane_width
    gap = place.leader
    sway = 2.2 * math.sin(0.35 * time_s + place.seed) + (0.0 if ahead else 0.9 * time_s % 26.0)
    cars: list[Thing] = []
    for step in range(5):
        rng = _rng(place.seed, 8 + lane, step)
        along = view.position + gap * (0.75 if ahead else 0.35) + step * 26.0 + sway
        if place.crossing and ahead and step < 3:
            continue
        if rng.random() < (0.95 if step == 0 else 0.45):
            cars.append(Car(offset, along, 1, rng.randrange(KIND_COUNT), rng.choice(_PAINTS), moving=True))  # fmt: skip
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
        top=rng.choice(_TOPS),
        legs=rng.choice(_TROUSERS),
        skin=rng.choice(_SKINS),
        hair=rng.choice(_HAIRS),
        coat=rng.random() < 0.3,
        bag=rng.random() < 0.25,
    )


def _walkers(place: World, view: View, time_s: float) -> list[Thing]:
    """People on both sidewalks, walking both ways or standing."""
    road = place.road
    people: list[Thing] = []
    for index, (side, way) in enumerate(((-1, 1), (-1, -1), (1, 1), (1, -1), (-1, 0), (1, 0))):
        speed = way * (1.15 + 0.09 * index)
        shift = speed * time_s
        chance, step = (0.85, 6.0) if way else (0.3, 6.0)
        for cell in _stream_cells(view.position, shift, step, 0.0):
            rng = _rng(place.seed, 16 + index, cell)
            if rng.random() > chance * place.walkers:
                continue
            share = {1: 0.28, -1: 0.52, 0: 0.78}[way]
            lateral = side * (road.walk + road.sidewalk * share)
            along = cell * step + rng.uniform(1.0, step - 1.0) + shift
            if along - view.position > 75.0:
                continue
            facing = (0.0, float(way)) if way else (float(-side), 0.0)
            people.append(_person(rng, lateral, along, facing, abs(shift) if way else 0.0))
    return people


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
