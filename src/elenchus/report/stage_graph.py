"""The picture of a recipe's stages: seeds and rounds folded, a lane for each arm, layers from top to bottom."""

from __future__ import annotations

from html import escape

from elenchus.graph import Stage
from elenchus.lab import SHARED
from elenchus.plan import RecipePlan
from elenchus.report.charts import svg_open
from elenchus.report.stage_groups import Group, groups, reduce

THEMES = {  # kind -> colour class and its word in the legend
    "problems": "data",
    "disjoint": "data",
    "examples": "data",
    "cases": "data",
    "seed_model": "train",
    "pretrained": "data",
    "sft": "train",
    "dpo": "train",
    "step_dpo": "train",
    "grpo": "train",
    "offline_rl": "train",
    "process_head": "train",
    "sample": "write",
    "search": "write",
    "guided_search": "write",
    "games": "write",
    "refine": "write",
    "revised": "data",
    "critique": "judge",
    "aggregate": "judge",
    "contrast": "judge",
    "pairs": "judge",
    "step_pairs": "judge",
    "answer": "judge",
    "label": "judge",
    "score": "judge",
    "balance": "judge",
    "select": "judge",
    "evaluate": "measure",
    "judge": "measure",
    "summary": "measure",
}
WORDS = {
    "data": "data",
    "train": "training",
    "write": "sampling and search",
    "judge": "critique, scores, choices",
    "measure": "measurement",
}
BOX_W, BOX_H, GAP_X, GAP_Y, HEAD = 128, 36, 14, 26, 30


def lay_out(boxes: list[Group], lanes: list[str]) -> tuple[dict[str, tuple[float, float]], int]:
    """Set each box's layer and x; return ({lane: (left, width)}, number of layers)."""
    for b in boxes:
        b.layer = max((boxes[p].layer + 1 for p in b.parents), default=0)
    for i in reversed(range(len(boxes))):  # what its own lane does not lead to comes just before it is needed
        children = [c for c in boxes if i in c.parents]
        if children and all(boxes[p].arm != boxes[i].arm for p in boxes[i].parents):
            boxes[i].layer = max(boxes[i].layer, min(c.layer for c in children) - 1)
    layers = max(b.layer for b in boxes) + 1
    spans: dict[str, tuple[float, float]] = {}
    left = 0.0
    for lane in lanes:
        rows = [[b for b in boxes if b.arm == lane and b.layer == k] for k in range(layers)]
        most = max(len(r) for r in rows)
        width = most * (BOX_W + GAP_X) + GAP_X
        for row in rows:
            row.sort(key=lambda b: sum(boxes[p].x for p in b.parents) / len(b.parents) if b.parents else 0)
            start = left + (width - len(row) * (BOX_W + GAP_X) + GAP_X) / 2
            for k, b in enumerate(row):
                b.x = start + k * (BOX_W + GAP_X)
        spans[lane] = (left, width)
        left += width + 10
    return spans, layers


def title_of(box: Group) -> str:
    """Return what a box is called: its name, or what its names have in common."""
    if len(box.names) == 1:
        return box.names[0]
    heads = {n.split("-")[0] for n in box.names}
    return heads.pop() if len(heads) == 1 else box.kind


def draw(recipe: RecipePlan) -> str:
    """Return the picture as SVG."""
    boxes = groups(recipe)
    reduce(boxes)
    present = {b.arm for b in boxes}
    lanes = [a for a in (SHARED, *recipe.recipe.arms) if a in present] + sorted(present - {SHARED, *recipe.recipe.arms})
    spans, layers = lay_out(boxes, lanes)
    width = sum(w for _, w in spans.values()) + 10 * (len(spans) - 1)
    height = HEAD + layers * (BOX_H + GAP_Y) + 6
    out = [
        svg_open(
            width,
            height,
            f"the stages of {recipe.recipe.id}: {len(boxes)} groups in {len(lanes)} lanes",
            "stages",
            natural=True,
        )
    ]
    for lane, (left, w) in spans.items():
        out.append(f'<rect class="lane" x="{left}" y="0" width="{w}" height="{height}" rx="8"/>')
        out.append(f'<text class="lane-name" x="{left + w / 2}" y="19" text-anchor="middle">{escape(lane)}</text>')
    for i, b in enumerate(boxes):
        for p in sorted(b.parents):
            out.append(edge(boxes[p], b, f"e{p} e{i}"))
        for p in sorted(b.loops):
            if p != i:
                out.append(loop(boxes[p], b, f"e{p} e{i}"))
    for i, b in enumerate(boxes):
        out.append(box_svg(b, i))
    return "".join([*out, "</svg>"])


STYLE = """
text { font: 11.5px system-ui, sans-serif; fill: #1e2126; } .lane { fill: #fff; stroke: #e3e0d6; }
.lane-name { font-weight: 600; fill: #666a73; font-size: 12px; } .edge { fill: none; stroke: #8b8f98; stroke-width: 1.2; opacity: .5; }
.edge.far { opacity: .16; } .edge.loop { stroke-dasharray: 4 3; opacity: .9; }
.box rect { fill: #fff; stroke: var(--c); stroke-width: 1.4; }
.box .kind, .box .times { fill: #666a73; font-size: 10px; } .box .times { font-weight: 600; } .t-data { --c: #8b8f98; }
.t-train { --c: #2e8b57; } .t-write { --c: #2c62b6; } .t-judge { --c: #c4861f; } .t-measure { --c: #b3365b; }
"""


def alone(recipe: RecipePlan) -> str:
    """Return the picture as a file of its own, in the page's light colours."""
    head, _, rest = draw(recipe).partition(">")
    return f'{head}><style>{STYLE}</style><rect width="100%" height="100%" fill="#faf9f5"/>{rest}\n'


def top_of(box: Group) -> float:
    """Return the y of a box's upper edge."""
    return HEAD + box.layer * (BOX_H + GAP_Y)


def edge(a: Group, b: Group, css: str) -> str:
    """Return the curve from box a down to box b."""
    x1, y1, x2, y2 = a.x + BOX_W / 2, top_of(a) + BOX_H, b.x + BOX_W / 2, top_of(b)
    bend = max((y2 - y1) / 2, 14)
    far = (a.arm != b.arm and b.layer - a.layer > 2) or a.kind == "problems"  # drawn faintly, in full on hovering
    css += " far" if far else ""
    return f'<path class="edge {css}" d="M{x1:.1f},{y1:.1f} C{x1:.1f},{y1 + bend:.1f} {x2:.1f},{y2 - bend:.1f} {x2:.1f},{y2:.1f}"/>'


def loop(a: Group, b: Group, css: str) -> str:
    """Return the dashed curve from box a back up to box b of the next round."""
    x1, y1, x2, y2 = a.x + BOX_W, top_of(a) + BOX_H / 2, b.x + BOX_W, top_of(b) + BOX_H / 2
    out = max(x1, x2) + 16
    return f'<path class="edge loop {css}" d="M{x1:.1f},{y1:.1f} C{out:.1f},{y1:.1f} {out:.1f},{y2:.1f} {x2:.1f},{y2:.1f}"/>'


def box_svg(b: Group, i: int) -> str:
    """Return one box: its name, its kind, how many stages it stands for."""
    y = top_of(b)
    times = f"× {b.per_seed}" if b.per_seed > 1 else ""
    name = title_of(b)
    shown = name if len(name) <= 19 else name[:18] + "…"
    rounds = f", rounds {min(b.rounds)}–{max(b.rounds)}" if len(b.rounds) > 1 else ""
    names = ", ".join(sorted(set(b.names)))
    tip = escape(f"{names}: {b.kind}, {len(b.stages)} stage{'s' if len(b.stages) > 1 else ''}{rounds}")
    return (
        f'<g class="box t-{THEMES.get(b.kind, "data")}" data-i="{i}" data-tip="{tip}" transform="translate({b.x:.1f},{y:.1f})">'
        f'<rect width="{BOX_W}" height="{BOX_H}" rx="6"/>'
        f'<text x="10" y="15">{escape(shown)}</text>'
        f'<text class="kind" x="10" y="28">{escape(b.kind.replace("_", " "))}</text>'
        f'<text class="times" x="{BOX_W - 8}" y="28" text-anchor="end">{times}</text></g>'
    )


def legend() -> str:
    """Return the key of the boxes' colours."""
    return (
        '<div class="legend">'
        + "".join(f'<span class="key t-{c}"><i></i>{w}</span>' for c, w in WORDS.items())
        + "</div>"
    )


def stage_rows(recipe: RecipePlan) -> list[tuple[Stage, str]]:
    """Return every stage with the places where it is named, for the table of stages."""
    places: dict[str, list[str]] = {}
    for n in recipe.named:
        at = f"{n.arm}/seed{n.seed}" + (f"/round{n.round}" if n.round else "") + f"/{n.name}"
        places.setdefault(n.stage.digest, []).append(at)
    return [(s, "; ".join(places.get(s.digest, ["summary"]))) for s in recipe.stages]
