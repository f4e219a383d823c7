"""From token ids to text, one token at a time: whole characters only, and stop strings."""

from collections.abc import Callable, Sequence

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class Detokenizer:
    """Incremental detokenization. The pieces, joined, are `decode` of all tokens.

    Two marks into the ids keep it linear: text up to `_read` is out, and decoding starts at `_prefix`, a few tokens
    before, because a token's text can depend on its left neighbour (leading spaces). A piece that ends inside a UTF-8
    character shows as a replacement character and is held back until the character is whole."""

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._prefix = 0
        self._read = 0

    def push(self, token: int) -> str:
        """The text that `token` completes, often a word, sometimes nothing."""
        self._ids.append(token)
        text = self._pending()
        if not text or text.endswith(REPLACEMENT):
            return ""
        self._prefix, self._read = self._read, len(self._ids)
        return text

    def flush(self) -> str:
        """What is still held back: the start of a character that never ended."""
        text = self._pending()
        self._prefix = self._read = len(self._ids)
        return text

    def _pending(self) -> str:
        shown = self._decode(self._ids[self._prefix : self._read])
        return self._decode(self._ids[self._prefix :])[len(shown) :]


class StopFilter:
    """Ends the text before the stop string that is complete first, and holds back what could be the start of one."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(stop)
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """The part of the text so far, not yet passed on, that no stop string can cut any more."""
        if not self._stop or self.stopped:
            return "" if self.stopped else text
        self._held += text
        found = [(at + len(stop), at) for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            out, self._held = self._held[: min(found)[1]], ""
            return out
        keep = max(_overlap(self._held, stop) for stop in self._stop)
        out, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return out

    def flush(self) -> str:
        """What was held back, at the end of generation."""
        out, self._held = self._held, ""
        return out


def _overlap(text: str, stop: str) -> int:
    """Length of the longest proper prefix of `stop` that ends `text`."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
