"""Commands that send results to other storage and take them from there."""

from __future__ import annotations

from pathlib import Path

import click

from elenchus.cli import Group, main, plain, project

EVIDENCE = click.option("--evidence", is_flag=True, help="The stages of the recipes' evidence, over all its seeds.")


@main.group(cls=Group, short_help="Results to and from object storage: push, pull.")
def results() -> None:
    """Send finished results to object storage or another folder, and take them from there, checked.

    Example:  elenchus results pull b_star --from s3://lab/elenchus
    """


@results.command(short_help="Send finished results.")
@click.argument("recipes", nargs=-1, required=True)
@click.option("--to", "url", required=True, help="s3://<bucket>/<folder>, or any folder that fsspec knows.")
@EVIDENCE
@plain
def push(recipes: tuple[str, ...], url: str, evidence: bool) -> None:
    """Send the finished stages of RECIPES that are not there yet; twice sends nothing.

    Example:  elenchus results push b_star --to s3://lab/elenchus
    """
    from elenchus import transfer

    root, stages = wanted(recipes, evidence)
    transfer.push(root, stages, transfer.place(url), click.echo)


@results.command(short_help="Take finished results, every byte checked.")
@click.argument("recipes", nargs=-1, required=True)
@click.option("--from", "url", required=True, help="What `elenchus results push` filled.")
@EVIDENCE
@plain
def pull(recipes: tuple[str, ...], url: str, evidence: bool) -> None:
    """Take the stages of RECIPES that are not done here; snakemake then finds them done and makes the rest.

    Code and parameters have to be those that made them, or the stages have other names.

    Example:  elenchus results pull b_star --from s3://lab/elenchus && snakemake b_star
    """
    from elenchus import transfer

    root, stages = wanted(recipes, evidence)
    transfer.pull(root, stages, transfer.place(url), click.echo)


def wanted(recipes: tuple[str, ...], evidence: bool) -> tuple[Path, list]:
    """Return (project folder, stages) of some recipes, each stage once."""
    whole = project()
    planned = [whole.evidence(name) if evidence else whole.recipe(name) for name in recipes]
    return whole.root, list({s.digest: s for p in planned for s in p.stages}.values())
