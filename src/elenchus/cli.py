"""The command line: what there is to run, what it would take, what came out, and where every number comes from.

Everything heavy is imported by the command that needs it, so that each answers at once.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from elenchus.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from elenchus.plan import Plan


class Group(click.Group):
    """A group whose unknown command names the nearest one."""

    def resolve_command(self, context: click.Context, args: list[str]):
        """Return click's answer; a usage error with the nearest command's name."""
        if args and self.get_command(context, args[0]) is None and not args[0].startswith("-"):
            near = did_you_mean(args[0], self.commands)
            raise click.UsageError(
                f"no command {args[0]!r}{near}; commands: {', '.join(sorted(self.commands))}", context
            )
        return super().resolve_command(context, args)


def plain(command: Callable) -> Callable:
    """Return `command` with user errors as one plain message and exit code 1, and a closed pipe as a quiet end."""

    @functools.wraps(command)
    def run(*args, **kwargs):
        try:
            return command(*args, **kwargs)
        except UserError as e:
            click.echo(f"elenchus: {e}", err=True)
            sys.exit(1)
        except BrokenPipeError:  # `elenchus ... | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)

    return run


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="elenchus")
def main() -> None:
    """Reproducible experiments on language models that criticise, correct and train themselves.

    Run work with snakemake; look at it with these commands. Start with `elenchus list`.
    """


def project() -> Plan:
    """Return the plan of the project that holds the working directory."""
    from elenchus import config, plan

    return plan.load(config.project_root())


def as_json(value: object) -> None:
    """Print plain data as JSON."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False))


def printer():
    """Return a rich console for the terminal; wide where the output goes to a file or a pipe."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def grid(*columns: str):
    """Return an empty rich table; a column's name that begins with ">" is set to the right."""
    from rich.table import Table

    made = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in columns:
        made.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    return made


def duration(seconds: float) -> str:
    """Return seconds for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def count(n: float) -> str:
    """Return a count of tokens for people."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if n >= limit:
            return f"{n / limit:.3g}{unit}"
    return f"{n:.0f}"


JSON = click.option("--json", "json_", is_flag=True, help="Print JSON, for programs.")
ARM = click.option("--arm", help="Only this arm.")
ROUND = click.option("--round", "round_", type=int, help="Only this round.")
SEED = click.option("--seed", type=int, help="Only this seed.")
SUBJECT = click.option("--subject", help="Only this subject: policy, or a critic's name.")


@main.command("list", short_help="Recipes: what is done, its cost, what is left.")
@JSON
@plain
def list_(json_: bool) -> None:
    """List the recipes: how much of each is done, what it cost, what is left.

    Example:  elenchus list
    """
    from elenchus import estimates

    whole, found = project(), []
    for name, recipe in whole.recipes.items():
        total = estimates.totals(estimates.rows_of(whole, name))
        found.append({"recipe": name, "title": recipe.title, "arxiv": recipe.arxiv, "arms": list(recipe.arms), **total})
    if json_:
        return as_json(found)
    table = grid("recipe", "arXiv", "arms", ">done", ">spent", ">left", "title")
    for r in found:
        spent = duration(r["spent"]["seconds"]) if r["done"] else "-"
        left = "~" + duration(r["expected"]["seconds"]) if r["done"] < r["stages"] else "-"
        table.add_row(
            f"[bold]{r['recipe']}[/]",
            r["arxiv"],
            ", ".join(r["arms"]),
            f"{r['done']}/{r['stages']}",
            spent,
            left,
            r["title"],
        )
    printer().print(table)
    click.echo(
        "\nspent and left are seconds of work on one core's clock, shared stages counted in each recipe that needs them"
    )


@main.command(short_help="A recipe's stages in order, and what they will take.")
@click.argument("recipe")
@click.option("--stages/--summary", "stages_", default=True, help="A line for each stage (default), or the sums only.")
@click.option("--evidence", is_flag=True, help="The stages of its evidence, over all evidence seeds.")
@JSON
@plain
def plan(recipe: str, stages_: bool, evidence: bool, json_: bool) -> None:
    """Show the stages of RECIPE in order: what is done, what is to do, and what it will take.

    Stages that another recipe needs too are made once: what is done already, and by whom else needed, is summed apart.

    Example:  elenchus plan elenchus --summary
    """
    from elenchus import estimates, lineage

    whole = project()
    rows = estimates.rows_of(whole, recipe, evidence)
    total = estimates.totals(rows)
    if json_:
        keys = ("done", "sampled", "prompt", "trained", "seconds", "also")
        listed = [
            {"kind": r.stage.kind, "digest": r.stage.digest, "names": list(r.names), **{k: getattr(r, k) for k in keys}}
            for r in rows
        ]
        return as_json({"recipe": whole.recipe(recipe).recipe.id, **total, **({"plan": listed} if stages_ else {})})
    if stages_:
        table = grid("", "kind", "digest", "name", ">sampled", ">trained", ">time", "parameters")
        for r in rows:
            more = f" [dim]and {len(r.names) - 1} more[/]" if len(r.names) > 1 else ""
            state, about = ("[green]done[/]", "") if r.done else ("to do", "~")
            tokens = [count(n) if n else "-" for n in (r.sampled, r.trained)]
            table.add_row(
                state,
                r.stage.kind,
                r.stage.digest,
                r.names[0] + more,
                *tokens,
                about + duration(r.seconds),
                f"[dim]{_escape(lineage.brief(r.stage, 4))}[/]",
            )
        printer().print(table)
        click.echo()
    click.echo(f"{total['done']} of {total['stages']} stages done")
    others = total["shared_with"]
    shared = f"of that, paid once and shared with {listing(others)}"
    for word, t in (("spent", total["spent"]), (shared, total["shared"]), ("to do, estimated", total["expected"])):
        if t["seconds"]:
            click.echo(
                f"{word}: {count(t['sampled'])} tokens sampled, {count(t['trained'])} trained on, {duration(t['seconds'])} of work"
            )


def listing(names: list[str], most: int = 3) -> str:
    """Return "a, b, c and 4 more"."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@main.command(short_help="A problem, solution, critique, pair, tree or result.")
@click.argument("what")
@click.option("--tree", is_flag=True, help="Of a problem: its search tree.")
@click.option("--rows", default=10, show_default=True, help="Of a table: how many rows.")
@plain
def show(what: str, tree: bool, rows: int) -> None:
    """Show WHAT: a problem, solution, critique, refinement or pair by its id, or a result folder or table file.

    The beginning of an id is enough where only one begins so.

    \b
    Examples:  elenchus show chain-4f0c8a1be2d3
               elenchus show chain-4f0c8a1be2d3 --tree
               elenchus show results/by-recipe/elenchus/critic/seed0/warm-up
    """
    from elenchus import config
    from elenchus import show as showing

    showing.show(config.project_root(), what, printer(), tree=tree, rows=rows)


@main.command(short_help="What was measured, with intervals.")
@click.argument("recipe")
@ARM
@ROUND
@SEED
@SUBJECT
@click.option("--metric", help="Only this metric.")
@JSON
@plain
def metrics(
    recipe: str,
    arm: str | None,
    round_: int | None,
    seed: int | None,
    subject: str | None,
    metric: str | None,
    json_: bool,
) -> None:
    """Print what was measured in RECIPE, with 95 % intervals: over all seeds, or of one with --seed.

    Example:  elenchus metrics elenchus --arm b_star --metric pass@1
    """
    from elenchus import findings, lineage

    whole = project()
    chosen = whole.recipe(recipe)
    pooled = seed is None and findings.done(whole.root, chosen.summary)
    rows = findings.pooled(whole, chosen) if pooled else findings.measurements(whole, chosen, partial=True)
    if not rows:
        raise UserError(f"nothing of {chosen.recipe.id} is measured yet; run\n  snakemake {chosen.recipe.id}")
    for key, value in (("arm", arm), ("subject", subject), ("metric", metric), ("round", round_), ("seed", seed)):
        if value is not None:
            names = list(dict.fromkeys(str(r[key]) for r in rows))
            value = lineage.known(str(value), names, f"nothing was measured at {key}")
            rows = [r for r in rows if str(r[key]) == value]
    if json_:
        return as_json(rows)
    over = "seeds" if pooled else "seed"
    table = grid("arm", ">round", "subject", "metric", ">value", "interval", ">n", f">{over}")
    for r in rows:
        interval = f"[{r['low']:.3f}, {r['high']:.3f}]" if r["low"] is not None and r["high"] is not None else ""
        value = "-" if r["value"] is None else f"{r['value']:.4f}"
        table.add_row(
            r["arm"], str(r["round"]), r["subject"], r["metric"], value, _escape(interval), str(r["n"]), str(r[over])
        )
    printer().print(table)


@main.command(short_help="From a number back to all that made it.")
@click.argument("recipe")
@click.argument("arm")
@click.argument("metric")
@ROUND
@SEED
@SUBJECT
@plain
def explain(recipe: str, arm: str, metric: str, round_: int | None, seed: int | None, subject: str | None) -> None:
    """Follow a number of RECIPE back to what made it: stages, parameters, seeds, code, data, and the command.

    Defaults: the last round, the first seed, the first subject that has the metric.

    Example:  elenchus explain elenchus b_star pass@1 --round 3
    """
    from elenchus import explaining

    explaining.explain(project(), recipe, arm, metric, printer(), round=round_, seed=seed, subject=subject)


@main.command(short_help="Where two runs first differ, and in what.")
@click.argument("a")
@click.argument("b")
@plain
def compare(a: str, b: str) -> None:
    """Say where two runs first differ, and in what: parameters, code, seed, inputs, or only bytes.

    A run is recipe/arm/seedK[/roundR][/subject], a stage's digest, or a result folder, of another checkout too.

    \b
    Examples:  elenchus compare elenchus/b_star/seed0 elenchus/online_rft/seed0
               elenchus compare results/sft/0123456789abcdef ../other/results/sft/fedcba9876543210
    """
    from elenchus import explaining

    explaining.compare(project(), a, b, printer())


@main.command(short_help="Every result's bytes against its manifest.")
@plain
def check() -> None:
    """Check every file of every result against its manifest; list the damaged, with the lines that remove them.

    Example:  elenchus check
    """
    from elenchus import config, lineage
    from elenchus.graph import RESULTS

    root = config.project_root()
    n, damaged = lineage.check(root / RESULTS)
    for folder, what in damaged:
        click.echo(f"{folder.relative_to(root)}: {what}")
    if damaged:
        click.echo("\nRemove them and run snakemake again; only they are made anew:")
        for folder in dict.fromkeys(f for f, _ in damaged):
            click.echo(f"  rm -r {folder.relative_to(root)}")
        sys.exit(1)
    click.echo(f"{n} results, every file as its manifest says")


@main.command(short_help="Write a recipe's data sets to data/ again.")
@click.argument("recipe")
@plain
def publish(recipe: str) -> None:
    """Write the data sets of RECIPE to data/ again, with their cards.

    Example:  elenchus publish elenchus
    """
    from elenchus import views

    whole = project()
    chosen = whole.recipe(recipe)
    if not chosen.published:
        raise UserError(
            f"recipe {chosen.recipe.id} publishes nothing; its file says what with lab.publish(name, stage, table, description)"
        )
    for name, files in views.publish(whole, chosen).items():
        click.echo(f"data/{name}: {', '.join(files)}, README.md")


from elenchus import cli_cluster as _cluster  # noqa: E402, F401  its commands join the group
from elenchus import cli_papers as _papers  # noqa: E402, F401  its commands join the group
