"""One step judged at a time: the step critic, the sneaky generator that writes a wrong step, and what both read and write.

Source: SPC (arXiv 2504.19162).  Both are asked about a partial solution whose last step is the one in question:

    critic      (user: question)(assistant: #1 8 - 7 = 1 #2 1 * 9 = 7) -> critic: #2 1 * 9 -> 9 7 bad result wrong
    generator   (user: question)(assistant: #1 8 - 7 = 1 #2 1 * 9 = 9) -> assistant: result 1 * 9 = 7

The critic's reply is one unit of a critique (`critics/format.py`) and the verdict; the generator's the type of error that
it has chosen, then the step that takes the place of the right one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from elenchus import conversation, problems
from elenchus.conversation import Message
from elenchus.critics.format import Unit, from_checks, parse, render
from elenchus.engines import Completion, Engine, Sampling
from elenchus.problems import Problem
from elenchus.search.tree import written


@dataclass(frozen=True)
class Case:
    """A step to judge. prefix: the steps before it; right: the step that should stand here ("" where not known)."""

    id: str
    problem: Problem
    prefix: tuple[str, ...]
    step: str
    right: str
    origin: str  # who wrote the step: "solver", "generator", "random"

    def truth(self) -> Unit:
        """Return the exact checker's unit on the step, judged from the prefix."""
        family = problems.load(self.problem.family)
        return from_checks(family.check_steps(self.problem, [*self.prefix, self.step]))[-1]

    def row(self) -> dict:
        """Return the row of a `cases` table."""
        truth = self.truth()
        facts = {"step": self.step, "right": self.right, "ok": truth.ok, "error": truth.error, "origin": self.origin}
        return {"case_id": self.id, "problem_id": self.problem.id, "prefix": list(self.prefix), **facts}


def from_row(row: dict, known: dict[str, Problem]) -> Case:
    """Return the case of one row of a `cases` table. known: the problems by id."""
    prefix = tuple(row["prefix"])
    return Case(row["case_id"], known[row["problem_id"]], prefix, row["step"], row["right"], row["origin"])


def judging(case: Case) -> list[Message]:
    """Return the conversation that asks the critic about the case's step."""
    return conversation.critique(case.problem.prompt, written([*case.prefix, case.step]))


def sneaking(case: Case) -> list[Message]:
    """Return the conversation that asks the generator for a wrong step in place of the right one."""
    return conversation.critique(case.problem.prompt, written([*case.prefix, case.right]))


def judgement(unit: Unit) -> str:
    """Return the text of the critic's reply."""
    return render([unit])


def read_judgement(case: Case, text: str) -> Unit | None:
    """Return the unit that a critic's reply is, None where it is none: strict, as for whole critiques."""
    step, words = len(case.prefix), text.split()
    if words[:1] != [f"#{step + 1}"]:
        return None
    said = parse(" ".join(["#1", *words[1:]]), 1, problems.load(case.problem.family).error_types())
    if not said.parsed or (said.verdict == "right") != said.units[0].ok:
        return None
    unit = said.units[0]
    return Unit(step, unit.ok, unit.error, unit.working, unit.expected, unit.claimed)


def ask(
    engine: Engine, tokenizer, cases: Sequence[Case], sampling: Sampling, seed: int
) -> list[tuple[Unit | None, Completion]]:
    """Return, for each case, the critic's unit (None where it cannot be read) and the completion that it stands in."""
    prompts = [conversation.render(tokenizer, judging(case), "critic") for case in cases]
    replies = engine.sample(prompts, sampling, seed, 1) if prompts else []
    return [(read_judgement(case, reply.text.strip()), reply) for case, (reply,) in zip(cases, replies, strict=True)]
