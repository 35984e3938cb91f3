"""What a model can be on a benchmark, and the prompt file that asks it: `prompts/<form>.<role>.jinja`.

    solver      answers the item's question
    critic      judges solutions: those that were published with labels, else the model's own answers
    verifier    the same by the probability of one word, step by step, without writing a critique
    corrector   answers again after the solution (and, where its prompt asks for one, a critique) was read

A set has the roles that its data can grade: without a reference answer there is no solver, without labels or a reference
no critic. Sets whose grading needs a judge (metacritique, pcbench) have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from elenchus import problems
from elenchus.errors import UserError, did_you_mean

ROLES = ("solver", "critic", "corrector")
FOLDER = Path(__file__).parent / "prompts"


@dataclass(frozen=True)
class Roles:
    """A benchmark's prompt files by role.

    published: critic and corrector get published solutions, not the model's own. splits: what is measured on where the user
    names none, the first of these that is there; () for all that are. shots: the split of worked examples, "" for none.
    """

    prompts: Mapping[str, str] = field(default_factory=dict)
    published: bool = False
    splits: tuple[str, ...] = ()
    shots: str = ""


def _own(solver: str, corrector: str, splits: tuple[str, ...] = ("test",), shots: str = "train") -> Roles:
    """Return the roles of a set of questions with answers: critic and corrector get the model's own solutions."""
    named = {"solver": solver, "critic": "short.critic", "verifier": "short.verifier", "corrector": corrector}
    return Roles(named, splits=splits, shots=shots)


def _judged(critic: str, solver: str = "", corrector: str = "") -> Roles:
    """Return the roles of a set of published solutions with labels."""
    named = {"solver": solver, "critic": critic, "verifier": "short.verifier", "corrector": corrector}
    return Roles({role: name for role, name in named.items() if name}, published=True)


SHORT = _own("short.solver", "short.corrector")
SETS = {
    "gsm8k": SHORT,
    "math": SHORT,
    "competition": _own("short.solver", "short.corrector", splits=(), shots=""),
    "svamp": _own("short.solver", "short.corrector", splits=(), shots=""),
    "strategyqa": _own("truth.solver", "short.corrector", splits=("dev",)),
    "prontoqa": _own("truth.solver", "short.corrector", splits=(), shots=""),
    "game24": _own("expression.solver", "expression.corrector", splits=(), shots=""),
    "countdown_puzzles": _own("expression.solver", "expression.corrector"),
    "humaneval": _own("humaneval.solver", "code.corrector", shots=""),
    "mbpp": _own("mbpp.solver", "code.corrector", splits=("test", "all")),
    "gsm8k_solutions": _judged("short.critic", "short.solver", "short.corrector"),
    "realcritic": _judged("short.critic", "short.solver", "realcritic.corrector"),
    "criticbench": _judged("criticbench.critic"),
    "processbench": _judged("steps.critic"),
    "mr_gsm8k": _judged("steps.critic", "short.solver", "short.corrector"),
    "prm800k": _judged("steps.critic"),
    "math_shepherd": _judged("steps.critic"),
    "prmbench": _judged("steps.critic"),
    "bigbench_mistake": _judged("steps.critic"),
    "metacritique": Roles(),
    "pcbench": Roles(),
    "pcbench_judged": Roles(),
    "omegaprm": Roles(),
}
FAMILY = Roles(
    {role: f"family.{role}" for role in ROLES} | {"verifier": "family.critic"}, splits=("test",), shots="train"
)


def is_family(name: str) -> bool:
    """Return whether `name` is one of the workflow's own problem families."""
    return name in problems.names()


def of(name: str) -> Roles:
    """Return the roles of a benchmark: of a family, of a published set, or of a file of the user's (short answers)."""
    if is_family(name):
        return FAMILY
    return SETS.get(name, _own("short.solver", "short.corrector", splits=(), shots=""))


def chosen(name: str, asked: tuple[str, ...]) -> tuple[str, ...]:
    """Return the roles to run of those `asked` for (none: all that the benchmark has); UserError for one it does not have."""
    has = tuple(role for role in ROLES if role in of(name).prompts)
    for role in asked:
        if role not in has:
            there = f"it has {', '.join(has)}" if has else "its grading needs a judge, so a model cannot be run on it"
            raise UserError(f"bench.roles: {name} has no {role}{did_you_mean(role, has)}; {there}")
    if not has:
        raise UserError(
            f"bench.benchmarks: {name} has no role for a model: its grading needs a judge (docs/benchmarks.md)"
        )
    return asked or has


def prompt(name: str, role: str, instead: Mapping[str, str]) -> dict[str, str]:
    """Return {"name", "text"} of a benchmark's prompt for a role: the file of `instead` ("gsm8k.solver") where there is one."""
    own = instead.get(f"{name}.{role}")
    file = Path(own) if own else FOLDER / f"{of(name).prompts[role]}.jinja"
    try:
        return {"name": file.stem, "text": file.read_text()}
    except OSError as e:
        raise UserError(f"bench.prompts: {name}.{role}: {file}: {e.strerror}") from None
