"""B-STaR's settings: the balance score over temperature and threshold, and what was chosen, round by round."""

from __future__ import annotations

import json
from itertools import pairwise

from elenchus import findings
from elenchus.plan import Plan, RecipePlan
from elenchus.report import charts
from elenchus.report.charts import number

MOST_COLUMNS = 8  # thresholds shown: the ones nearest to the chosen, where the grid has more


def maps(plan: Plan, recipe: RecipePlan) -> list[dict]:
    """Return the first seed's heat maps, a round each: {svg, caption}; empty where nothing was balanced."""
    first = findings.seeds(recipe)[0]
    shown = []
    seen = set()
    for named in recipe.named:
        if named.stage.kind != "balance" or named.seed != first or named.stage.digest in seen:
            continue
        seen.add(named.stage.digest)
        found = json.loads(findings.result(plan.root, named.stage).file("settings.json").read_text())
        title = f"{named.arm}, round {named.round}" if named.round else named.arm
        shown.append({"svg": heat(found, title), "caption": caption(found)})
    return shown


def heat(found: dict, title: str) -> str:
    """Return one grid; of many thresholds those go first whose scores are the next one's, then the farthest."""
    cells = {(c["temperature"], c["threshold"]): c["score"] for c in found["grid"]}
    temperatures, thresholds = sorted({t for t, _ in cells}), sorted({h for _, h in cells})
    chosen = found["temperature"], found["threshold"]
    kept = list(thresholds)
    for h, following in pairwise(thresholds):
        same = column(cells, temperatures, h) == column(cells, temperatures, following)
        if len(kept) > MOST_COLUMNS and h != chosen[1] and same:
            kept.remove(h)
    while len(kept) > MOST_COLUMNS:
        kept.remove(max(kept, key=lambda h: (abs(h - chosen[1]), -h)))
    return charts.heat_map(temperatures, kept, cells, chosen=chosen, title=title)


def column(cells: dict, temperatures: list[float], threshold: float) -> list[float]:
    """Return the scores of one threshold."""
    return [cells.get((t, threshold)) for t in temperatures]


def caption(found: dict) -> str:
    """Return what was chosen, in words."""
    cell = next(
        c for c in found["grid"] if (c["temperature"], c["threshold"]) == (found["temperature"], found["threshold"])
    )
    return (
        f"temperature {number(found['temperature'])}, threshold {number(found['threshold'])}: balance {number(found['balance_score'])}, "
        f"{cell['kept']} samples kept, {100 * cell['accuracy']:.0f} % of them right; n* = {found['target']}"
    )
