"""Results for people's eyes, in a terminal: a problem, a solution with its critiques, a pair, a tree, a whole result."""

from __future__ import annotations

import json
import re
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from elenchus import findings, problems, schemas
from elenchus.errors import CorruptResult, UserError
from elenchus.graph import RESULTS
from elenchus.job import read_manifest
from elenchus.lookup import files, find, matches, problem_of, related, solution_of


def show(root: Path, what: str, console: Console, *, tree: bool = False, rows: int = 10) -> None:
    """Print what an id (or the beginning of one), a stage's digest, a result folder or a table file holds; else UserError."""
    named = (root / RESULTS).glob(f"[a-z]*/{what}") if re.fullmatch("[0-9a-f]{16}", what) else ()
    path = next((p for p in (Path(what), root / what, *named) if p.exists()), None)
    if path is not None:
        console.print(a_file(path.resolve(), rows))
        return
    table, folder, row = find(root, what)
    views = {
        "problems": a_problem,
        "solutions": a_solution,
        "critiques": a_critique,
        "refinements": a_refinement,
        "pairs": a_pair,
    }
    console.print(a_tree(root, row) if tree and table == "problems" else views[table](root, folder, row))


def mark(ok: bool) -> str:
    """Return a tick or a cross, coloured."""
    return "[green]✓[/]" if ok else "[red]✗[/]"


def heading(kind: str, name: str, folder: Path) -> str:
    """Return a panel's title."""
    return f"{kind} [bold]{escape(name)}[/] [dim]{folder.parent.name}/{folder.name}[/]"


def a_problem(root: Path, folder: Path, row: dict) -> RenderableType:
    """Return a problem, its exact solution, and which solutions of it there are."""
    problem = problems.from_row(row)
    family = problems.load(problem.family)
    body: list[RenderableType] = [
        Text(problem.prompt, style="bold"),
        f"answer [green]{escape(problem.answer or '(many)')}[/]   split {row['split']}",
    ]
    body.append("[dim]an exact solution[/] " + escape(" | ".join(family.reference(problem))))
    tried = related(root, "solutions", "problem_id", problem.id)
    if tried:
        listed = Table(box=None, padding=(0, 2, 0, 0), title=f"{len(tried)} of its solutions", title_justify="left")
        for name in ("", "solution", "answer", "first error", "by"):
            listed.add_column(name)
        for where, s in tried:
            error = "" if s["first_error"] < 0 else f"step {s['first_error'] + 1}: {s['error']}"
            listed.add_row(
                mark(s["correct"]), s["solution_id"], s["answer"] or "-", error, f"{where.parent.name}/{where.name}"
            )
        body += ["", listed]
    if any(matches(p, "problem_id", problem.id) for p in files(root, "nodes")):
        body += ["", f"[dim]its search tree: elenchus show {problem.id} --tree[/]"]
    return Panel(Group(*body), title=heading("problem", problem.id, folder), title_align="left")


def a_solution(root: Path, folder: Path, row: dict, only: str | None = None) -> RenderableType:
    """Return a solution with its exact step labels, the critiques of it beside them (or one of them), its refinements."""
    problem = problem_of(root, row["problem_id"])
    checks = problems.load(problem.family).check_steps(problem, list(row["steps"]))
    critiques = [c for _, c in related(root, "critiques", "solution_id", row["solution_id"])]
    critiques = [c for c in critiques if only is None or c["critique_id"] == only]
    listed = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("step", "", "exact", *(c["critic"] for c in critiques)):
        listed.add_column(name)
    for i, (step, check) in enumerate(zip(row["steps"], checks)):
        exact = mark(check.ok) + ("" if check.ok else f" {check.error} → {check.expected}")
        listed.add_row(str(i + 1), escape(step), exact, *(said_of(c, i, check.ok) for c in critiques))
    verdict = "[green]right[/]" if row["correct"] else f"[red]wrong[/], it is {escape(problem.answer or 'another')}"
    listed.add_row(
        "", f"answer {escape(row['answer'] or '-')}", verdict, *(overall(c, row["correct"]) for c in critiques)
    )
    body: list[RenderableType] = [Text(problem.prompt, style="bold"), "", listed]
    if not row["parsed"]:
        body.append(f"[red]breaks the format:[/] {escape(row['text'])}")
    body += [
        f"[dim]{escape(c['critic'])} cannot be read ({escape(c['parse_error'])}):[/] {escape(c['text'])}"
        for c in critiques
        if not c["parsed"]
    ]
    for _, r in related(root, "refinements", "solution_id", row["solution_id"]):
        if only is None or r["critique_id"] == only:
            body.append(
                f"{mark(r['correct'])} refined under [bold]{escape(r['critique_id'].split('~')[-1])}[/]: {changed(row['steps'], r)}"
            )
    setting = f"temperature {row['temperature']:g}, {row['tokens']} tokens, log-probability {row['logprob']:.2f}"
    return Panel(
        Group(*body, f"[dim]{setting}[/]"), title=heading("solution", row["solution_id"], folder), title_align="left"
    )


def said_of(critique: dict, step: int, ok: bool) -> str:
    """Return what a critique says of a step; red where it is mistaken."""
    if not critique["parsed"]:
        return "[dim]·[/]"
    flags = {s: (e, f) for s, e, f in zip(critique["bad_steps"], critique["errors"], critique["fixes"])}
    text = "✓" if step not in flags else "✗ {} → {}".format(*flags[step])
    return f"[{'green' if (step in flags) != ok else 'bold red'}]{escape(text)}[/]"


def overall(critique: dict, correct: bool) -> str:
    """Return a critique's verdict; red where it is mistaken."""
    if not critique["parsed"]:
        return "[dim]unreadable[/]"
    sure = "" if findings.number(critique["confidence"]) is None else f" ({critique['confidence']:.2f})"
    return f"[{'green' if (critique['verdict'] == 'right') == correct else 'bold red'}]{critique['verdict']}[/]{sure}"


def changed(before: list[str], refinement: dict) -> str:
    """Return a refinement's steps, those that differ from the solution's in bold."""
    parts = [
        escape(s) if i < len(before) and before[i] == s else f"[bold]{escape(s)}[/]"
        for i, s in enumerate(refinement["steps"])
    ]
    return " | ".join(parts) + f"  answer {escape(refinement['answer'] or '-')}"


def a_critique(root: Path, folder: Path, row: dict) -> RenderableType:
    """Return a critique beside the solution that it is about."""
    where, solution = solution_of(root, row["solution_id"])
    return Group(
        a_solution(root, where, solution, only=row["critique_id"]),
        Panel(Text(row["text"]), title=heading("critique", row["critique_id"], folder), title_align="left"),
    )


def a_refinement(root: Path, folder: Path, row: dict) -> RenderableType:
    """Return a refinement: the solution and critique before it, and its own steps with their exact labels."""
    problem = problem_of(root, row["problem_id"])
    where, solution = solution_of(root, row["solution_id"])
    checks = problems.load(problem.family).check_steps(problem, list(row["steps"]))
    listed = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("step", "before", "after", "exact"):
        listed.add_column(name)
    for i, (step, check) in enumerate(zip(row["steps"], checks)):
        before = solution["steps"][i] if i < len(solution["steps"]) else ""
        after = escape(step) if step == before else f"[bold]{escape(step)}[/]"
        listed.add_row(
            str(i + 1),
            escape(before),
            after,
            mark(check.ok) + ("" if check.ok else f" {check.error} → {check.expected}"),
        )
    listed.add_row(
        "",
        f"answer {solution['answer'] or '-'}",
        f"answer {row['answer'] or '-'}",
        f"{mark(row['was_correct'])} → {mark(row['correct'])}",
    )
    after = Panel(listed, title=heading("refinement", row["refinement_id"], folder), title_align="left")
    return Group(a_solution(root, where, solution, only=row["critique_id"]), after)


def a_pair(root: Path, folder: Path, row: dict) -> RenderableType:
    """Return a preference pair: what was asked, what was chosen and rejected, and why."""
    asked = "\n".join(f"<{m['role']}> {m['content']}" for m in json.loads(row["prompt"]))
    gains = (
        f"revisions under it are right: {row['chosen_gain']:.2f} against {row['rejected_gain']:.2f}"
        if findings.number(row["chosen_gain"]) is not None
        else "no revision filter"
    )
    body = Group(
        Text(asked, style="dim"),
        "",
        f"[green]chosen[/]   ({escape(row['chosen_critic'])}) {escape(row['chosen'])}",
        f"[red]rejected[/] ({escape(row['rejected_critic'])}) {escape(row['rejected'])}",
        "",
        f"{escape(row['reason'])}, margin {row['margin']:.2f}; {gains}; {'kept' if row['kept'] else '[red]dropped by the filter[/]'}",
    )
    return Panel(body, title=heading("pair", row["pair_id"], folder), title_align="left")


def a_tree(root: Path, row: dict, most: int = 120) -> RenderableType:
    """Return the newest search tree of a problem, indented, with visits and values."""
    path = next((p for p in files(root, "nodes") if matches(p, "problem_id", row["problem_id"])), None)
    if path is None:
        raise UserError(f"{row['problem_id']}: no search among the results has a tree of this problem")
    nodes = matches(path, "problem_id", row["problem_id"])
    children: dict[int, list[dict]] = {}
    for n in nodes:
        children.setdefault(n["parent"], []).append(n)
    left = most

    def grow(at: Tree, node: int) -> None:
        nonlocal left
        for n in sorted(children.get(node, ()), key=lambda n: (-n["visits"], n["node"])):
            if left <= 0:
                at.add("[dim]…[/]")
                return
            left -= 1
            end = f" {mark(n['correct'])}" if n["terminal"] and n["correct"] is not None else ""
            model = "" if n["model_value"] is None else f", evaluator {n['model_value']:.2f}"
            label = f"{escape(n['step'])}{end}  [dim]{n['visits']} visits, value {n['value']:.2f}{model}[/]"
            grow(at.add(label), n["node"])

    top = children[-1][0]
    facts = f"{top['visits']} visits, value {top['value']:.2f}, {len(nodes)} nodes"
    drawn = Tree(f"[bold]{escape(row['prompt'])}[/] = {escape(row['answer'])}  [dim]{facts}[/]")
    grow(drawn, top["node"])
    return Panel(drawn, title=heading("tree", row["problem_id"], path.parent), title_align="left")


def a_file(path: Path, rows: int) -> RenderableType:
    """Return a result folder, or a table or JSON file of one, in short."""
    if path.is_dir():
        return a_result(path)
    if path.suffix == ".json":
        text = path.read_text()
        return Text(text if len(text) < 20_000 else text[:20_000] + "\n…")
    if path.suffix != ".parquet":
        raise UserError(f"{path}: neither a result folder nor a table (.parquet) nor JSON")
    return first_rows(path, rows)


def first_rows(path: Path, rows: int) -> RenderableType:
    """Return a table's first rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, use_threads=False)
    except (pa.ArrowException, OSError) as e:
        raise CorruptResult(f"{path}: not a readable Parquet file ({e})") from e
    listed = Table(title=f"{path.stem}: {table.num_rows} rows", title_justify="left", padding=(0, 1, 0, 0), box=None)
    for name in table.column_names:
        listed.add_column(name, overflow="ellipsis", no_wrap=True, min_width=4)
    for row in table.slice(0, rows).to_pylist():
        listed.add_row(*(escape(f"{v:.4g}" if isinstance(v, float) else str(v)) for v in row.values()))
    return listed


def a_result(folder: Path) -> RenderableType:
    """Return what a result folder says of itself."""
    m = read_manifest(folder)
    facts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    facts.add_row("kind", m["kind"])
    facts.add_row("digest", f"{m['digest']}  [dim](code {m['code']})[/]")
    facts.add_row("seed", "none: the same for every seed" if m["seed"] is None else str(m["seed"]))
    for key, value in m["params"].items():
        facts.add_row(f"  {key}", escape(json.dumps(value, ensure_ascii=False)))
    for name, given in m["inputs"].items():
        facts.add_row(f"from {name}", ", ".join([given] if isinstance(given, str) else given))
    for name, entry in m["files"].items():
        rows = ""
        if name.endswith(".parquet") and Path(name).stem in schemas.SCHEMAS:
            import pyarrow.parquet as pq

            rows = f", {pq.ParquetFile(folder / name).metadata.num_rows} rows"
        facts.add_row("file", f"{name}  [dim]{entry['bytes']:,} bytes{rows}, sha256 {entry['sha256'][:12]}[/]")
    cost = folder / "cost.json"
    if cost.is_file():
        c = json.loads(cost.read_text())
        spent = f"{c['sampled']:,} tokens sampled, {c['trained']:,} trained on, {c['oracle_calls']:,} oracle calls"
        facts.add_row("cost", f"{spent}, {c['seconds']:.1f} s, {c['peak_memory_mb']:.0f} MB")
        facts.add_row("made", f"{c['ended']} at commit {c['commit']}, Python {c['python']}, {c['machine']}")
    return Panel(facts, title=f"result [bold]{m['kind']}/{m['digest']}[/]", title_align="left")
