"""Untrusted text made fit to be shown: one line that moves no cursor, encodes anywhere, and is not too long."""

REASON_CHARACTERS = 300
LINE_CHARACTERS = 2000
TAIL_CHARACTERS = 20_000


def printable(text: str, limit: int = REASON_CHARACTERS) -> str:
    """`text` with every control character, format character, line break and lone surrogate as its escape, in at most
    `limit` characters; an ellipsis ends what was cut."""
    shown = "".join(c if c.isprintable() else _escape(c) for c in text[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def printable_lines(text: str) -> str:
    """The newest lines of `text`, each printable, in at most TAIL_CHARACTERS."""
    lines = [printable(line.expandtabs(), LINE_CHARACTERS) for line in text.splitlines()]
    shown = "\n".join(lines)
    return shown if len(shown) <= TAIL_CHARACTERS else f"…{shown[1 - TAIL_CHARACTERS :]}"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
