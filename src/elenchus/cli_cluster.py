"""Commands about the machine and the cluster that a run would use."""

from __future__ import annotations

import sys

import click

from elenchus.cli import JSON, as_json, main, plain, project


@main.command(short_help="Find what would stop a run, before it starts.")
@click.argument("recipes", nargs=-1)
@click.option("--job", is_flag=True, help="Send one tiny job: does a compute node see the files, and a GPU?")
@click.option("--gpu", is_flag=True, help="A GPU is wanted, whatever the recipes need.")
@JSON
@plain
def doctor(recipes: tuple[str, ...], job: bool, gpu: bool, json_: bool) -> None:
    """Look at what RECIPES (default: those of params.yaml) need: packages, results, models, Slurm, GPU.

    One line each, with the line to paste where something is wrong; exit code 1 where that would stop a run. On a
    cluster, run it on the login node after the profile's first block is set.

    Example:  elenchus doctor b_star --job
    """
    from elenchus import doctor as doctor_

    whole = project()
    names = [whole.recipe(name).recipe.id for name in recipes] or whole.chosen()
    found = doctor_.examine(whole, names, job=job, gpu=gpu)
    if json_:
        as_json(doctor_.as_data(found))
    else:
        for finding in found:
            click.echo(str(finding))
    sys.exit(1 if any(f.level == "wrong" for f in found) else 0)
