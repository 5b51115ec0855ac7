"""What a user can mend: one sentence saying what was found, where, and what to do."""


class UserError(Exception):
    """A job failed for a reason that the user can mend; the command line prints the sentence, exit status 1."""

    exit_status = 1


class UsageError(UserError):
    """The command or a configuration was given wrong; the command line prints the sentence, exit status 2."""

    exit_status = 2
