"""docs/full-reproduction.md and its plot: the plan of the papers' own scale (`elenchus.reproduction`) in words and tables.

The same tree gives the same bytes; a test makes the page again and compares.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from elenchus import cluster_cost, gpus, resources, schedule, stage_times
from elenchus.cli import count
from elenchus.cluster_cost import LENGTHS, MEANT, Assumptions, Need
from elenchus.reproduction import (
    GPUS,
    GROWTH,
    Scenario,
    Slurm,
    Total,
    at_cluster,
    cluster_scenarios,
    growth,
    laptop_scenarios,
    recipe_needs,
    slurm_profile,
    together,
    total,
)
from elenchus.stages import Lengths
from elenchus.training.scale import Choice

PAGE, PLOT = Path("docs/full-reproduction.md"), Path("docs/full-reproduction.svg")


def contents(root: Path) -> dict[Path, str]:
    """Return {file: its text} of the page and its plot; nothing where the project has no measured stage times."""
    if not (root / stage_times.FILE).is_file():
        return {}
    a, slurm, whole = Assumptions(), slurm_profile(root), at_cluster(root)
    parts = {name: recipe_needs(whole, name, a) for name in whole.recipes}
    every = together(list(parts.values()))
    laptop, times, matched = laptop_scenarios(root, a, slurm)
    cluster = cluster_scenarios(every, a, slurm)
    spans = {id(s): {g: s.makespan(g) for g in GPUS} for s in [*laptop, *cluster]}
    lines = [
        *INTRODUCTION,
        "",
        "## What it takes",
        *recipes_table(parts, every, a, slurm),
        "",
        *notes(every, whole.config.training),
        "",
        "## The arithmetic",
        *arithmetic(every, a),
        "",
        "## Assumptions",
        *assumptions_table(a, LENGTHS),
        "",
        "## Ten and a hundred times that",
        *growth_table(every, a, slurm),
        "",
        "## The schedule, simulated",
        *schedule_text(times, matched, len(laptop[0].tasks), a, slurm),
        "",
        f"![Speed-up over one GPU, of the evidence and of the papers' own scale]({PLOT.name})",
        "",
        "The evidence, with measured times (a GPU stands for a core of the machine that they were measured on):",
        "",
        *schedule_table(laptop, spans),
        "",
        "The papers' own scale, with estimated times:",
        "",
        *schedule_table(cluster, spans),
        "",
        *order_text(cluster, spans),
    ]
    return {root / PAGE: "\n".join(lines) + "\n", root / PLOT: draw(laptop, cluster, spans)}


INTRODUCTION = [
    "# The full reproduction, planned",
    "",
    "What `scale: cluster` would take: every recipe with its paper's values as far as `params.yaml` has them, over the seeds of the",
    "evidence. It has never been run, and nothing here is measured on a GPU. Every assumption is one named value, and any can be another:",
    "```",
    "elenchus cost                                    # the tables below",
    'elenchus cost rest_mcts --assume training=0.4 --assume "card=NVIDIA A100-SXM4-80GB" --assume solution=500',
    "```",
    "`elenchus pages` makes this page; a test makes it again and compares.",
]


def notes(found: Sequence[Need], training: Choice) -> list[str]:
    """Return what the table's columns mean, and which stages do not fit the GPUs that they ask for."""
    short = [n for n in found if n.gpus > (resources.asked(n.stage, "gpu", 1, {}, training) or 0)]
    lines = [
        "Hours in brackets: training. Stages that recipes share are in each of them, and once in the last line. GPUs: of the widest stage.",
        "Storage: what is kept, weights in float32, optimizer states where a next round inherits them; a training under way takes 12 bytes",
        "a parameter more for its checkpoint. A recipe without hours names no pretrained model at this scale: it would run on the",
        "workflow's own small one. Values that a recipe's section `cluster` does not set are the laptop's, problems included.",
    ]
    if short:
        lines += [
            "",
            f"**More GPUs**: {big(len(short))} of {big(len(found))} stages need more GPUs for their memory than params.yaml's section "
            f"`training` gives them, up to {max(n.gpus for n in short)}: "
            f"{', '.join(f'`{kind}`' for kind in sorted({n.stage.kind for n in short}))}. Its `processes`, or those of a model in its "
            "`models`, give trainers more ([training](training.md)).",
        ]
    return lines


def hours(seconds: float) -> str:
    """Return seconds as minutes, from two hours on as hours, from ten days on as days."""
    if seconds >= 10 * 86400:
        return f"{seconds / 86400:,.0f} d"
    if seconds < 7200:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h" if seconds < 360_000 else f"{seconds / 3600:,.0f} h"


def size(n: float) -> str:
    """Return bytes for people, in powers of ten."""
    for limit, unit in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB")):
        if n >= limit:
            return f"{n / limit:.3g} {unit}"
    return f"{n / 1e6:.3g} MB"


def big(n: float) -> str:
    """Return a number with thousands apart, three significant digits below ten."""
    return f"{n:.2g}" if 0 < n < 10 else f"{n:,.0f}"


def recipe_row(name: str, t: Total, model: str) -> list[str]:
    """Return a recipe's cells of the table."""
    return [
        name,
        model or "the small one",
        big(t.stages),
        big(t.jobs),
        count(t.sampled),
        count(t.prompt),
        count(t.trained),
        f"{big(t.gpu_hours)} ({big(t.training)})",
        str(t.widest),
        size(t.models + t.tables),
        f"{t.longest.stage.kind}, {hours(t.longest.seconds)}",
        hours(t.path),
    ]


HEAD = ["recipe", "model", "stages", "Slurm jobs", "sampled", "read", "trained on", "GPU-hours", "GPUs", "storage"]
HEAD += ["longest job", "critical path"]


def recipes_rows(parts: dict[str, list[Need]], every: Sequence[Need], a: Assumptions, slurm: Slurm) -> list[list[str]]:
    """Return a row for each recipe, and one for all together where they are several."""
    rows = []
    for name, found in parts.items():
        models = list(dict.fromkeys(n.model.rpartition("/")[2] for n in found if n.model))
        rows.append(recipe_row(name, total(found, a, slurm), ", ".join(models)))
    return [*rows, recipe_row("together", total(every, a, slurm), "–")] if len(parts) > 1 else rows


def recipes_table(parts: dict[str, list[Need]], every: Sequence[Need], a: Assumptions, slurm: Slurm) -> list[str]:
    """Return the recipes as a table of the page."""
    return table(HEAD, recipes_rows(parts, every, a, slurm), left=2)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Return a Markdown table; the first `left` columns are set to the left, the others to the right."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * left + "---:|" * (len(head) - left)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows)]


def arithmetic(found: Sequence[Need], a: Assumptions) -> list[str]:
    """Return the formulas, and each worked out on the stage that spends most GPU-hours so."""
    c = gpus.card(a.card)
    lines = [
        f"N: parameters. The card ({a.card}): {c.bf16 / 1e12:.0f} TFLOP/s in bfloat16 without sparsity, {c.float32 / 1e12:.0f} in "
        f"float32, {c.bandwidth / 1e12:.2f} TB/s, {c.memory / 1e9:.0f} GB ({c.source}).",
        "",
        "| what | formula |",
        "|---|---|",
        "| tokens | each kind's `estimate`: rows of its inputs, samples, steps and batch, times the lengths below |",
        "| reading | 2 N tokens / (peak x `reading`) |",
        "| writing, a second | `writing` x sequences / max(2 N sequences / peak, (weights + sequences x their keys and values) / "
        "bandwidth) |",
        "| training | 6 N tokens (8 N where activations are computed again; 2 N more for a reference) / (peak x `training`) |",
        "| GPUs of a training | the least power of two whose memory, less `spare`, holds N (`trained_bytes` + `frozen_bytes` for each "
        "frozen model) |",
        "| a job | its start + its models from `disk` + (reading + writing) / jobs that share the stage + training / (GPUs x `splitting` "
        "where more than one) |",
        "",
    ]
    writers = [n for n in found if n.work == "writes" and n.gpus]
    trainers = [n for n in found if n.work == "trains" and n.gpus]
    if writers:
        w = max(writers, key=lambda n: n.gpu_hours)
        facts, sequences = cluster_cost.shape(w.model), w.stage.params.get("batch_size", 256)
        b = cluster_cost.number_bytes(w.stage)
        rate = a.writing * cluster_cost.most_written(facts, sequences, b, LENGTHS.solved, c)
        n, kv = facts.parameters / 1e9, b * LENGTHS.solved * facts.kv_numbers / 1e6
        lines.append(
            f"For example the stage that writes longest, `{w.stage.kind}` with {w.model}: N = {n:.2f} G, {b * n:.1f} GB of weights, "
            f"{kv:.0f} MB of keys and values for each of {sequences} sequences: {rate:,.0f} tokens/s; {count(w.sampled)} tokens are "
            f"{hours(w.sampled / rate)}, shared by {w.jobs} jobs."
        )
    if trainers:
        t = max(trainers, key=lambda n: n.gpu_hours)
        facts, p = cluster_cost.shape(t.model), t.stage.params
        peak = c.bf16 if p["precision"] == "bfloat16" else c.float32
        each = (8 if p["activation_checkpointing"] else 6) + 2 * cluster_cost.referred(t.stage)
        n = facts.parameters
        alone = t.trained * each * n / (peak * a.training)
        memory = (a.trained_bytes + cluster_cost.frozen_of(t.stage) * a.frozen_bytes) * facts.parameters
        lines.append(
            f"The one with most training, `{t.stage.kind}` on {t.model}: {count(t.trained)} tokens x {each} x {n / 1e9:.2f} G FLOPs / "
            f"({peak / 1e12:.0f} T x {a.training:g}) = {hours(alone)} on one GPU; it takes {memory / 1e9:.0f} GB before activations, so "
            f"{t.gpus} GPUs, and {hours(t.busy)}."
        )
    return lines


def assumptions_table(a: Assumptions, lengths: Lengths) -> list[str]:
    """Return every assumption: its name, its value, what it means."""
    rows = []
    for name, field in Assumptions.model_fields.items():
        value = getattr(a, name)
        shown = value if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else f"{value:g}"
        rows.append([f"`{name}`", shown, field.description])
    rows += [[f"`{f.name}`", str(getattr(lengths, f.name)), MEANT[f.name]] for f in fields(lengths)]
    return ["| name | value | |", "|---|---:|---|", *("| " + " | ".join(row) + " |" for row in rows)]


def growth_rows(cases: dict[tuple[int, int], Total], a: Assumptions) -> tuple[list[str], list[list[str]]]:
    """Return (head, rows) of what grows."""
    head = [
        "",
        "stages",
        "Slurm jobs",
        "planning",
        "files",
        "GPU-hours",
        "weights",
        "tables",
        "longest job",
        "critical path",
    ]
    head += ["at least, on 64 GPUs", "on 512"]
    rows = []
    for (by_work, by_seeds), t in cases.items():
        name = (
            f"{by_work} x the work of each stage"
            if by_work > 1
            else f"{by_seeds} x the seeds"
            if by_seeds > 1
            else "as above"
        )
        least = [max(t.path, t.gpu_hours * 3600 / g) for g in (64, 512)]
        rows.append(
            [
                name,
                big(t.stages),
                big(t.jobs),
                f"{t.planned * a.planning / 60:.2g} min",
                big(t.files),
                big(t.gpu_hours),
                size(t.models),
                size(t.tables),
                f"{t.longest.stage.kind}, {hours(t.longest.seconds)}",
                hours(t.path),
                *map(hours, least),
            ]
        )
    return head, rows


def growth_table(found: Sequence[Need], a: Assumptions, slurm: Slurm) -> list[str]:
    """Return the table of growth and what breaks first, worked out from it."""
    cases = growth(found, a, slurm)
    head, rows = growth_rows(cases, a)
    limit = resources.MOST_MINUTES * 60
    lines = [*table(head, rows), ""]
    for k in GROWTH:
        t = cases[k, 1]
        kinds: dict[str, float] = {}
        for n in found:
            if n.times(k).seconds > limit:
                kinds[n.stage.kind] = max(kinds.get(n.stage.kind, 0), n.times(k).seconds)
        kind, share = t.heaviest
        over = ", ".join(f"`{name}` ({hours(s)})" for name, s in sorted(kinds.items(), key=lambda x: -x[1]))
        broken = (
            f"Stages of these kinds no longer end within the week that a job may take: {over}; they have to be split into several."
            if kinds
            else "Every stage still ends within the week that a job may take."
        )
        lines.append(
            f"- **{k} times the work**: `{kind}` takes {share:.0%} of the GPU-hours. {broken} From {big(t.gpu_hours * 3600 / t.path)} "
            "GPUs on, the critical path is what is waited for."
        )
    for k in GROWTH:
        t = cases[1, k]
        lines.append(
            f"- **{k} times the seeds**: no stage gets longer; up to {big(t.gpu_hours * 3600 / t.path)} GPUs have work. Snakemake plans "
            f"{big(t.planned)} jobs in {t.planned * a.planning / 60:.2g} minutes (measured at 20,000, taken as linear) each time that it "
            f"starts. Storage fills first: {size(t.models)} of weights in {big(t.files)} files, if every round's model is kept."
        )
    lines += [
        "",
        f"However many stages there are, Slurm sees {slurm.at_once} jobs at a time (`jobs` of the Slurm profile), far fewer than the",
        f"10,000 of MaxJobCount where a site has not changed it. More than {slurm.at_once} GPUs therefore want a larger `jobs`.",
    ]
    return lines


def schedule_text(times: stage_times.Times, matched: int, stages_: int, a: Assumptions, slurm: Slurm) -> list[str]:
    """Return how the schedules came about."""
    starts = times.starts
    groups = " and ".join(f"{n} of kind `{kind}`" for kind, n in slurm.groups.items())
    return [
        "List scheduling, as Snakemake's greedy scheduler over Slurm does it: a job is submitted when its parents are done and starts",
        "when GPUs are free, the first in the plan's order first (Snakemake takes the one with the largest inputs).",
        "",
        "- *Stages alone*: no queue, no start of a process, as in forks of one. *Longest chain first*: the same, but of the stages that",
        "  could start, the one with the longest chain of others behind it does.",
        f"- *Slurm jobs*: {a.queue:g} s in the queue; up to {groups} in one job, {slurm.side_by_side} at a time. In the evidence",
        f"  a job starts Snakemake ({starts['job']:.1f} s), and a stage imports what it needs: {starts['trains']:.1f} s where it trains, "
        f"{starts['writes']:.1f} s where it writes with a model, {starts['tables']:.1f} s",
        "  else, all measured.",
        "- *At least*: the longer of the critical path and all GPU-seconds over the GPUs. *At most*: Graham's bound (1969), with waits",
        "  in the queue and wide stages (`elenchus.schedule.graham`). *In use*: the share of GPU-seconds that stages fill.",
        f"- Measured times: processor seconds in `{stage_times.FILE}`: {times.about}.",
        f"  {matched:,} of the evidence's {stages_:,} stages are there, others count as their kind's median.",
        "  `python benchmarks/stage_times.py` collects them.",
    ]


def schedule_table(scenarios: list[Scenario], spans: dict[int, dict[int, float | None]]) -> list[str]:
    """Return a row for each way to submit and number of GPUs."""
    rows = []
    for s in scenarios:
        whole = schedule.work(s.tasks)
        for g in GPUS:
            made = spans[id(s)][g]
            if made is None:
                rows.append([s.name, str(g), f"a stage needs {max(t.gpus for t in s.tasks)}", *["–"] * 4])
                continue
            least, most = schedule.at_least(s.tasks, g, s.queue), schedule.graham(s.tasks, g, s.queue)
            bound = "–" if s.at_once else hours(most)
            rows.append(
                [s.name, str(g), hours(made), hours(least), bound, f"{whole / made:.3g}", f"{whole / (made * g):.1%}"]
            )
    return table(["submitted as", "GPUs", "takes", "at least", "at most", "speed-up", "in use"], rows)


def order_text(cluster: list[Scenario], spans: dict[int, dict[int, float | None]]) -> list[str]:
    """Return what the order of stages is worth, at the number of GPUs where it is worth most."""
    plain, first = spans[id(cluster[0])], spans[id(cluster[1])]
    g = max((g for g in GPUS if plain[g] is not None), key=lambda g: plain[g] / first[g])
    return [
        f"The order is worth most on {g} GPUs: {hours(plain[g])} in the plan's order, {hours(first[g])} where stages with the",
        "longest chain behind them go first. Snakemake gives priorities to rules, not to single jobs, so the workflow does not do that.",
    ]


def draw(laptop: list[Scenario], cluster: list[Scenario], spans: dict[int, dict[int, float | None]]) -> str:
    """Return the plot as SVG: speed-up over GPUs, a panel for each graph; the same bytes each time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with matplotlib.rc_context({"svg.hashsalt": "elenchus", "svg.fonttype": "none", "font.size": 9}):
        figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout="constrained")
        titles = ("the evidence, measured times", "the papers' own scale, estimated times")
        for axis, scenarios, title in zip(axes, (laptop, cluster), titles):
            axis.plot(GPUS, GPUS, color="#bbbbbb", linestyle=":", label="as many times as GPUs")
            bound = scenarios[0]
            fits = [g for g in GPUS if spans[id(bound)][g] is not None]
            ceiling = [schedule.work(bound.tasks) / schedule.at_least(bound.tasks, g) for g in fits]
            axis.plot(fits, ceiling, color="#777777", linestyle="--", label="no schedule is faster")
            for s, colour, mark in zip(scenarios, ("#2c62b6", "#8a4fb0", "#c4661f", "#2e8b57"), "oDs^"):
                there = {g: t for g, t in spans[id(s)].items() if t is not None}
                ups = [schedule.work(s.tasks) / t for t in there.values()]
                axis.plot(list(there), ups, color=colour, marker=mark, markersize=4, label=s.name)
            axis.set(xscale="log", yscale="log", title=title, xlabel="GPUs")
            axis.set_xticks(GPUS, [str(g) for g in GPUS])
            axis.minorticks_off()
            axis.grid(alpha=0.3)
        axes[0].set_ylabel("speed-up")
        axes[0].legend(frameon=False, fontsize=8)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
