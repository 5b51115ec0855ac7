"""Errors that a user can fix: one sentence that says what was found, where, and what to do."""


class UserError(Exception):
    """A job failed for a reason the user can fix; the command line prints the sentence and exits with status 1."""

    exit_status = 1


class UsageError(UserError):
    """A command or configuration is wrong; the command line prints the sentence and exits with status 2."""

    exit_status = 2
