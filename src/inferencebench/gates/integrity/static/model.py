"""What a static rule finds."""

from inferencebench.suites.model import Record


class Finding(Record):
    """One place in a submission's files."""

    rule: str
    path: str
    line: int
    quote: str
    """The line, shortened."""
