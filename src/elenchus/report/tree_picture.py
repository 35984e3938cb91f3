"""One search tree as a picture: visits as size, values as colour, right and wrong leaves marked."""

from __future__ import annotations

from html import escape

from elenchus.report.charts import number, svg_open

ROW, COLUMN, MOST_LEAVES = 27, 158, 20


def choose(nodes: list[dict]) -> str | None:
    """Return the problem whose tree tells most: right and wrong leaves, and a size that fits a page."""
    trees: dict[str, list[dict]] = {}
    for n in nodes:
        trees.setdefault(n["problem_id"], []).append(n)

    def worth(problem: str) -> tuple:
        ends = [n["correct"] for n in trees[problem] if n["terminal"]]
        mixed = min(sum(c is True for c in ends), sum(c is False for c in ends))
        return (mixed > 0, -abs(len(ends) - 14), mixed, problem)

    return max(trees, key=worth, default=None)


def prune(nodes: list[dict]) -> tuple[dict[int, list[dict]], int]:
    """Return ({parent: children, most visited first}, nodes left out) with at most MOST_LEAVES leaves."""
    kept = {n["node"]: n for n in nodes}
    left_out = 0
    while True:
        parents = {n["parent"] for n in kept.values()}
        leaves = [n for n in kept.values() if n["node"] not in parents]
        if len(leaves) <= MOST_LEAVES:
            break
        ends = [n for n in leaves if not n["terminal"]] or leaves
        gone = min(ends, key=lambda n: (n["visits"], -n["depth"], -n["node"]))
        del kept[gone["node"]]
        left_out += 1
    children: dict[int, list[dict]] = {}
    for n in kept.values():
        children.setdefault(n["parent"], []).append(n)
    for group in children.values():
        group.sort(key=lambda n: (-n["visits"], n["node"]))
    return children, left_out


def draw(nodes: list[dict], prompt: str) -> tuple[str, str]:
    """Return (SVG, a caption) of one problem's tree, root at the left."""
    children, left_out = prune(nodes)
    root = children[-1][0]
    at: dict[int, tuple[float, float]] = {}
    next_row = 0

    def place(n: dict, depth: int) -> float:
        nonlocal next_row
        below = [place(c, depth + 1) for c in children.get(n["node"], ())]
        if below:
            y = (below[0] + below[-1]) / 2
        else:
            y = 20 + ROW * next_row
            next_row += 1
        at[n["node"]] = (22 + COLUMN * depth, y)
        return y

    place(root, 0)
    shown = [n for group in children.values() for n in group]
    deepest = max(n["depth"] for n in shown)
    width, height = 22 + COLUMN * deepest + 150, 20 + ROW * next_row + 4
    most = max(n["visits"] for n in shown) or 1
    out = [svg_open(width, height, f"search tree of {prompt}", "tree", natural=True)]
    for n in shown:
        if n["parent"] >= 0:
            (x1, y1), (x2, y2) = at[n["parent"]], at[n["node"]]
            thick = 0.8 + 4 * (n["visits"] / most) ** 0.5
            curve = f"M{x1},{y1:.1f} C{x1 + 60},{y1:.1f} {x1 + 30},{y2:.1f} {x2},{y2:.1f}"
            out.append(f'<path class="branch" style="stroke-width:{thick:.1f}" d="{curve}"/>')
    for n in shown:
        out.append(node_svg(n, *at[n["node"]], most))
    out.append("</svg>")
    ends = [n for n in nodes if n["terminal"]]
    right = sum(n["correct"] is True for n in ends)
    caption = f"{len(nodes)} nodes, {len(ends)} finished solutions, {right} of them right."
    if left_out:
        caption += f" The {left_out} least visited nodes are left out of the picture."
    return "".join(out), caption


def node_svg(n: dict, x: float, y: float, most: int) -> str:
    """Return one node: a disc as large as its visits, filled by its value, with its step beside it."""
    radius = 4 + 7 * (n["visits"] / most) ** 0.5
    share = max(0.0, min(1.0, n["value"] if n["value"] == n["value"] else 0.0))
    mark = "" if n["correct"] is None or not n["terminal"] else ("✓" if n["correct"] else "✗")
    css = "" if not mark else " right" if mark == "✓" else " wrong"
    step = n["step"] or "start"
    model = "" if n["model_value"] is None else f", evaluator {number(n['model_value'], 2)}"
    tip = escape(f"{step}: {n['visits']} visits, value {number(n['value'], 2)}, prior {number(n['prior'], 2)}{model}")
    shown = step if len(step) <= 18 else step[:17] + "…"
    facts = f"{n['visits']} · {number(n['value'], 2)}"
    disc = f'cx="{x}" cy="{y:.1f}" r="{radius:.1f}"'
    fill = f"color-mix(in oklab, var(--good) {100 * share:.0f}%, var(--bad))"
    return (
        f'<g class="node{css}" data-tip="{tip}"><circle class="under" {disc}/>'
        f'<circle class="value" {disc} style="fill:{fill}"/>'
        f'<text x="{x + radius + 5:.1f}" y="{y - 0.5:.1f}">{escape(shown)} <tspan class="mark">{mark}</tspan></text>'
        f'<text class="facts" x="{x + radius + 5:.1f}" y="{y + 9.5:.1f}">{facts}</text></g>'
    )
