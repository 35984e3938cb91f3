"""Several critiques of one solution become one: MultiCritique's unit-level meta-judgement, and simpler rules beside it.

Source: MultiCritique (arXiv 2410.15287). A critique is a list of units, one a step. A meta-judge puts each unit into a
category, which has a severity: how bad that kind of critique error is. The paper's seven categories and scores are not
public; the seven below are ours. Units judged sound are merged, flawed ones dropped.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from elenchus.critics.format import Critique, Unit
from elenchus.metrics.critique import vote


@dataclass(frozen=True)
class Category:
    """A quality category of critique units. severity: 0 (none) to 4 (worst)."""

    severity: float
    says: str


CATEGORIES = {
    "sound": Category(0, "verdict, error type and fix are right"),
    "mistyped": Category(1, "the error is there and its fix right, its type is another"),
    "wrong_fix": Category(2, "the error is there, the result that should stand is another"),
    "false_alarm": Category(3, "a right step is called bad"),
    "missed": Category(3, "a wrong step, not the first, is called good"),
    "missed_first": Category(4, "the first wrong step is called good"),
    "unreadable": Category(4, "the critique cannot be read at all"),
}
WORST = max(c.severity for c in CATEGORIES.values())
ON_BAD = ("sound", "mistyped", "wrong_fix", "false_alarm")  # what a unit that calls its step bad can be
ON_GOOD = ("sound", "missed", "missed_first")


@dataclass(frozen=True)
class Judged:
    """A critic's unit and the meta-judge's category for it."""

    critic: str
    unit: Unit
    category: str

    @property
    def severity(self) -> float:
        """Return how bad this unit is as critique, 0 to 4."""
        return CATEGORIES[self.category].severity

    @property
    def quality(self) -> float:
        """Return 1 - severity / worst severity, in [0, 1]."""
        return 1.0 - self.severity / WORST


def categorise(unit: Unit, truth: Sequence[Unit]) -> str:
    """Return the true category of `unit`, given the true units of its solution."""
    true = truth[unit.step]
    if unit.ok:
        first = next((t.step for t in truth if not t.ok), -1)
        return "sound" if true.ok else "missed_first" if unit.step == first else "missed"
    if true.ok:
        return "false_alarm"
    return "wrong_fix" if unit.expected != true.expected else "mistyped" if unit.error != true.error else "sound"


def judge(
    critiques: Mapping[str, Critique], truth: Sequence[Unit], noise: float = 0.0, rng: random.Random | None = None
) -> list[Judged]:
    """Return every unit of every readable critique with the category that a noisy meta-judge gives it.

    noise: the probability that a unit's category is replaced by another one that its verdict allows, drawn with `rng`.
    """
    found = []
    for critic, critique in critiques.items():
        for unit in critique.units:
            category = categorise(unit, truth)
            if noise and rng.random() < noise:
                category = rng.choice([c for c in (ON_GOOD if unit.ok else ON_BAD) if c != category])
            found.append(Judged(critic, unit, category))
    return found


def merge(judged: Sequence[Judged], n_steps: int, keep: float = 0.75) -> list[Unit]:
    """Return one unit a step: the kept units, de-duplicated by (step, error), and "good" where none calls a step bad.

    keep: least quality of a unit that is kept; 0.75 keeps sound and mistyped ones, 0 all (the naive union). Of several
    kept findings on a step the one of the highest quality stands, then the one of most critics, then the first. A good
    step's working comes from most of the critics that call it good; where all wrongly call it bad, the claim is taken
    to stand, since every unit against it was dropped. ValueError where a step has no unit at all.
    """
    units = []
    for step in range(n_steps):
        here = [j for j in judged if j.unit.step == step]
        if not here:
            raise ValueError(f"no critic judges step {step + 1} of {n_steps}")
        flags = [j for j in here if not j.unit.ok and j.quality >= keep]
        units.append(_finding(flags) if flags else _no_finding([j.unit for j in here]))
    return units


def kept(judged: Judged, keep: float = 0.75) -> bool:
    """Return whether a unit's quality suffices for it to be merged."""
    return judged.quality >= keep


def _finding(flags: Sequence[Judged]) -> Unit:
    """Return the unit that stands for all kept findings on one step."""
    distinct: dict[str, list[Judged]] = {}
    for flag in flags:
        distinct.setdefault(flag.unit.error, []).append(flag)
    _, same = max(distinct.items(), key=lambda item: (max(j.quality for j in item[1]), len(item[1])))
    best = max(j.quality for j in same)
    return _most_common([j.unit for j in same if j.quality == best])


def _no_finding(units: Sequence[Unit]) -> Unit:
    """Return the unit that calls a step good, worded as most critics word it."""
    good = [u for u in units if u.ok]
    consistent = [u for u in good if u.expected == u.claimed]
    unit = _most_common(consistent or good or units)
    return replace(unit, ok=True, error="", expected=unit.claimed)


def _most_common(units: Sequence[Unit]) -> Unit:
    return Counter(units).most_common(1)[0][0]  # ties: the first seen


def by_union(critiques: Mapping[str, Critique], n_steps: int) -> list[Unit]:
    """Return the naive union: every finding of every critic is kept, without a judge."""
    return merge([Judged(c, u, "sound") for c, said in critiques.items() for u in said.units], n_steps)


def by_majority(critiques: Mapping[str, Critique]) -> list[Unit]:
    """Return the whole critique, unchanged, of the first critic whose first error is the most frequent one.

    Ties go to the first error seen first (ProcessBench's voting). ValueError where there is no critique.
    """
    if not critiques:
        raise ValueError("no critique to vote on")
    winner = vote([c.first_error for c in critiques.values()])
    return list(next(c.units for c in critiques.values() if c.first_error == winner))


def by_single(critiques: Mapping[str, Critique], critic: str) -> list[Unit] | None:
    """Return the named critic's critique, None where it has no readable one."""
    found = critiques.get(critic)
    return list(found.units) if found and found.parsed else None
