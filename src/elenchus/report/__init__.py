"""A recipe's report: one HTML page that stands alone. It opens from disk, without a network, in light and dark."""

from __future__ import annotations

import json
from pathlib import Path

from elenchus import evidence, findings, lineage
from elenchus.plan import Plan, RecipePlan
from elenchus.report import charts, costs, critics, curves, examples, measured_sets, settings, stage_graph, tree_picture


def write(plan: Plan, recipe: RecipePlan, path: Path) -> None:
    """Write the page of `recipe` to `path`; UserError where a result that it shows is missing or damaged."""
    path.write_text(render(plan, recipe))


def render(plan: Plan, recipe: RecipePlan) -> str:
    """Return the page's HTML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(plan.root / "workflow" / "report"),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(num=charts.number, seconds=seconds, tokens=tokens)
    return environment.get_template("page.html.j2").render(content(plan, recipe))


def content(plan: Plan, recipe: RecipePlan) -> dict:
    """Return all that the page's template shows. Values named *_svg and *_html are safe markup."""
    measured = findings.measurements(plan, recipe)
    pooled = findings.pooled(plan, recipe)
    compared = findings.comparisons(plan, recipe)
    arms = curves.arms_of(pooled)
    shown, folded = curves.in_order(curves.metrics_to_draw(pooled, arms))
    by_name = {c["name"]: c for c in compared}
    judged = {c.statement: evidence.judge(plan, recipe, c, by_name[c.statement]) for c in recipe.claims}
    browser = examples.gather(plan, recipe)
    spent = costs.by_arm(plan, recipe)
    total = findings.total_cost(plan.root, recipe.stages)
    made = [findings.cost(plan.root, s) for s in recipe.stages]
    return {
        "recipe": recipe.recipe,
        "seeds": findings.seeds(recipe),
        "families": sorted({f for s in recipe.stages for f in s.families}),
        "stages": stage_graph.stage_rows(recipe),
        "brief": lineage.brief,
        "cost_of": {s.digest: c for s, c in zip(recipe.stages, made)},
        "total": total,
        "verdicts": [verdict(c, judged.get(c["name"])) for c in compared],
        "graph_svg": stage_graph.draw(recipe),
        "graph_legend_html": stage_graph.legend(),
        "curve_svgs": [curves.draw(pooled, m, arms) for m in shown],
        "more_curve_svgs": [curves.draw(pooled, m, arms) for m in folded],
        "curve_legend_html": charts.legend((a, i) for i, a in enumerate(arms)),
        "policies": policy_table(pooled),
        "critics": critics.tables(pooled),
        "trainings": trainings(plan, recipe),
        "seed_model": seed_model(plan, recipe),
        "balances": settings.maps(plan, recipe),
        "benchmarks": measured_sets.tables(plan, recipe),
        "overlap": measured_sets.overlap(plan, recipe),
        "tree": tree(plan, recipe),
        "browser": script_json(browser),
        "browser_items": len(browser["items"]),
        "browser_critics": browser["critics"],
        "costs": spent,
        "kinds": costs.by_kind(plan, recipe),
        "budget_note": costs.note(spent, arms),
        "consistency_html": costs.self_consistency(pooled),
        "measurements": len(measured),
        "commits": sorted({c.get("commit", "unknown") for c in made}),
        "machines": sorted({c.get("machine", "unknown") for c in made}),
        "ended": max((c.get("ended", "") for c in made), default=""),
        "params_yaml": parameters(plan, recipe),
        "digest": recipe.digest,
    }


CLAIM_OUTCOMES = {"holds": "better", "contradicted": "worse", "inconclusive": "open", "not comparable": "open"}


def verdict(c: dict, claim: dict | None = None) -> dict:
    """Return one comparison for the page: its sentence, its mark and its forest plot; as a claim's, with its verdict."""
    if claim:
        c = {**c, "outcome": CLAIM_OUTCOMES[claim["verdict"]]}
    reach = max(abs(v) for v in (c["value"], c["low"], c["high"], 0.05) if v is not None) * 1.1
    good = {"better": True, "worse": False}.get(c["outcome"])
    found = charts.number
    detail = [f"{c['metric']} {found(c['better_value'])} against {found(c['than_value'])}", findings.extent(c)]
    if c["effect"] is not None:
        detail.append(f"effect size d = {findings.signed(c['effect'], 2)}")
    if c["mdd"]:
        detail.append(f"a difference of {found(c['mdd'])} would have been found four times in five")
    word = {"better": "better", "worse": "worse", "open": "no difference shown"}[c["outcome"]]
    if claim:
        word = claim["verdict"]
        detail += [claim["why"], f"the paper: {claim['paper']}"]
    return {
        **c,
        "word": word,
        "shown": findings.difference(c),
        "detail": " · ".join(detail),
        "plot_svg": charts.interval_bar(c["value"] or 0, c["low"], c["high"], reach, good=good),
    }


def policy_table(pooled: list[dict]) -> dict:
    """Return the policies' numbers as a table: columns of metrics, a row for each arm, round and subject."""
    names = [m for m in dict.fromkeys(p["metric"] for p in pooled) if m.startswith(curves.POLICY)]
    rows: dict[tuple, dict[str, dict]] = {}
    for p in pooled:
        if p["metric"] in names:
            rows.setdefault((p["arm"], p["round"], p["subject"]), {})[p["metric"]] = p
    shown = {k: v for k, v in rows.items() if any(m.startswith("pass@") or m == "accuracy" for m in v)}
    columns = [n for n in names if any(n in v for v in shown.values())]
    return {
        "columns": columns,
        "rows": [(*k, [critics.cell(v.get(n), None) for n in columns]) for k, v in shown.items()],
    }


def trainings(plan: Plan, recipe: RecipePlan) -> list[dict]:
    """Return the first seed's training curves, the rounds of one training end to end: {name, where, kind, steps, svgs}."""
    first = findings.seeds(recipe)[0]
    grouped: dict[tuple[str, str, str], list] = {}
    for named, rows in findings.histories(plan, recipe):
        if named.seed == first:
            grouped.setdefault((named.arm, named.name, named.stage.kind), []).append((named.round, rows))
    shown = []
    for (arm, name, kind), rounds in grouped.items():
        lines: dict[str, list[charts.Series]] = {}
        start = 0
        for i, (round, rows) in enumerate(rounds):
            by_metric: dict[str, list] = {}
            for row in rows:
                if findings.number(row["value"]) is not None:
                    by_metric.setdefault(row["metric"], []).append((start + row["step"], row["value"], None, None))
            for metric, points in by_metric.items():
                label = metric if round is None else f"{metric}, round {round}"
                lines.setdefault(metric, []).append(charts.Series(label, i % 2, points, dots=len(points) < 25))
            start += max((row["step"] for row in rows), default=0)
        svgs = [
            charts.line_chart(drawn, title=metric, width=260, height=150)
            for metric, drawn in lines.items()
            if len({p[1] for s in drawn for p in s.points}) > 1
        ]
        ends = sorted(r for r, _ in rounds if r is not None)
        where = arm + (f", rounds {ends[0]} to {ends[-1]}" if len(ends) > 1 else f", round {ends[0]}" if ends else "")
        shown.append({"name": name, "where": where, "kind": kind, "steps": start, "svgs": svgs})
    return shown


SKILLS = {  # of a seed model's card, in the order of the page
    "pass@1": "solves (pass@1)",
    "pass@32": "solves in 32 tries",
    "f1": "finds the first error (F1)",
    "f1_wrong": "of it, on wrong solutions",
    "f1_right": "of it, on right solutions",
    "refine": "mends under a true critique",
    "formed": "keeps the form",
}


def seed_model(plan: Plan, recipe: RecipePlan) -> dict | None:
    """Return what the first seed's seed model is and can do, from its card: {about, skills}; None where there is none."""
    stage = next((n.stage for n in recipe.named if n.stage.kind == "seed_model"), None)
    if stage is None:
        return None
    card = json.loads(findings.result(plan.root, stage).file("card.json").read_text())
    about = [f"{charts.number(card['parameters'])} parameters"] if "parameters" in card else []
    if "tokens_trained" in card:
        about.append(f"trained here from scratch on {charts.number(card['tokens_trained'])} tokens")
    if "steps" in card:
        about.append("steps: " + ", ".join(f"{n} of {phase}" for phase, n in card["steps"].items()))
    if "kept_step" in card:
        about.append(f"the weights of step {card['kept_step']} kept, whose skills were nearest to those wanted")
    measured = [(SKILLS[k], f"{card['skills'][k]:.2f}") for k in SKILLS if k in card.get("skills", {})]
    return {"about": "; ".join(about), "skills": measured}


def tree(plan: Plan, recipe: RecipePlan) -> dict | None:
    """Return one search tree of the recipe: {svg, caption, prompt, answer}; None where nothing is searched."""
    from elenchus import problems

    stage = next((n.stage for n in recipe.named if n.stage.kind == "search"), None)
    if stage is None:
        return None
    nodes = findings.rows(findings.result(plan.root, stage), "nodes")
    chosen = tree_picture.choose(nodes)
    asked = findings.rows(findings.result(plan.root, stage.inputs["problems"]), "problems")
    problem = problems.from_row(next(r for r in asked if r["problem_id"] == chosen))
    svg, caption = tree_picture.draw([n for n in nodes if n["problem_id"] == chosen], problem.prompt)
    return {"svg": svg, "caption": caption, "prompt": problem.prompt, "answer": problem.answer, "id": problem.id}


def parameters(plan: Plan, recipe: RecipePlan) -> str:
    """Return the parameters that the recipe reads, as YAML."""
    import yaml

    from elenchus.tracked import SECTIONS, dump

    section = {name: dump(getattr(plan.config, name)) for name in (*SECTIONS, recipe.recipe.id)}
    return yaml.safe_dump({"seeds": list(plan.config.seeds), **section}, sort_keys=False, allow_unicode=True, width=110)


def script_json(value: object) -> str:
    """Return JSON that is safe inside a script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def seconds(value: float) -> str:
    """Return a duration for people."""
    if value < 90:
        return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"
    return f"{value / 60:.1f} min" if value < 5400 else f"{value / 3600:.1f} h"


def tokens(value: float) -> str:
    """Return a count of tokens for people."""
    return charts.number(round(value)) if value else "0"
