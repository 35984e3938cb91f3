"""Charts as SVG text, drawn by hand: small, self-contained, coloured by the page's CSS so that they follow light and dark.

Every chart is drawn at its natural size for a narrow column; the page scales it. Colours are classes: s0, s1, ... for
series, `good`, `bad`, `muted` for meaning. STYLE gives the same colours to a chart that stands alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

STYLE = """
text { font: 11px system-ui, sans-serif; fill: #333; } .title { font-weight: 600; font-size: 12px; }
.axis line, .grid line { stroke: #d5d5d5; } .axis text { fill: #666; } path, polyline { fill: none; }
.line { stroke: var(--c); stroke-width: 2; } .band { fill: var(--c); opacity: .14; stroke: none; } .dot { fill: var(--c); }
.s0 { --c: #2c62b6; } .s1 { --c: #c4661f; } .s2 { --c: #2e8b57; } .s3 { --c: #8a4fb0; } .s4 { --c: #b3365b; } .s5 { --c: #6b7280; }
.zero { stroke: #999; stroke-dasharray: 3 3; }
"""


@dataclass(frozen=True)
class Series:
    """One line of a chart. points: (x, y, low, high), low and high None where there is no interval."""

    name: str
    colour: int
    points: Sequence[tuple[float, float, float | None, float | None]]
    dashed: bool = False
    dots: bool = True


def number(value: float | None, digits: int = 3) -> str:
    """Return a number for people: three significant decimals below 10, thousands as k and M."""
    if value is None or not math.isfinite(value):
        return "–"
    if abs(value) >= 1e6:
        return f"{value / 1e6:.3g}M"
    if abs(value) >= 1e4:
        return f"{value / 1e3:.3g}k"
    if float(value).is_integer() and abs(value) >= 10:
        return f"{value:.0f}"
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") if abs(value) < 10 else f"{value:.4g}"


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round numbers that cover [low, high], at most about `most` of them."""
    if not high > low:
        high = low + 1
    rough = (high - low) / max(most - 1, 1)
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first = math.floor(low / step + 1e-9) * step
    found = []
    while first + len(found) * step <= high + step * 0.001:
        found.append(round(first + len(found) * step, 10))
    if found[-1] < high - step * 0.001:
        found.append(round(found[-1] + step, 10))
    return found


def scale(low: float, high: float, start: float, end: float):
    """Return the linear map of [low, high] onto [start, end]."""
    span = (high - low) or 1.0
    return lambda value: round(start + (value - low) / span * (end - start), 2)


def line_chart(
    series: Sequence[Series],
    *,
    title: str = "",
    x_label: str = "",
    width: int = 340,
    height: int = 220,
    bounds: tuple[float, float] | None = None,
    whole_x: bool = False,
    describe: str = "",
) -> str:
    """Return lines with their interval bands. bounds: the range that y may not leave; whole_x: ticks at whole numbers only."""
    points = [p for s in series for p in s.points]
    ys = [v for p in points for v in p[1:] if v is not None]
    xs = [p[0] for p in points]
    if not points:
        return ""
    low, high = min(ys), max(ys)
    pad = (high - low) * 0.08 or abs(high) * 0.2 or 0.05
    least, most = (0 if low >= 0 else -math.inf), (1 if low >= 0 and high <= 1 else math.inf)
    low, high = max(low - pad, least), min(high + pad, most)  # no room where no value of such a quantity can lie
    if bounds:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    y_ticks = ticks(low, high)
    x_ticks = sorted(set(xs)) if whole_x and len(set(xs)) <= 8 else ticks(min(xs), max(xs), 5)
    x_ticks = [t for t in x_ticks if t >= min(xs) and not (whole_x and not float(t).is_integer())]
    left, right, top, bottom = 42, 12, 26 if title else 10, 34 if x_label else 22
    x_high = max(max(xs), x_ticks[-1] if x_ticks else 0) if max(xs) > min(xs) else min(xs) + 1
    x = scale(min(xs), x_high, left + 6, width - right)
    y = scale(y_ticks[0], y_ticks[-1], height - bottom, top)
    out = [svg_open(width, height, describe or title)]
    if title:
        out.append(f'<text class="title" x="0" y="13">{escape(title)}</text>')
    out.append('<g class="axis grid">')
    for t in y_ticks:
        out.append(f'<line x1="{left}" x2="{width - right}" y1="{y(t)}" y2="{y(t)}"/>')
        out.append(f'<text x="{left - 6}" y="{y(t) + 3.5}" text-anchor="end">{number(t)}</text>')
    for t in x_ticks:
        out.append(f'<text x="{x(t)}" y="{height - bottom + 15}" text-anchor="middle">{number(t)}</text>')
    if x_label:
        out.append(
            f'<text x="{(left + width - right) / 2}" y="{height - 4}" text-anchor="middle">{escape(x_label)}</text>'
        )
    out.append("</g>")
    for s in series:
        out.append(one_series(s, x, y))
    return "".join([*out, "</svg>"])


def one_series(s: Series, x, y) -> str:
    """Return the marks of one line: its band, its line, its points with what they say."""
    points = sorted(s.points, key=lambda p: p[0])
    out = [f'<g class="s{s.colour % 8}">']
    banded = [p for p in points if p[2] is not None and p[3] is not None]
    if len(banded) > 1:
        outline = [f"{x(p[0])},{y(p[3])}" for p in banded] + [f"{x(p[0])},{y(p[2])}" for p in reversed(banded)]
        out.append(f'<polygon class="band" points="{" ".join(outline)}"/>')
    elif banded:
        p = banded[0]
        out.append(f'<line class="line whisker" x1="{x(p[0])}" x2="{x(p[0])}" y1="{y(p[2])}" y2="{y(p[3])}"/>')
    if len(points) > 1:
        line = " ".join(f"{x(p[0])},{y(p[1])}" for p in points)
        out.append(f'<polyline class="line{" dashed" if s.dashed else ""}" points="{line}"/>')
    if s.dots or len(points) == 1:
        for p in points:
            interval = f" [{number(p[2])}, {number(p[3])}]" if p[2] is not None and p[3] is not None else ""
            tip = escape(f"{s.name}, {number(p[0])}: {number(p[1])}{interval}")
            out.append(f'<circle class="dot" cx="{x(p[0])}" cy="{y(p[1])}" r="3.2" data-tip="{tip}"/>')
    return "".join([*out, "</g>"])


def legend(names: Iterable[tuple[str, int]]) -> str:
    """Return an HTML legend: (name, colour) each."""
    items = "".join(f'<span class="key s{c % 8}"><i></i>{escape(n)}</span>' for n, c in names)
    return f'<div class="legend">{items}</div>'


def interval_bar(value: float, low: float | None, high: float | None, reach: float, *, good: bool | None) -> str:
    """Return one row of a forest plot: an interval and its value about zero, on [-reach, reach].

    good: True and False colour the mark, None leaves it grey (the interval spans zero).
    """
    width, height = 240, 26
    x = scale(-reach, reach, 8, width - 8)
    mark = "muted" if good is None else "good" if good else "bad"
    low, high = (value if low is None else low), (value if high is None else high)
    return "".join(
        [
            svg_open(width, height, f"{number(value)}, interval {number(low)} to {number(high)}", css="forest"),
            f'<line class="rule" x1="8" x2="{width - 8}" y1="13" y2="13"/>',
            f'<line class="zero" x1="{x(0)}" x2="{x(0)}" y1="1" y2="25"/>',
            f'<g class="{mark}"><line class="whisker" x1="{x(low)}" x2="{x(high)}" y1="13" y2="13"/>',
            f'<circle class="dot" cx="{x(value)}" cy="13" r="5"/></g></svg>',
        ]
    )


def heat_map(rows: Sequence[float], columns: Sequence[float], cells: dict, *, chosen: tuple | None, title: str) -> str:
    """Return a grid of values {(row, column): value} shaded from the least to the most, the chosen cell framed."""
    cell_w, cell_h, left, top = 50, 30, 46, 40
    width, height = max(left + cell_w * len(columns) + 4, 170), top + cell_h * len(rows) + 20
    values = [v for v in cells.values() if v is not None]
    low, high = (min(values), max(values)) if values else (0, 1)
    shade = scale(low, high, 0.06, 0.9) if high > low else (lambda _: 0.4)
    out = [
        svg_open(width, height, title, natural=True),
        f'<text class="title" x="0" y="12">{escape(title)}</text><g class="axis">',
    ]
    for j, c in enumerate(columns):
        out.append(f'<text x="{left + cell_w * (j + 0.5)}" y="{top - 6}" text-anchor="middle">{number(c)}</text>')
    for i, r in enumerate(rows):
        out.append(f'<text x="{left - 7}" y="{top + cell_h * (i + 0.5) + 4}" text-anchor="end">{number(r)}</text>')
    out.append("</g>")
    frame = ""
    for i, r in enumerate(rows):
        for j, c in enumerate(columns):
            value = cells.get((r, c))
            if value is None:
                continue
            at = f'x="{left + cell_w * j + 1}" y="{top + cell_h * i + 1}" width="{cell_w - 2}" height="{cell_h - 2}" rx="3"'
            ink = "on" if shade(value) > 0.5 else "off"
            out.append(f'<rect class="heat" {at} style="fill-opacity:{shade(value)}"/>')
            middle = f'x="{left + cell_w * (j + 0.5)}" y="{top + cell_h * (i + 0.5) + 4}" text-anchor="middle"'
            out.append(f'<text class="heat-{ink}" {middle}>{number(value)}</text>')
            if chosen == (r, c):
                frame = f'<rect class="chosen" {at}/>'
    return "".join([*out, frame, "</svg>"])


def svg_open(width: float, height: float, describe: str, css: str = "chart", natural: bool = False) -> str:
    """Return the opening of an SVG that says what it shows. natural: never wider than drawn."""
    style = f' style="max-width:{width:.0f}px"' if natural else ""
    return (
        f'<svg class="{css}" viewBox="0 0 {width:.0f} {height:.0f}" xmlns="http://www.w3.org/2000/svg" role="img" '
        f'aria-label="{escape(describe, quote=True)}"{style}>'
    )


def alone(svg: str, width: int, height: int) -> str:
    """Return a chart as a file of its own."""
    head, _, rest = svg.partition(">")
    return f'{head} width="{width}" height="{height}"><style>{STYLE}</style><rect width="100%" height="100%" fill="#fff"/>{rest}\n'
