"""Bytes of tokens become text that may be shown: whole characters, and nothing of a stop string."""

from __future__ import annotations

import codecs


class Detokenizer:
    """The text of one sample as it grows. Bytes that are no UTF-8 become U+FFFD; unfinished ones wait."""

    def __init__(self, stops: tuple[str, ...] = ()) -> None:
        self._stops = stops
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._shown: list[str] = []
        self.stopped = False

    @property
    def text(self) -> str:
        """All that was given out so far."""
        return "".join(self._shown)

    def feed(self, piece: bytes) -> str:
        """Take the bytes of a token and give the text that is certain now. After a stop string it gives nothing."""
        return self._advance(self._decoder.decode(piece))

    def finish(self) -> str:
        """The rest, when no more tokens come."""
        return self._advance(self._decoder.decode(b"", final=True), last=True)

    def _advance(self, new: str, last: bool = False) -> str:
        if not self._stops:
            if new:
                self._shown.append(new)
            return new
        if self.stopped:
            return ""
        self._held += new
        cut = min((at for stop in self._stops if (at := self._held.find(stop)) >= 0), default=-1)
        if cut >= 0:
            self.stopped = True
        else:
            cut = len(self._held) - (0 if last else self._waiting())
        out, self._held = self._held[:cut], self._held[cut:]
        if out:
            self._shown.append(out)
        return out

    def _waiting(self) -> int:
        """Length of the longest end of the held text that could begin a stop string."""
        longest = max(map(len, self._stops)) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stops):
                return length
        return 0
