"""Results of `snakemake bench` in the formats of two evaluation libraries, so that their viewers and scripts can read them.

    lm-eval   <to>/<model>/results_<time>.json, samples_<task>_<time>.jsonl (lm-evaluation-harness 0.4.13)
    inspect   <to>/<time>_<task>_<digest>.json, one log a task (inspect_ai 0.3.285)

A task is one thing measured: a benchmark in a role ("gsm8k solver"). The same results give the same bytes: times are those at
which the stages ended.
"""

from __future__ import annotations

from pathlib import Path

from elenchus import benchmarks, findings
from elenchus.errors import UserError, did_you_mean
from elenchus.exporting import inspect_log, lm_eval
from elenchus.exporting.tasks import task
from elenchus.plan import Plan, RecipePlan

FORMATS = {"lm-eval": lm_eval.write, "inspect": inspect_log.write}


def export(plan: Plan, recipe: RecipePlan, form: str, to: Path, arm: str | None = None) -> list[Path]:
    """Write all that a bench run measured to folder `to`; return the files. UserError for an unknown format or arm."""
    if form not in FORMATS:
        raise UserError(f"--format {form!r}{did_you_mean(form, FORMATS)}; allowed: {', '.join(FORMATS)}")
    arms = findings.arms(recipe)
    if arm and arm not in arms:
        raise UserError(f"--arm {arm!r}{did_you_mean(arm, arms)}; measured: {', '.join(arms)}")
    found = [task(plan, m) for m in recipe.measured if arm in (None, m.arm)]
    return FORMATS[form](found, to)


def restricted(recipe: RecipePlan) -> list[str]:
    """Return a sentence for each measured set whose items must not be published."""
    names = {m.stage.params["benchmark"] for m in recipe.measured}
    cards = {n: benchmarks.load(n).CARD for n in sorted(names & set(benchmarks.names()))}
    return [f"{n}: do not publish its items: {c.restricted}" for n, c in cards.items() if c.restricted]
