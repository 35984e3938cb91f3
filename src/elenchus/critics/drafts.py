"""Solutions as critics, judges and revisers see them: joined with their problems."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from elenchus import problems
from elenchus.critics.format import Unit, from_checks
from elenchus.errors import UserError
from elenchus.problems import Problem

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Draft:
    """One parsed solution. first_error: exact, 0-based, -1 none."""

    id: str
    problem: Problem
    text: str
    steps: tuple[str, ...]
    correct: bool
    first_error: int

    @property
    def family(self) -> ModuleType:
        """Return the problem's family."""
        return problems.load(self.problem.family)

    def truth(self) -> list[Unit]:
        """Return the true critique's units, one a step, from the family's exact checker."""
        return from_checks(self.family.check_steps(self.problem, list(self.steps)))


def by_id(frame: pd.DataFrame) -> dict[str, Problem]:
    """Return {problem id: problem} of a problems table."""
    return {row["problem_id"]: problems.from_row(row) for row in frame.to_dict("records")}


def drafts(solutions: pd.DataFrame, frame: pd.DataFrame) -> list[Draft]:
    """Return the parsed solutions with their problems, in the table's order.

    A text that breaks the format has no steps to judge and is known to be wrong without a critic, so it is left out.
    UserError where a solution's problem is not in the problems table.
    """
    known = by_id(frame)
    parsed = solutions[solutions["parsed"].to_numpy(dtype=bool)]
    lost = set(parsed["problem_id"]) - set(known)
    if lost:
        raise UserError(
            f"{len(lost)} solved problems are not among the {len(known)} problems given, the first: {min(lost)}"
        )
    columns = ("solution_id", "problem_id", "text", "steps", "correct", "first_error")
    return [
        Draft(i, known[p], text, tuple(steps), bool(correct), int(first))
        for i, p, text, steps, correct, first in zip(*(parsed[c].tolist() for c in columns), strict=True)
    ]
