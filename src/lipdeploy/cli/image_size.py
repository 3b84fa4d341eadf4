"""The `--imgsz` option: one side or two."""

from __future__ import annotations

import re

import click


class ImageSize(click.ParamType[tuple[int, int]]):
    """Height and width in pixels from `128`, `128x224` or `128,224`."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Parse the option; click reports a failure as a usage error."""
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"(\d{1,5})(?:[x, ](\d{1,5}))?", str(value).strip())
        if not found:
            expected = "a side such as 128 or HxW such as 128x224"
            self.fail(f"got {value!r}; expected {expected}", param, ctx)
        return int(found[1]), int(found[2] or found[1])
