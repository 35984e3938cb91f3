"""Commands about papers: their claims and verdicts, their pages, a new one, the schema of all their parameters."""

from __future__ import annotations

import json
from pathlib import Path

import click

from elenchus.cli import JSON, as_json, main, plain, project


@main.command(short_help="Claims of papers with their verdicts, as evidence/ has them.")
@click.argument("recipe", required=False)
@JSON
@plain
def claims(recipe: str | None, json_: bool) -> None:
    """Show the claims of RECIPE, or of all recipes, with their verdicts, intervals and what the papers say.

    Example:  elenchus claims b_star
    """
    from elenchus import evidence

    whole = project()
    names = [whole.recipe(recipe).recipe.id] if recipe else evidence.known(whole.root)
    found = [evidence.read(whole.root, name) for name in names]
    if json_:
        return as_json({e["id"]: e["claims"] for e in found})
    for e in found:
        click.echo(evidence.spoken(e))
        stale = evidence.stale(e, whole.evidence(e["id"]))
        if stale:
            click.echo(
                f"  out of date: {', '.join(stale[:5])} would be made otherwise today; snakemake evidence_{e['id']}"
            )
    if not found:
        click.echo("no evidence yet; `snakemake evidence` makes it")


@main.command(short_help="Write the recipes' pages and the README's table from evidence/.")
@plain
def pages() -> None:
    """Write docs/recipes/ and the README's table of papers again, from recipes and evidence.

    `snakemake evidence` does so itself; this is for changes of a recipe's text.

    Example:  elenchus pages
    """
    from elenchus import pages as pages_

    whole = project()
    for path in pages_.write(whole):
        click.echo(path.relative_to(whole.root))


@main.command(short_help="Begin a paper: recipe, parameters, test, page.")
@click.argument("id_", metavar="ID")
@click.option("--title", default="", help="The paper's title; default: the id.")
@click.option("--arxiv", default="", help="Its arXiv number, such as 2412.17256.")
@plain
def new(id_: str, title: str, arxiv: str) -> None:
    """Begin the recipe ID: its file, its section of params.yaml, its test, its small sizes, its page. It runs as written.

    Example:  elenchus new rest_em --title "ReST-EM: Beyond Human Data" --arxiv 2312.06585
    """
    from elenchus import config, scaffold
    from elenchus import pages as pages_

    root = config.project_root()
    made = scaffold.write(root, id_, title or id_, arxiv)
    made += [p for p in pages_.write(project()) if p.stem.startswith(id_)]
    schema_file = root / "workflow" / "schemas" / "params.schema.json"
    schema_file.write_text(schema_text(root) + "\n")
    for path in [*made, schema_file]:
        click.echo(path.relative_to(root))
    click.echo(
        f"\nNow turn workflow/recipes/{id_}.py into the paper; try it with\n  snakemake -n {id_}\n  snakemake {id_}\n"
        f"and give its published values in the section `cluster` of params.yaml, where they stand commented out: until then\n"
        "tests/unit/test_recipes.py::test_a_paper_has_its_published_scale fails"
    )


@main.command(short_help="The JSON schema of params.yaml.")
@plain
def schema() -> None:
    """Print the JSON schema of params.yaml, for editors.

    Example:  elenchus schema > workflow/schemas/params.schema.json
    """
    from elenchus import config

    click.echo(schema_text(config.project_root()))


def schema_text(root: Path) -> str:
    """Return the JSON schema of params.yaml with every recipe's section."""
    from elenchus import config, recipes

    recipes.load_all.cache_clear()  # a recipe may just have been written
    found = recipes.load_all(root / "workflow" / "recipes")
    return json.dumps(config.json_schema({r.id: r.params for r in found.values()}), indent=1, ensure_ascii=False)
