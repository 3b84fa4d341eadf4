"""A click command whose help lists its options under headings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click


class SectionedCommand(click.Command):
    """A command made from a table of headings and the options under each.

    Options from elsewhere, such as `--help`, are listed last, under Other.
    """

    def __init__(
        self, *args: Any, sections: Mapping[str, Sequence[click.Option]], **kwargs: Any
    ) -> None:
        kwargs["params"] = [option for options in sections.values() for option in options]
        super().__init__(*args, **kwargs)
        self.sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one block of options a heading, in the order of the table."""
        listed = [option for options in self.sections.values() for option in options]
        others = [parameter for parameter in self.get_params(ctx) if parameter not in listed]
        for heading, options in {**self.sections, "Other": others}.items():
            rows = [row for option in options if (row := option.get_help_record(ctx))]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)
