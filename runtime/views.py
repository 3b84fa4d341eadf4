"""What the overlay can show of a frame."""

from __future__ import annotations

from typing import Literal, get_args

from lipdeploy.core.errors import InputError

View = Literal["regions", "pixels", "radius"]
VIEWS: tuple[View, ...] = get_args(View)


def checked_view(name: str) -> View:
    """The name itself.

    Raises:
        InputError: there is no such view.
    """
    for view in VIEWS:
        if view == name:
            return view
    raise InputError(f"show is {name!r}; expected one of {', '.join(VIEWS)}")
