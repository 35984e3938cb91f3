"""Each recipe's page, docs/recipes/<id>.md, the README's table of papers, and the plan of the full reproduction: never by hand.

The same recipe and the same evidence give the same bytes; a test makes them again and compares.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from elenchus import evidence as evidences
from elenchus.findings import signed
from elenchus.plan import Plan, RecipePlan
from elenchus.recipes import Recipe
from elenchus.report import charts, curves, stage_graph

FOLDER = Path("docs/recipes")
START, END = "<!-- papers: made by `elenchus pages` -->", "<!-- papers: end -->"


def write(plan: Plan) -> list[Path]:
    """Write the pages and pictures of all recipes that have evidence, and the README's table; return what was written."""
    from elenchus.views import replace

    files = contents(plan)
    for path, text in files.items():
        replace(path, text)
    return list(files)


def contents(plan: Plan) -> dict[Path, str]:
    """Return {file: its text} of all pages, their pictures and the README."""
    from elenchus import reproduction_page

    found: dict[Path, str] = {}
    rows = []
    there = evidences.known(plan.root)
    for name, recipe in plan.recipes.items():
        if not plan.recipe(name).claims:
            continue
        planned = plan.evidence(name)
        evidence = evidences.read(plan.root, name) if name in there else evidences.wanting(planned)
        base = plan.root / FOLDER / name
        pictures = draw(planned, evidence)
        found |= {base.with_name(f"{name}-{what}.svg"): svg for what, svg in pictures.items()}
        found[base.with_suffix(".md")] = page(recipe, evidence, list(pictures))
        rows.append(table_row(recipe, evidence))
    found[plan.root / "README.md"] = readme((plan.root / "README.md").read_text(), rows)
    return found | reproduction_page.contents(plan.root)


def draw(recipe: RecipePlan, evidence: dict) -> dict[str, str]:
    """Return {name: SVG}: the claims as a forest plot, curves over rounds where there are any, the graph of stages."""
    found = {"claims": forest(evidence["claims"])} if evidence["made"] else {}
    arms = curves.arms_of(evidence["metrics"])
    chosen = curves_of(evidence, arms)
    if chosen:
        found["curves"] = side_by_side([curves.draw(evidence["metrics"], m, arms, s) for m, s in chosen], arms)
    found["stages"] = stage_graph.alone(recipe)
    return found


def curves_of(evidence: dict, arms: list[str], most: int = 6) -> list[tuple[str, str]]:
    """Return the (metric, subject) that are worth a curve: those of claims first, then the policies' main ones."""
    rounds: dict[tuple[str, str], set[int]] = {}
    for m in evidence["metrics"]:
        if m["value"] is not None and m["arm"] in arms:
            rounds.setdefault((m["metric"], m["subject"]), set()).add(m["round"])
    claimed = [(c["metric"], side["subject"]) for c in evidence["claims"] for side in (c["better"], c["than"]) if side]
    main, _ = curves.in_order(curves.metrics_to_draw(evidence["metrics"], arms))
    wanted = dict.fromkeys([*claimed, *((m, "policy") for m in main)])
    return [key for key in wanted if len(rounds.get(key, ())) > 1][:most]


def forest(claims: list[dict]) -> str:
    """Return the claims' intervals about their margins, one row each, in the claimed direction."""
    height, width, row, left = 30 + 26 * len(claims) + 20, 760, 26, 380
    signs = [1 if c["direction"] == "higher" else -1 for c in claims]
    ends = [s * c[k] for c, s in zip(claims, signs, strict=True) for k in ("low", "high", "value") if c[k] is not None]
    low, high = min([*ends, -0.02]), max([*ends, 0.02])
    x = charts.scale(low, high, left, width - 20)
    out = [charts.svg_open(width, height, "each claim's difference with its 95 % interval, positive as claimed")]
    out.append('<text class="title" x="0" y="13">difference in the claimed direction, with its 95 % interval</text>')
    out.append(f'<line class="zero" x1="{x(0)}" x2="{x(0)}" y1="22" y2="{height - 22}"/>')
    for i, (c, sign) in enumerate(zip(claims, signs, strict=True)):
        y = 36 + i * row
        out.append(f'<text x="0" y="{y + 4}">{i + 1}. {escape(sides(c))}: {c["verdict"]}</text>')
        if c["margin"] and low <= c["margin"] <= high:
            at = x(c["margin"])
            out.append(f'<g class="s5"><line class="line" x1="{at}" x2="{at}" y1="{y - 8}" y2="{y + 8}"/></g>')
        if c["value"] is not None:
            css = {"holds": "s2", "contradicted": "s4"}.get(c["verdict"], "s5")
            reach = [sign * (c["value"] if c[k] is None else c[k]) for k in ("low", "high")]
            line = f'<line class="line" x1="{x(min(reach))}" x2="{x(max(reach))}" y1="{y}" y2="{y}"/>'
            out.append(f'<g class="{css}">{line}<circle class="dot" cx="{x(sign * c["value"])}" cy="{y}" r="4.5"/></g>')
    for t in charts.ticks(low, high, 5):
        if low <= t <= high:
            out.append(f'<g class="axis"><text x="{x(t)}" y="{height - 5}" text-anchor="middle">{t:+g}</text></g>')
    return charts.alone("".join([*out, "</svg>"]), width, height)


def sides(c: dict) -> str:
    """Return what a claim compares in a few words: the metric and what tells its two sides apart."""
    better, than = c["better"], c["than"]
    if than is None:
        return f"{c['metric']}, {better['arm']}"
    key = next((k for k in ("arm", "subject", "round") if better[k] != than[k]), "arm")
    words = [f"{'round ' if key == 'round' else ''}{side[key]}" for side in (better, than)]
    return f"{c['metric']}, {words[0]} against {words[1]}"


def side_by_side(svgs: list[str], arms: list[str]) -> str:
    """Return charts of 340 by 220 in two columns, with a legend of the arms, as one picture."""
    width, height, per_row = 700, 230, 4
    top = 18 * -(-len(arms) // per_row)
    total = top + height * -(-len(svgs) // 2)
    out = [charts.svg_open(width, total, "metrics by round, one line an arm")]
    for i, arm in enumerate(arms):
        left, y = 175 * (i % per_row), 12 + 18 * (i // per_row)
        out.append(f'<g class="s{i % 8}"><circle class="dot" cx="{left + 6}" cy="{y - 4}" r="4"/></g>')
        out.append(f'<text x="{left + 15}" y="{y}">{arm}</text>')
    for i, svg in enumerate(svgs):
        place = f'<svg x="{350 * (i % 2)}" y="{top + height * (i // 2)}" width="340" height="220" '
        out.append(svg.replace("<svg ", place, 1))
    return charts.alone("".join([*out, "</svg>"]), width, total)


def page(recipe: Recipe, evidence: dict, pictures: list[str]) -> str:
    """Return a recipe's page as Markdown."""
    name = recipe.id
    link = f"[arXiv {recipe.arxiv}](https://arxiv.org/abs/{recipe.arxiv}) · " if recipe.arxiv else ""
    seconds, seeds = evidence["cost"]["seconds"], evidence["seeds"]
    took = f" ({seconds / 60:.0f} minutes of stages on one core's clock, shared ones included)" if seconds else ""
    lines = [
        f"# {recipe.title}",
        "",
        f"{link}`snakemake {name}` runs it, `snakemake evidence_{name}` tests its claims over seeds "
        f"{', '.join(map(str, seeds))}{took}.",
        "",
        recipe.summary,
        "",
        "## Claims",
        "A difference is paired over problems and seeds, with its 95 % interval; *budget* is what both sides spent, where the",
        "claim takes them as equal. [How verdicts come about](../how-numbers-are-made.md#claims).",
        "",
        *claims_table(evidence["claims"]),
        "",
    ]
    if "claims" in pictures:
        lines += [f"![The claims' differences with intervals]({name}-claims.svg)", ""]
    if "curves" in pictures:
        lines += ["## Rounds", f"![Metrics by round, one line an arm]({name}-curves.svg)", ""]
    if evidence["made"]:
        lines += ["## Measured", *measured_table(evidence), "", "## Costs", *costs_table(evidence), ""]
    if evidence.get("overlap"):
        lines += ["## Training data against test items", *overlap_table(evidence["overlap"]), ""]
    for heading, items in (("Departures from the paper", recipe.departures), ("Findings", recipe.findings)):
        if items:
            lines += [f"## {heading}", *(f"{i}. {item}" for i, item in enumerate(items, 1)), ""]
    lines += ["## Stages", f"![The graph of stages]({name}-stages.svg)", ""]
    made = f"Evidence: `evidence/{name}.json`, {evidence['made'][:10]}, {'; '.join(evidence['machines'])}."
    made = made if evidence["made"] else f"There is no evidence yet: `snakemake evidence_{name}` makes it."
    if carried := evidence.get("carried"):
        made += (
            f" {carried['stages']} of its {len(evidence['stages'])} stages were made by earlier code and [carried]"
            f"(../how-numbers-are-made.md#carried-results): today's code made {carried['checked']} of them anew, byte for byte."
        )
    return "\n".join([*lines, made, ""])


def claims_table(claims: list[dict]) -> list[str]:
    """Return the claims as a table: the statement, the paper's value, ours, the budgets, the verdict."""
    rows = ["| | claim | paper | here | budget | verdict |", "|---|---|---|---|---|---|"]
    for i, c in enumerate(claims, 1):
        digits = charts.number
        against = f" {digits(c['better_value'])} against {digits(c['than_value'])}," if c["than"] else ""
        interval = f"[{signed(c['low'])}, {signed(c['high'])}]" if c["low"] is not None else ""
        margin = f"; margin {c['margin']:+g}" if c["margin"] else ""
        ours = f"`{c['metric']}`"
        if c["value"] is not None:
            ours += f"{against} {signed(c['value'])} {interval} ({c['items']} problems, {c['seeds']} seeds{margin})"
        sides = c["budgets"]
        spent = "; ".join(
            f"{k.replace('_', ' ')} {charts.number(sides['better'][k])} / {charts.number(sides['than'][k])}"
            for k in c["equal"]
            if "than" in sides
        )
        rows.append(
            f"| {i} | {sentence(c['statement'])} | {c['paper']} | {ours} | {spent or '–'} | **{c['verdict']}**: {c['why']} |"
        )
    return rows


def sentence(statement: str) -> str:
    """Return a statement as a table shows it: a capital first, no full stop."""
    return statement[0].upper() + statement[1:].rstrip(".")


def measured_table(evidence: dict) -> list[str]:
    """Return the metrics that claims are about, a row for each thing measured: mean over seeds and its interval."""
    names = list(dict.fromkeys(c["metric"] for c in evidence["claims"]))
    table: dict[tuple, dict[str, dict]] = {}
    for m in evidence["metrics"]:
        if m["metric"] in names:
            table.setdefault((m["arm"], m["subject"], m["round"]), {})[m["metric"]] = m
    rows = ["| arm | subject | round | " + " | ".join(names) + " |", "|---|---|---|" + "---|" * len(names)]
    for (arm, subject, r), found in table.items():
        cells = [cell(found.get(n)) for n in names]
        rows.append(f"| {arm} | {subject} | {r} | " + " | ".join(cells) + " |")
    return rows


def cell(m: dict | None) -> str:
    """Return "0.812 [0.78, 0.84]", a dash where nothing was measured."""
    if m is None or m["value"] is None:
        return "–"
    interval = f" [{m['low']:.3f}, {m['high']:.3f}]" if m["low"] is not None and m["high"] is not None else ""
    return f"{m['value']:.3f}{interval}"


def overlap_table(overlap: dict) -> list[str]:
    """Return what training has of test items, as a sentence and a table."""
    unkept = (
        f" Not looked through, since it is drawn and not kept: {', '.join(overlap['not_kept'])}."
        if overlap["not_kept"]
        else ""
    )
    rows = [
        f"{overlap['texts']:,} different texts of {overlap['tables']} training tables.{unkept}",
        "",
        f"| test items | number | in training word for word | {overlap['n']} words in a row | half of those or more |",
        "|---|---:|---:|---:|---:|",
    ]
    for e in overlap["against"]:
        rows.append(f"| {e['name']} | {e['items']} | {e['exact']} | {e['any']} | {e['half_or_more']} |")
    return rows


def costs_table(evidence: dict) -> list[str]:
    """Return what each arm needed a seed, everything that it shares with others included."""
    head = ["arm", "tokens sampled", "tokens trained on", "oracle calls", "seconds", "peak memory"]
    rows = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for arm, c in evidence["arms"].items():
        amounts = [charts.number(c[k]) for k in ("sampled", "trained", "oracle_calls")]
        rows.append(f"| {arm} | " + " | ".join(amounts) + f" | {c['seconds']:.0f} | {c['peak_memory_mb']:.0f} MB |")
    return rows


def table_row(recipe: Recipe, evidence: dict) -> str:
    """Return a recipe's line of the README's table."""
    main = evidence["claims"][0]
    words = [c["verdict"] for c in evidence["claims"]]
    tally = ", ".join(f"{words.count(w)} {w}" for w in dict.fromkeys(words))
    paper = f"[{recipe.title.partition(':')[0]}]({FOLDER}/{recipe.id}.md)"
    interval = (
        f" {signed(main['value'])} [{signed(main['low'])}, {signed(main['high'])}]" if main["low"] is not None else ""
    )
    return (
        f"| {paper} | {sentence(main['statement'])} | `{main['metric']}`{interval} | **{main['verdict']}** | {tally} |"
    )


def readme(text: str, rows: list[str]) -> str:
    """Return the README with its table of papers, between its two marks, made of `rows`."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        return text
    head = ["| paper | its main claim | measured here | verdict | all claims |", "|---|---|---|---|---|"]
    table = "\n".join([*head, *rows]) if rows else "No evidence yet: `snakemake evidence` makes it."
    return f"{before}{start}\n{table}\n{end}{after}"
