"""The words of `elenchus explain` and `elenchus compare`: lineage, told."""

from __future__ import annotations

import json

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from elenchus import findings, lineage
from elenchus.errors import UserError, did_you_mean
from elenchus.lab import Measured
from elenchus.plan import Plan, RecipePlan


def explain(
    plan: Plan,
    recipe: str,
    arm: str,
    metric: str,
    console: Console,
    *,
    round: int | None,
    seed: int | None,
    subject: str | None,
) -> None:
    """Print a metric's value and everything upstream of it; UserError with the nearest name where something is unknown."""
    chosen = plan.recipe(recipe)
    arm = lineage.known(arm, findings.arms(chosen), f"recipe {chosen.recipe.id!r} has no measured arm")
    measured, row = locate(plan, chosen, arm, metric, round, seed, subject)
    interval = f" [{row['low']:.3f}, {row['high']:.3f}]" if row["low"] is not None and row["high"] is not None else ""
    at = f"{chosen.recipe.id}/{arm}, round {measured.round}, seed {measured.seed}, subject {measured.subject}"
    console.print(
        f"[bold]{row['metric']} = {row['value']:.4f}[/]{escape(interval)}   over {row['n']} problems   [dim]{escape(at)}[/]"
    )
    console.print(f"measured by [bold]{measured.stage.kind}[/] {measured.stage.folder}\n")
    names: dict[str, str] = {}
    for n in chosen.named:
        names.setdefault(n.stage.digest, n.name + (f" (round {n.round})" if n.round else ""))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", "kind", "name", "digest", "seed", "code", "from", "parameters other than defaults"):
        table.add_column(name, overflow="fold")
    chain = lineage.upstream(measured.stage)
    numbers = {s.digest: i for i, s in enumerate(chain, 1)}
    for s in chain:
        came = ", ".join(str(numbers[p.digest]) for p in dict.fromkeys(s.parents))
        seed_ = "any" if s.seed is None else str(s.seed)
        table.add_row(
            str(numbers[s.digest]),
            s.kind,
            names.get(s.digest, ""),
            s.digest,
            seed_,
            s.code[:8],
            came,
            escape(lineage.brief(s)),
        )
    console.print(table)
    console.print()
    for s in chain:
        if s.kind == "problems":
            console.print(f"data      {escape(data_line(plan, s))}")
    commits = sorted({findings.cost(plan.root, s).get("commit", "not made") for s in chain})
    console.print(f"commit    {', '.join(commits)}")
    total = findings.total_cost(plan.root, chain)
    spent = (
        f"{total['sampled']:,} tokens sampled, {total['trained']:,} trained on, {total['oracle_calls']:,} oracle calls"
    )
    console.print(f"cost      {spent}, {total['seconds']:.0f} s")
    console.print(f"again     snakemake {measured.stage.manifest}", soft_wrap=True)
    console.print(f"look      elenchus show {measured.stage.folder}", soft_wrap=True)


def locate(
    plan: Plan, recipe: RecipePlan, arm: str, metric: str, round: int | None, seed: int | None, subject: str | None
) -> tuple[Measured, dict]:
    """Return (the measurement, its row): the last round, first seed and first subject that have the metric, unless told."""
    chosen = lineage.evaluations(recipe, arm, seed=seed, round=round, subject=subject)
    made = [m for m in chosen if findings.done(plan.root, m.stage)]
    if not made:
        raise UserError(f"{recipe.recipe.id}/{arm} is not measured yet; run\n  snakemake {chosen[-1].stage.manifest}")
    names: dict[str, None] = {}
    order = sorted(made, key=lambda m: (-m.round, m.seed))
    for m in order:
        for row in findings.rows(findings.result(plan.root, m.stage), "metrics"):
            names[row["metric"]] = None
            if row["metric"] == metric:
                return m, {**row, "low": findings.number(row["low"]), "high": findings.number(row["high"])}
    raise UserError(f"arm {arm!r} has no metric {metric!r}{did_you_mean(metric, names)}; it has: {', '.join(names)}")


def data_line(plan: Plan, stage) -> str:
    """Return what a problem set is: its split, size, family, and the digest of its table's bytes."""
    p = stage.params
    manifest = (
        json.loads((plan.root / stage.manifest).read_text()) if findings.done(plan.root, stage) else {"files": {}}
    )
    sha = manifest["files"].get("problems.parquet", {}).get("sha256", "not made")[:16]
    return f"{p['n']} {p['split']} problems of {p['family']}, sha256 {sha}, ids in {stage.folder}/manifest.json"


def compare(plan: Plan, a: str, b: str, console: Console) -> None:
    """Print the first stage in which two runs differ, and the others that differ of themselves."""
    pairs = matched(lineage.resolve(plan, a), lineage.resolve(plan, b), a, b)
    for what, left, right in pairs:
        if len(pairs) > 1:
            console.print(f"[bold]{escape(what)}[/]")
        found = lineage.differences(left, right)
        if not found:
            missing = [n for n in (left, right) if n.files is None]
            same = "the same stage" if left.digest == right.digest else "equal"
            console.print(f"no difference: {same}" + (", not made yet" if missing else ", equal bytes, all the way up"))
            continue
        tell_first(found[0], console)
        for d in found[1:6]:
            console.print(
                f"  [dim]then {d.a.kind} {d.a.digest} | {d.b.digest}: {escape('; '.join(f'{k}: {t}' for k, t in d.what[:3]))}[/]",
                soft_wrap=True,
            )
        if len(found) > 6:
            console.print(f"  [dim]and {len(found) - 6} more stages that differ of themselves[/]")


def matched(left: list, right: list, a: str, b: str) -> list[tuple[str, lineage.Node, lineage.Node]]:
    """Return the pairs to compare: by what they measure where both sides hold several."""
    if len(left) == 1 and len(right) == 1:
        return [(left[0][0], left[0][1], right[0][1])]
    by_name = dict(right)
    both = [(name, node, by_name[name]) for name, node in left if name in by_name]
    if not both:
        said = [", ".join(name for name, _ in side) for side in (left, right)]
        raise UserError(f"{a} measured {said[0]}; {b} measured {said[1]}: nothing in common. Name a subject or a stage")
    return both


def tell_first(d: lineage.Difference, console: Console) -> None:
    """Print one difference in full."""
    console.print(f"first difference: [bold]{d.a.kind}[/]")
    for sign, node in (("a", d.a), ("b", d.b)):
        console.print(f"  {sign}  {node.folder}{'' if node.files is not None else '  (not made yet)'}", soft_wrap=True)
    for what, text in d.what:
        console.print(f"  [bold]{what}[/]  {escape(text)}", soft_wrap=True)
