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
    there = next(f for f in (folder, *folder.parents) if os.path.exists(f))
    try:
        mine, owner = there.stat().st_uid == os.geteuid(), there.owner()
    except KeyError:  # a user without a name
        mine, owner = False, "another user"
    if mine:
        return f"Make it writable, for example\n  chmod -R u+w {there}"
    return f"It is {owner}'s: work in a folder of your own, or ask {owner}, where you share a group, for\n  chmod -R g+w {there}"
