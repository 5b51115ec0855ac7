"""The help of commands with many options: those that matter most come first."""

from typing import Final

import click

NUM_FIRST: Final = 3


class StageCommand(click.Command):
    """A command whose help lists its first three options by themselves, in the order of their declaration."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in two lists."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        records = [record for option in options if (record := option.get_help_record(ctx))]
        width = min(max(len(name) for name, _ in records), 30)  # the same in both lists
        for title, part in (("Options", records[:NUM_FIRST]), ("More options", records[NUM_FIRST:])):
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), text) for name, text in part])
