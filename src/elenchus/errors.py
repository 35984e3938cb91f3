"""Errors that a user can cause and mend: shown as one plain message, never as a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something in the user's input or surroundings: the message says what, where, what is allowed, and the mend."""


class CorruptResult(UserError):
    """A result on disk that is not what its manifest says."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest of `known`, "" where nothing is near."""
    near = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
