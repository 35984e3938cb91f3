"""What each arm and each kind of stage spent, whether arms are comparable, and what test-time sampling buys per token."""

from __future__ import annotations

import re

from elenchus import findings, stages
from elenchus.graph import Stage, walk
from elenchus.plan import Plan, RecipePlan
from elenchus.report import charts
from elenchus.report.charts import Series

BUDGET = ("sampled", "trained", "oracle_calls")
SAME = 0.10  # budgets that differ by more are said to differ


def by_arm(plan: Plan, recipe: RecipePlan) -> list[dict]:
    """Return one row an arm, a mean over seeds: everything that its measurements need, and its budget.

    budget: tokens sampled and trained on, and oracle calls, that the method itself takes (`own`).
    """
    names, seeds = findings.arms(recipe), findings.seeds(recipe)
    needs = {(arm, seed): findings.arm_stages(recipe, arm, seed) for arm in names for seed in seeds}
    rows = []
    for arm in names:
        totals = [findings.total_cost(plan.root, needs[arm, s]) for s in seeds if needs[arm, s]]
        row = {k: sum(t[k] for t in totals) / len(totals) for k in findings.SPENT}
        budgets = []
        for seed in seeds:
            others = {s.digest for a in names for s in needs[a, seed] if a != arm}
            spent = findings.total_cost(plan.root, own(needs[arm, seed], others))
            budgets.append(sum(spent[k] for k in BUDGET))
        peak = max(t["peak_memory_mb"] for t in totals)
        rows.append({"arm": arm, **row, "peak_memory_mb": peak, "budget": sum(budgets) / len(totals)})
    return rows


def own(needed: list[Stage], others: set[str]) -> list[Stage]:
    """Return the stages that only this arm needs, without those that serve its measurement alone.

    What serves its measurement alone leads to no training of its own; an arm that trains nothing spends where it is measured.
    """
    alone = [s for s in needed if s.digest not in others]
    trained = [s for s in alone if "model" in stages.load(s.kind).OUTPUTS]
    if not trained:
        return alone
    method = {s.digest for s in walk(trained)}
    return [s for s in alone if s.digest in method]


def by_kind(plan: Plan, recipe: RecipePlan) -> list[dict]:
    """Return one row a kind of stage over all arms and seeds, the slowest first."""
    kinds: dict[str, list] = {}
    for s in recipe.stages:
        kinds.setdefault(s.kind, []).append(s)
    rows = [{"kind": k, "stages": len(v), **findings.total_cost(plan.root, v)} for k, v in kinds.items()]
    return sorted(rows, key=lambda r: (-r["seconds"], r["kind"]))


def note(rows: list[dict], arms: list[str]) -> str:
    """Return whether the arms that are set against each other had equal budgets, in a sentence; "" where there is one."""
    budgets = {r["arm"]: r["budget"] for r in rows if r["arm"] in arms}
    if len(budgets) < 2:
        return ""
    least, most = min(budgets, key=budgets.get), max(budgets, key=budgets.get)
    if budgets[least] <= 0:
        return ""
    gap = budgets[most] / budgets[least] - 1
    what = "tokens sampled and trained on, and oracle calls, beyond the stages that arms share"
    if gap <= SAME:
        within = f"{100 * gap:.0f} %" if gap >= 0.01 else "1 %"
        return f"Budgets ({what}) agree within {within}: the arms compare at equal cost."
    return (
        f"Budgets differ: {most} spent {100 * gap:.0f} % more than {least} ({what}). "
        "Part of a difference between them may be bought rather than earned."
    )


def self_consistency(pooled: list[dict]) -> str:
    """Return the chart of majority@k against tokens spent on a problem, with what refinement buys; "" where unmeasured.

    One line for each policy: the seed model and each arm's last round. A point for each critic: one draft, its critique
    and its refinement.
    """
    table = {(m["arm"], m["round"], m["subject"], m["metric"]): m for m in pooled if m["value"] is not None}
    policies = sorted({(a, r, s) for a, r, s, metric in table if metric.startswith("majority@")})
    policies = [p for p in policies if p[2] == "policy"] or policies
    last = {(a, s): max(r for x, r, y in policies if (x, y) == (a, s)) for a, _, s in policies}
    lines = []
    for arm, r, subject in policies:
        if last[arm, subject] != r:
            continue
        tokens = table.get((arm, r, subject, "tokens"))
        each = tokens["value"] if tokens else 1.0
        points = []
        for (a, b, s, metric), m in table.items():
            k = re.fullmatch(r"(?:majority@|pass@(?=1$))(\d+)", metric)  # the majority of one is that one
            if (a, b, s) == (arm, r, subject) and k:
                points.append((int(k[1]) * each, m["value"], m["low"], m["high"]))
        at = f", round {r}" if r else ""
        lines.append(Series(f"{arm} {subject}{at}", len(lines), points))
    if not lines:
        return ""
    lines += refined(table, len(lines))
    unit = "tokens sampled per problem" if any(metric == "tokens" for *_, metric in table) else "samples per problem"
    chart = charts.line_chart(
        lines, x_label=unit, width=440, height=250, bounds=(0, 1), describe="majority vote against tokens"
    )
    return chart + charts.legend((s.name, s.colour) for s in lines)


def refined(table: dict[tuple, dict], colour: int) -> list[Series]:
    """Return a point for each critic: the accuracy after refinement, at the tokens of draft, critique and refinement."""
    points = []
    for (arm, r, subject, metric), m in table.items():
        spent = [table.get((arm, r, subject, f"{what}_tokens")) for what in ("critique", "refinement")]
        drafts = [v for (a, _, s, x), v in table.items() if x == "tokens" and (a == arm or s == "policy")]
        if metric == "acc2" and all(spent) and drafts:
            tokens = drafts[0]["value"] + sum(x["value"] for x in spent)
            name = f"refined once, critic {subject}"
            points.append(Series(name, colour + len(points), [(tokens, m["value"], m["low"], m["high"])]))
    return points
