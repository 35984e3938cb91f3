"""Errors that a user can cause and mend: shown as one plain message, never as a traceback."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path


class UserError(Exception):
    """Something in the user's input or surroundings: the message says what, where, what is allowed, and the mend."""


class CorruptResult(UserError):
    """A result on disk that is not what its manifest says."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest of `known`, "" where nothing is near."""
    near = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def to_make_writable(folder: Path) -> str:
    """Return the words that say how `folder` comes to be writable: a command, or whom to ask where it is another user's."""
    folder = folder.resolve()
    try:
        mine, owner = folder.stat().st_uid in (os.geteuid(), 0), folder.owner()
    except (OSError, KeyError):  # not there; a user without a name
        mine, owner = True, ""
    if mine:
        return f"Make it writable, for example\n  chmod -R u+w {folder}"
    return f"It is {owner}'s: work in a folder of your own, or ask {owner}, where you share a group, for\n  chmod -R g+w {folder}"
