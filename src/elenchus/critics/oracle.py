"""The oracle critic: an exact step checker whose faults are dials. It stands where papers ask GPT-4 or people.

MultiCritique's critics differ by who they are; here they differ by how often they miss errors, raise false alarms and
name wrong fixes, and by the error types that they never see (blind spots).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from elenchus import problems, seeds
from elenchus.critics import rows
from elenchus.critics.drafts import Draft
from elenchus.critics.format import NONE, Unit, parse, render
from elenchus.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Dials:
    """An oracle's faults: probabilities in [0, 1], each applied to every step of its own accord.

    miss_rate: a wrong step is called good. false_alarm_rate: a good step is called bad. wrong_fix_rate: an error that
    is found gets a wrong result. blind: error types that are always missed, and never named in a false alarm.
    """

    miss_rate: float = 0.0
    false_alarm_rate: float = 0.0
    wrong_fix_rate: float = 0.0
    blind: tuple[str, ...] = ()


def check_blind(dials: Dials, error_types: Sequence[str]) -> None:
    """Raise UserError where a blind spot is no error type of the family."""
    for name in dials.blind:
        if name not in error_types:
            near, known = did_you_mean(name, error_types), ", ".join(error_types)
            raise UserError(f"blind spot {name!r} is no error type of this family{near}; types: {known}")


def blind_spots(named: Sequence[str], family: str) -> tuple[str, ...]:
    """Return those of the error types named that a family has: blind spots may be named for several families at once.

    UserError where no family has one of them.
    """
    own = problems.load(family).error_types()
    known = {name: problems.load(name).error_types() for name in problems.names()}
    for name in named:
        if all(name not in types for types in known.values()):
            near = did_you_mean(name, own)
            of = "; ".join(f"{name}: {', '.join(types)}" for name, types in known.items())
            raise UserError(f"blind spot {name!r} is no error type of any problem family{near}; types of {of}")
    return tuple(name for name in named if name in own)


def criticise(draft: Draft, critic: str, dials: Dials, seed: int, sample: int = 0) -> dict:
    """Return the `critiques` row of this oracle on `draft`; it depends on (seed, solution, critic, sample) only.

    confidence: 1 - noise, the noise being the false alarm rate for "wrong" and the miss rate for "right".
    """
    types = draft.family.error_types()
    text = render(judge(draft, dials, seeds.rng(seed, "oracle", critic, draft.id, sample)))
    said = parse(text, len(draft.steps), types)
    noise = dials.false_alarm_rate if said.bad else dials.miss_rate
    return rows.row(draft, critic, sample, text, said, confidence=1.0 - noise)


def judge(draft: Draft, dials: Dials, rng: random.Random) -> list[Unit]:
    """Return the oracle's units, one a step. Each step takes the same draws whatever the dials say.

    An oracle whose draws are the same therefore misses, at a higher miss rate, what it missed at a lower one and more.
    """
    types = [t for t in draft.family.error_types() if t not in dials.blind]
    named = [t for t in types if t != "format"] or types  # nobody suspects the form of a step that can be read
    numbers = sorted({w for t in (draft.problem.prompt, *draft.steps) for w in t.split() if w.isdigit()}, key=int)
    units = []
    for unit, step in zip(draft.truth(), draft.steps, strict=True):
        missed, alarmed, misled, which, value = (rng.random() for _ in range(5))
        if unit.ok and named and alarmed < dials.false_alarm_rate:
            wrong = _other(numbers, {unit.expected}, value)
            unit = replace(unit, ok=False, error=named[int(which * len(named))], expected=wrong)
        elif not unit.ok and (unit.error in dials.blind or missed < dials.miss_rate):
            unit = _believed(unit, step)
        elif not unit.ok and misled < dials.wrong_fix_rate:
            unit = replace(unit, expected=_other(numbers, {unit.expected, unit.claimed}, value))
        units.append(unit)
    return units


def _believed(unit: Unit, step: str) -> Unit:
    """Return the unit of one who takes a wrong step for good: the step's own operation, and its result confirmed."""
    own, sign, _ = step.rpartition(" = ")
    return replace(unit, ok=True, error="", working=own if sign else unit.working, expected=unit.claimed)


def _other(numbers: Sequence[str], avoid: set[str], draw: float) -> str:
    """Return the number of the problem's that `draw`, in [0, 1), picks but none of `avoid`; "none" without another."""
    left = [n for n in numbers if n not in avoid] or [NONE]
    return left[int(draw * len(left))]
