"""crface clean: what nothing refers to, named, and removed once the user agrees."""

from collections.abc import Callable
from contextlib import ExitStack

import click

from pipeline.errors import UserError
from pipeline.workspace.inventory import remove
from pipeline.workspace.lock import command_line
from workflows.commands.contents import contents_of, in_order
from workflows.commands.status import NOT_OF_CONFIGURATION, summed, table
from workflows.job.job import Job
from workflows.job.shown import show_table


def clean(job: Job, *, is_dry_run: bool, is_agreed: Callable[[], bool]) -> None:
    """Print the pieces that neither the configuration nor stored results refer to, and remove them if agreed.

    `is_agreed` is asked after they are printed; a dry run neither asks nor removes, and needs no lock.

    Raises UserError when there is no workspace, when another command holds it, when it is damaged, and when
    nothing in it is of the configuration, which is then hardly the one that it was made with.
    """
    workspace = job.workspace
    if not workspace.root.exists():  # taking the lock would make it
        raise UserError(f"there is no workspace {workspace.root}: choose another with --out")
    with ExitStack() as stack:
        if not is_dry_run:
            stack.enter_context(workspace.locked(command_line()))
        contents = contents_of(job)
        if not contents.is_of_configuration:
            raise UserError(f"in {workspace.root} {NOT_OF_CONFIGURATION}; nothing was removed")
        unused = in_order(contents.unused)
        if not unused:
            click.echo(f"clean: nothing to do, everything in {workspace.root} is referred to")
            return
        show_table("\n".join(table(contents, unused)))
        click.echo(f"nothing refers to {summed(contents, unused)} in {workspace.root}")
        if is_dry_run or not is_agreed():
            click.echo("nothing was removed")
            return
        remove(workspace, contents.inventory, unused)
        click.echo(f"clean: removed {summed(contents, unused)}")
