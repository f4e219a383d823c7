"""The three ways a command can fail, and the exit code of each.

Anything else that escapes is a bug (exit code 1). Messages are one line: what is wrong, where, and what would be right.
"""


class BenchError(Exception):
    """Base of the errors that are shown to the user as one line."""

    exit_code = 1


class UserError(BenchError):
    """The input is wrong: a name, a file, an option."""

    exit_code = 2


class MissingError(BenchError):
    """The environment lacks something; the message says how to get it."""

    exit_code = 3


class InfrastructureError(BenchError):
    """The harness or the machine failed, not the submission: retried, never scored."""

    exit_code = 3
