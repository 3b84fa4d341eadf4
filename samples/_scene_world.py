"""Everything a seed decides about a world: road, light, and how much stands where."""

import math
import random
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from lipdeploy.samples._scene_canvas import Colour


@dataclass(frozen=True)
class Road:
    """Road geometry; lateral 0 is the road centre, right is positive (metres)."""

    bend: float  # curve amplitude in metres
    bend_length: float  # metres per radian of the curve
    bend_phase: float  # radians
    hill: float  # hill amplitude in metres
    hill_length: float  # metres per radian of the hill
    hill_phase: float  # radians
    lanes: int  # lanes per direction
    lane_width: float  # metres
    parking: float  # parking strip width in metres, 0 when there is none
    verge: float  # grass strip between kerb and sidewalk in metres
    sidewalk: float  # sidewalk width in metres

    @property
    def lanes_half(self) -> float:
        """Lateral distance from the centre to the outer lane edge in metres."""
        return self.lanes * self.lane_width

    @property
    def half(self) -> float:
        """Lateral distance from the centre to the kerb in metres."""
        return self.lanes_half + self.parking + 0.3

    @property
    def walk(self) -> float:
        """Lateral distance from the centre to the sidewalk's near edge in metres."""
        return self.half + self.verge

    @property
    def outer(self) -> float:
        """Lateral distance from the centre to the sidewalk's far edge in metres."""
        return self.walk + self.sidewalk


class Air(NamedTuple):
    """Tint and haze between the camera and one distance."""

    tint: Colour
    clear: float  # share of light that passes, 0..1
    veil: Colour  # light that the haze adds, RGB 0..255

    def shaded(self, colour: Colour, gain: float = 1.0) -> Colour:
        """Apply tint, a brightness gain and haze to a surface colour.

        Args:
            colour: RGB, each 0..255.
            gain: Brightness of this face, about 1.

        Returns:
            RGB, each 0..255.
        """
        tint, clear, veil = self
        red = colour[0] * tint[0] * gain * clear + veil[0]
        green = colour[1] * tint[1] * gain * clear + veil[1]
        blue = colour[2] * tint[2] * gain * clear + veil[2]
        if red > 255.0 or green > 255.0 or blue > 255.0:
            return min(255.0, red), min(255.0, green), min(255.0, blue)
        return red, green, blue


@dataclass(frozen=True)
class Light:
    """Lighting and weather of a world; colours are RGB 0..255."""

    zenith: Colour
    horizon: Colour
    haze: Colour
    tint: Colour  # gain per channel, about 1
    haze_range: float  # metres to 63 % haze
    sun: float  # strength of cast shadows, 0..1
    sun_side: int  # -1: sun from the left, 1: from the right
    clouds: float  # cloud cover, 0..1
    cloud: Colour
    lamps: float  # share of lit windows, 0..1
    exposure: float  # overall gain
    noise: int  # standard deviation of the camera noise in grey levels

    def at(self, depth: float) -> Air:
        """Tint and haze at a distance.

        Args:
            depth: Distance from the camera in metres.

        Returns:
            What shades every surface at that distance.
        """
        clear = math.exp(-max(depth, 0.0) / self.haze_range)
        veil = 1.0 - clear
        red, green, blue = self.haze
        return Air(self.tint, clear, (red * veil, green * veil, blue * veil))

    def shaded(self, colour: Colour, depth: float, gain: float = 1.0) -> Colour:
        """Shade one surface colour; see `Air.shaded`.

        Args:
            colour: RGB, each 0..255.
            depth: Distance from the camera in metres.
            gain: Brightness of this face, about 1.

        Returns:
            RGB, each 0..255.
        """
        return self.at(depth).shaded(colour, gain)


@dataclass(frozen=True)
class World:
    """One seed's world."""

    seed: int
    road: Road
    light: Light
    speed: float  # ego speed in m/s
    eye: float  # camera height in metres
    pitch: float  # horizon row as a fraction of the height
    focal: float  # focal length as a fraction of the width
    start: float  # ego position at time 0 in metres
    city: float  # 0: houses and gardens, 1: tall blocks
    trees: float  # 0..1
    parked: float  # 0..1
    walkers: float  # 0..1
    oncoming: float  # 0..1
    leader: float  # mean gap to the car ahead in metres
    crossing: bool  # zebra crossings with people on them


class _Weather(NamedTuple):
    """One kind of weather; `_light` varies it a little for each world."""

    zenith: Colour
    horizon: Colour
    haze: Colour
    tint: Colour
    reach: float  # metres to 63 % haze
    sun: float
    clouds: float
    cloud: Colour
    lamps: float


_WEATHER = (
    _Weather(  # clear
        zenith=(86, 136, 196),
        horizon=(190, 212, 230),
        haze=(188, 204, 218),
        tint=(1.0, 1.0, 0.98),
        reach=330,
        sun=0.9,
        clouds=0.15,
        cloud=(246, 247, 250),
        lamps=0.0,
    ),
    _Weather(  # fair
        zenith=(92, 134, 184),
        horizon=(196, 210, 222),
        haze=(190, 202, 212),
        tint=(1.0, 0.99, 0.97),
        reach=260,
        sun=0.75,
        clouds=0.5,
        cloud=(240, 242, 246),
        lamps=0.0,
    ),
    _Weather(  # overcast
        zenith=(158, 168, 180),
        horizon=(206, 211, 214),
        haze=(196, 202, 206),
        tint=(0.9, 0.92, 0.95),
        reach=170,
        sun=0.1,
        clouds=0.85,
        cloud=(222, 225, 230),
        lamps=0.05,
    ),
    _Weather(  # dull
        zenith=(138, 146, 156),
        horizon=(180, 186, 190),
        haze=(172, 178, 184),
        tint=(0.78, 0.81, 0.86),
        reach=120,
        sun=0.0,
        clouds=0.95,
        cloud=(196, 201, 207),
        lamps=0.15,
    ),
    _Weather(  # low sun
        zenith=(106, 134, 176),
        horizon=(240, 206, 164),
        haze=(222, 196, 166),
        tint=(1.07, 0.95, 0.82),
        reach=210,
        sun=0.95,
        clouds=0.35,
        cloud=(252, 226, 196),
        lamps=0.06,
    ),
    _Weather(  # dusk
        zenith=(62, 80, 124),
        horizon=(206, 160, 138),
        haze=(150, 134, 138),
        tint=(0.68, 0.66, 0.74),
        reach=190,
        sun=0.1,
        clouds=0.4,
        cloud=(188, 150, 146),
        lamps=0.4,
    ),
)


def _road(rng: random.Random) -> Road:
    lanes = 1 if rng.random() < 0.68 else 2
    bend_length = rng.uniform(70.0, 130.0)
    curvature = rng.choice((0.0003, 0.0012, 0.0022, 0.0032))
    hill_length = rng.uniform(90.0, 150.0)
    return Road(
        bend=curvature * bend_length**2,
        bend_length=bend_length,
        bend_phase=rng.uniform(0.0, math.tau),
        hill=rng.uniform(0.0, 1.2e-4) * hill_length**2,
        hill_length=hill_length,
        hill_phase=rng.uniform(0.0, math.tau),
        lanes=lanes,
        lane_width=rng.uniform(2.9, 3.3) if lanes == 1 else rng.uniform(2.8, 3.0),
        parking=2.1 if rng.random() < (0.75 if lanes == 1 else 0.35) else 0.0,
        verge=rng.choice((0.0, 0.0, 1.2, 1.8)),
        sidewalk=rng.uniform(2.4, 4.2),
    )


def _light(rng: random.Random) -> Light:
    weather = rng.choice(_WEATHER)
    red, green, blue = weather.tint
    warm = rng.gauss(0.0, 0.025)
    return Light(
        zenith=weather.zenith,
        horizon=weather.horizon,
        haze=weather.haze,
        tint=(red * (1.0 + warm), green, blue * (1.0 - warm)),
        haze_range=weather.reach * rng.uniform(0.8, 1.3),
        sun=weather.sun,
        sun_side=rng.choice((-1, 1)),
        clouds=min(1.0, max(0.0, weather.clouds + rng.uniform(-0.15, 0.15))),
        cloud=weather.cloud,
        lamps=weather.lamps,
        exposure=rng.uniform(0.86, 1.14),
        noise=rng.choice((1, 2, 3, 5)),
    )


@lru_cache(maxsize=256)
def world(seed: int) -> World:
    """Draw the world of a seed.

    Args:
        seed: Any integer.

    Returns:
        The world; the same seed gives the same world.
    """
    rng = random.Random(seed * 2 + 1)
    road = _road(rng)
    return World(
        seed=seed,
        road=road,
        light=_light(rng),
        speed=rng.uniform(4.5, 9.5),
        eye=rng.uniform(1.3, 1.6),
        pitch=rng.uniform(0.40, 0.53),
        focal=rng.uniform(0.72, 0.95),
        start=rng.uniform(0.0, 400.0),
        city=rng.random(),
        trees=rng.uniform(0.25, 0.95),
        parked=rng.uniform(0.1, 0.5) if road.parking else 0.0,
        walkers=rng.uniform(0.6, 1.0),
        oncoming=rng.uniform(0.15, 0.65),
        leader=rng.uniform(14.0, 34.0),
        crossing=rng.random() < 0.55,
    )
