"""Adversarial games between a sneaky generator and a step critic: what each outcome pays.

Source: SPC (arXiv 2504.19162).  The winner gets +1, the loser -1. A proposal that is no error (the validity check) pays the
generator -1 and is not put to the critic. The critic is also asked about the right step that was replaced.
"""

from __future__ import annotations

from dataclasses import dataclass

from elenchus.critics.format import Unit


@dataclass(frozen=True)
class Payoff:
    """What a game pays; None: the player made no move that counts. outcome: the game's end in one word."""

    outcome: str
    generator: float | None
    critic: float | None


INVALID = Payoff("invalid", -1.0, None)
CAUGHT = Payoff("caught", -1.0, 1.0)
FOOLED = Payoff("fooled", 1.0, -1.0)
CLEARED = Payoff("cleared", None, 1.0)  # the right step, called good
ALARMED = Payoff("alarmed", None, -1.0)  # the right step, not called good


def sneaky(valid: bool, said: Unit | None) -> Payoff:
    """Return the pay-off on the generator's step; a judgement that cannot be read (None) finds no error."""
    if not valid:
        return INVALID
    return CAUGHT if said is not None and not said.ok else FOOLED


def paired(said: Unit | None) -> Payoff:
    """Return the pay-off on the right step that the generator replaced; None, unreadable, does not clear it."""
    return CLEARED if said is not None and said.ok else ALARMED


def collapses(before: float, after: float, high: float, low: float) -> bool:
    """Return whether a step is an error by the solver's shares of right answers before and after it was replaced."""
    return before >= high and after <= low
