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
    """Return `command` with user errors as one plain message and exit code 1; Ctrl-C and a closed pipe end it quietly."""

    @functools.wraps(command)
    def run(*args, **kwargs):
        try:
            return command(*args, **kwargs)
        except UserError as e:
            click.echo(f"elenchus: {e}", err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            sys.exit(130)
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

    return plan.with_last_bench(config.project_root())


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


def escaped(text: str) -> str:
    """Return a text whose brackets are no markup of the console's."""
    from rich.markup import escape

    return escape(text)


JSON = click.option("--json", "json_", is_flag=True, help="Print JSON, for programs.")
ARM = click.option("--arm", help="Only this arm.")
ROUND = click.option("--round", "round_", type=int, help="Only this round.")
SEED = click.option("--seed", type=int, help="Only this seed.")
SUBJECT = click.option("--subject", help="Only this subject: policy, or a critic's name.")


@main.command(short_help="A problem, solution, critique, pair, tree or result.")
@click.argument("what")
@click.option("--tree", is_flag=True, help="Of a problem: its search tree.")
@click.option("--rows", default=10, show_default=True, help="Of a table: how many rows.")
@plain
def show(what: str, tree: bool, rows: int) -> None:
    """Show WHAT: a problem, solution, critique, refinement or pair by its id, a stage by its digest, a folder or table file.

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
    if recipe == "bench" and recipe not in whole.recipes:
        raise UserError(
            "nothing was evaluated yet, for example\n  snakemake bench --config model=... 'benchmarks=[gsm8k]'"
        )
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
            r["arm"], str(r["round"]), r["subject"], r["metric"], value, escaped(interval), str(r["n"]), str(r[over])
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


from elenchus import cli_bench, cli_cluster, cli_data, cli_papers, cli_plan, cli_results  # noqa: E402, F401  their commands join the group
