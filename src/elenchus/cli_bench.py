"""Commands about `snakemake bench`: its results in other libraries' formats."""

from __future__ import annotations

from pathlib import Path

import click

from elenchus.cli import main, plain, project


@main.command(short_help="What `snakemake bench` measured, for lm-eval's or inspect's tools.")
@click.option("--format", "form", required=True, help="lm-eval or inspect.")
@click.option(
    "--to", type=click.Path(path_type=Path), default=Path("results/export"), show_default=True, help="The folder."
)
@click.option("--arm", help="Only this model's.")
@plain
def export(form: str, to: Path, arm: str | None) -> None:
    """Write the results of the last `snakemake bench` as lm-evaluation-harness or inspect_ai write theirs.

    \b
    Examples:  elenchus export --format inspect --to logs && inspect view --log-dir logs
               elenchus export --format lm-eval --to lm-eval
    """
    from elenchus import exporting
    from elenchus.errors import UserError

    whole = project()
    if "bench" not in whole.recipes:
        raise UserError(
            "nothing was evaluated yet, for example\n  snakemake bench --config model=... 'benchmarks=[gsm8k]'"
        )
    recipe = whole.recipe("bench")
    written = exporting.export(whole, recipe, form, to, arm)
    for sentence in exporting.restricted(recipe):
        click.echo(f"warning: {sentence}", err=True)
    click.echo(f"{len(written)} files in {to}")
