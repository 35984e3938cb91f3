"""Learning curves: what a policy could do after each round, arm by arm, with intervals."""

from __future__ import annotations

from elenchus.lab import SHARED
from elenchus.metrics import catalogue
from elenchus.report import charts
from elenchus.report.charts import Series

POLICY = ("pass@", "majority@", "best@", "reward@", "accuracy", "diversity", "sound", "parsed")


def arms_of(measured: list[dict]) -> list[str]:
    """Return the arms that are measured after more than one round, in order."""
    rounds: dict[str, set] = {}
    for m in measured:
        rounds.setdefault(m["arm"], set()).add(m["round"])
    return [a for a, r in rounds.items() if a != SHARED and max(r) > 0]


def series(measured: list[dict], metric: str, arms: list[str], subject: str = "policy") -> list[Series]:
    """Return one line an arm: the mean over seeds by round; round 0, where an arm has none, is what the arms share.

    An interval is shown where there is one seed, or where the rows are pooled over seeds already.
    """
    rows = [m for m in measured if m["metric"] == metric and m["subject"] == subject and m["value"] is not None]
    lines = []
    for i, arm in enumerate(arms):
        own = [m for m in rows if m["arm"] == arm]
        if own and not any(m["round"] == 0 for m in own):
            own += [m for m in rows if m["arm"] == SHARED and m["round"] == 0]
        points = []
        for r in sorted({m["round"] for m in own}):
            at = [m for m in own if m["round"] == r]
            value = sum(m["value"] for m in at) / len(at)
            single = at[0] if len(at) == 1 else {}
            points.append((r, value, single.get("low"), single.get("high")))
        if points:
            lines.append(Series(arm, i, points))
    return lines


def metrics_to_draw(measured: list[dict], arms: list[str]) -> list[str]:
    """Return the policy metrics that arms were measured in over rounds and that moved, in the catalogue's order."""
    found: dict[str, set] = {}
    for m in measured:
        if m["arm"] in arms and m["subject"] == "policy" and m["round"] > 0:
            found.setdefault(m["metric"], set()).add(m["value"])
    moved = [m for m, values in found.items() if len(values) > 1]  # a flat line at zero says nothing
    named = [(i, m) for m in moved for i, p in enumerate(POLICY) if m == p or (p.endswith("@") and m.startswith(p))]
    return [m for _, m in sorted(named, key=lambda x: (x[0], [int(n) for n in x[1].partition("@")[2].split("-") if n]))]


def in_order(names: list[str]) -> tuple[list[str], list[str]]:
    """Return (the metrics that say most, the rest): of metrics "@k" the first and the last k."""
    first: dict[str, list[str]] = {}
    for name in names:
        head, _, k = name.partition("@")
        first.setdefault(f"{head}@s" if "-" in k else head, []).append(name)
    if "pass" in first:
        first.pop("accuracy", None)  # the same number as pass@1
    main = [
        n
        for head, own in first.items()
        if head != "parsed"
        for n in dict.fromkeys((own[0] if head == "pass" else own[-1], own[-1]))
    ]
    return main, [n for n in names if n not in main]


def draw(measured: list[dict], metric: str, arms: list[str], subject: str = "policy") -> str:
    """Return the chart of one metric of a subject over rounds."""
    lines = series(measured, metric, arms, subject)
    says = catalogue.find(metric).says
    bounds = catalogue.find(metric).bounds
    return charts.line_chart(
        lines,
        title=metric if subject == "policy" else f"{metric} of {subject}",
        x_label="round",
        bounds=bounds,
        whole_x=True,
        describe=f"{metric} by round: {says}",
    )


def standalone(measured: list[dict], arm: str) -> dict[str, str]:
    """Return {file: SVG} of an arm's curves beside the other arms', for a tracker's artifacts."""
    arms = arms_of(measured)
    if arm not in arms:
        return {}
    names = metrics_to_draw(measured, arms)
    return {f"curve-{n.replace('@', '-at-')}.svg": charts.alone(draw(measured, n, arms), 680, 440) for n in names}
