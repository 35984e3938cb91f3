"""The text of a critique: one unit a step, then one overall word. Rendered here, and read back strictly.

    #1 8 - 7 -> 1 1 good #2 1 * 9 -> 9 7 bad result wrong

Each unit recomputes its step before it judges it: `#k <working> -> <expected> <claimed> <verdict>`. The sign `->` is
not the solutions' `=`, since a small model that sees its own sign copies the claim and calls every step good.
A reader never guesses: a text that departs from this form in any way is not a critique, and says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from elenchus.problems import Check

GIVES, GOOD, BAD, RIGHT, WRONG = "->", "good", "bad", "right", "wrong"
NONE = "none"  # stands where a value should be and there is none (an undefined result, an unreadable claim)
WORDS = (GIVES, GOOD, BAD, RIGHT, WRONG, NONE)
VERDICT_WORDS = (GOOD, BAD, RIGHT, WRONG)


@dataclass(frozen=True)
class Unit:
    """The judgement of one step (MultiCritique's analytical critique unit).

    step: 0-based. error: "" where ok. working, expected, claimed: as in `problems.Check`, in the critic's words.
    """

    step: int
    ok: bool
    error: str
    working: str
    expected: str
    claimed: str


@dataclass(frozen=True)
class Critique:
    """What a critique's text says.

    verdict: "right" or "wrong". first_error: 0-based, -1 none, None where unparsed. problem: "" or why the text is not
    a critique; units and verdict are empty then.
    """

    units: tuple[Unit, ...]
    verdict: str
    first_error: int | None
    problem: str = ""

    @property
    def parsed(self) -> bool:
        """Return whether the text is a critique."""
        return not self.problem

    @property
    def bad(self) -> tuple[Unit, ...]:
        """Return the units that find an error."""
        return tuple(unit for unit in self.units if not unit.ok)


def from_checks(checks: Iterable[Check]) -> list[Unit]:
    """Return the units of the true critique, from a family's exact step checks."""
    return [Unit(i, c.ok, c.error, c.working, c.expected, c.claimed) for i, c in enumerate(checks)]


def render(units: Sequence[Unit]) -> str:
    """Return the text of a critique; the overall word follows from the units."""
    parts = []
    for unit in units:
        verdict = GOOD if unit.ok else f"{BAD} {unit.error}"
        parts.append(f"#{unit.step + 1} {unit.working} {GIVES} {unit.expected} {unit.claimed} {verdict}")
    return " ".join([*parts, RIGHT if all(unit.ok for unit in units) else WRONG])


def parse(text: str, n_steps: int, error_types: Sequence[str]) -> Critique:
    """Return what `text` says of a solution with `n_steps` steps; `problem` says why where it is not a critique.

    Whether the critic's working and claims are true is not asked here: that is for the family's checker.
    """
    words, at, units = text.split(), 0, []

    def no(reason: str) -> Critique:
        return Critique((), "", None, reason)

    for step in range(n_steps):
        mark = f"#{step + 1}"
        if at >= len(words) or words[at] != mark:
            return no(f"no {mark} where step {step + 1} of {n_steps} should be judged")
        end = next((i for i in range(at + 1, len(words)) if words[i].startswith("#")), len(words))
        arrow = next((i for i in range(at + 1, end) if words[i] == GIVES), None)
        if arrow is None or arrow == at + 1:
            return no(f"{mark} has no working before {GIVES!r}")
        if arrow + 3 >= end:
            return no(f"{mark} ends before its verdict")
        expected, claimed, verdict = words[arrow + 1 : arrow + 4]
        if verdict not in (GOOD, BAD):
            return no(f"{mark} has {verdict!r} where its verdict should be")
        error, after = "", arrow + 4
        if verdict == BAD:
            error = words[after] if after < end else ""
            if error not in error_types:
                return no(f"{mark} has {error!r} where an error type should be")
            after += 1
        units.append(Unit(step, verdict == GOOD, error, " ".join(words[at + 1 : arrow]), expected, claimed))
        at = after
    if at >= len(words) or words[at] not in (RIGHT, WRONG):
        return no(f"no {RIGHT!r} or {WRONG!r} after the last step")
    if len(words) > at + 1:
        return no(f"{words[at + 1]!r} follows the overall verdict")
    first = next((unit.step for unit in units if not unit.ok), -1)
    if (words[at] == RIGHT) != (first == -1):
        return no(f"the overall verdict {words[at]!r} contradicts the steps' verdicts")
    return Critique(tuple(units), words[at], first)
