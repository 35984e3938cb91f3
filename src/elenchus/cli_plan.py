"""`elenchus list` and `elenchus plan`: what is done, what is to do, and what it takes."""

from __future__ import annotations

import os

import click

from elenchus.cli import JSON, as_json, count, duration, escaped, grid, main, plain, printer, project
from elenchus.errors import UserError


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
                f"[dim]{escaped(lineage.brief(r.stage, 4))}[/]",
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


@main.command(short_help="GPU-hours, storage and time of the papers' own scale.")
@click.argument("recipes", nargs=-1)
@click.option(
    "--assume", "assumed", multiple=True, metavar="NAME=VALUE", help="Another assumption; may be given again."
)
@click.option("--gpus", type=click.IntRange(1), help="Simulate the schedule on so many GPUs.")
@JSON
@plain
def cost(recipes: tuple[str, ...], assumed: tuple[str, ...], gpus: int | None, json_: bool) -> None:
    """Show what `scale: cluster` would take, for RECIPES or all: GPU-hours, tokens, storage, jobs, the critical path.

    Worked out from params.yaml and named assumptions, over the seeds of the evidence; docs/full-reproduction.md has the
    arithmetic and every assumption. Nothing runs.

    \b
    Examples:  elenchus cost
               elenchus cost b_star --gpus 64 --assume training=0.4 --assume solution=500
    """
    from dataclasses import asdict

    from elenchus import cluster_cost, config, reproduction, reproduction_page

    root = config.project_root()
    a, lengths = cluster_cost.assume(assumed)
    whole, slurm = reproduction.at_cluster(root), reproduction.slurm_profile(root)
    names = [whole.recipe(name).recipe.id for name in recipes] or list(whole.recipes)
    parts = {name: reproduction.recipe_needs(whole, name, a, lengths) for name in names}
    every = reproduction.together(list(parts.values()))
    scenarios = reproduction.cluster_scenarios(every, a, slurm) if gpus else []
    seconds = {s.name: s.makespan(gpus) for s in scenarios}
    if None in seconds.values():
        raise UserError(f"--gpus {gpus}: a stage needs {max(n.gpus for n in every)} at once; take at least as many")
    if json_:
        totals = {
            name: reproduction.total(own, a, slurm).plain() for name, own in [*parts.items(), ("together", every)]
        }
        return as_json({"assumptions": a.model_dump() | asdict(lengths), "totals": totals, "seconds": seconds})
    for head, rows in (
        (reproduction_page.HEAD, reproduction_page.recipes_rows(parts, every, a, slurm)),
        reproduction_page.growth_rows(reproduction.growth(every, a, slurm), a),
    ):
        table = grid(*head[:1], *(name if name == "model" else f">{name}" for name in head[1:]))
        for row in rows:
            table.add_row(*map(escaped, row))
        printer().print(table)
        click.echo()
    for name, taken in seconds.items():
        click.echo(f"on {gpus} GPUs, {name}: {reproduction_page.hours(taken)}")
    click.echo("nothing here is measured; every assumption, and how to change it: docs/full-reproduction.md")


@main.command(short_help="Run stages in forks of one warm process.")
@click.argument("recipes", nargs=-1, required=True)
@click.option("--evidence", is_flag=True, help="The stages of the recipes' evidence, over all evidence seeds.")
@click.option("--seed", "seeds", type=int, multiple=True, help="Only what needs no other seed; may be given again.")
@click.option("--cores", type=click.IntRange(1), default=os.cpu_count(), show_default=True, help="Stages side by side.")
@plain
def run(recipes: tuple[str, ...], evidence: bool, seeds: tuple[int, ...], cores: int) -> None:
    """Run the stages of RECIPES on this machine in forks of one process that has imported everything once.

    The same stages as Snakemake's, with the same results, without seconds of imports for each: many times faster where
    stages are many and small. Snakemake then finds them done, and makes reports, evidence and pages.

    Example:  elenchus run b_star --evidence && snakemake evidence_b_star
    """
    from elenchus import forks
    from elenchus.plan import label_stages

    whole = project()
    planned = [whole.evidence(name) if evidence else whole.recipe(name) for name in recipes]
    wanted = {s.digest: s for p in planned for s in p.stages}.values()
    labels: dict[str, str] = {}
    for p in planned:
        label_stages(p, labels)
    forks.preload()
    try:
        chosen = forks.of_seeds(wanted, seeds) if seeds else wanted
        forks.run(whole.root, chosen, cores, labels.__getitem__, machine=lambda s: whole.config.machine(s.pretrained))
    except KeyboardInterrupt:
        raise UserError("stopped; what is done is kept, and the same command goes on from there") from None
    names = [f"evidence_{p.recipe.id}" if evidence else p.recipe.id for p in planned]
    click.echo(f"done; the records:  snakemake {' '.join(names)}")


@main.command(short_help="Take results over a change of code that changes no byte.")
@click.argument("recipes", nargs=-1)
@click.option("--evidence", is_flag=True, help="The stages of the recipes' evidence, over all evidence seeds.")
@click.option("--checks", type=click.IntRange(1), default=1, show_default=True, help="Stages of a group to make anew.")
@click.option("--cores", type=click.IntRange(1), default=os.cpu_count(), show_default=True, help="Stages side by side.")
@plain
def carry(recipes: tuple[str, ...], evidence: bool, checks: int, cores: int) -> None:
    """Take the results of RECIPES (default: all) that earlier code made for today's, where today's makes the same bytes.

    Stages are grouped by kind, by what of their code changed and by every choice among their parameters. The quickest of
    each group are made anew from today's code. Where their bytes are equal the group's results get today's names, and
    their manifests say from what; where they differ, the group and all that needs it are left to be made anew.

    Example:  elenchus carry b_star --evidence && snakemake evidence_b_star
    """
    from elenchus import evidence as evidences
    from elenchus.carry import carry as carry_over

    whole = project()
    planned = [whole.evidence(name) if evidence else whole.recipe(name) for name in recipes or whole.recipes]
    wanted = list({s.digest: s for p in planned for s in p.stages}.values())
    preferred = {d for name in evidences.known(whole.root) for d in evidences.read(whole.root, name)["stages"]}

    def machine(stage) -> dict:
        told = whole.config.machine(stage.pretrained)
        told["engine"]["python"] = str(whole.root / told["engine"]["python"])  # stages are made anew in another folder
        return told

    groups, carried = carry_over(whole.root, wanted, preferred, checks, cores, machine=machine)
    if groups:
        table = grid("kind", ">stages", ">made anew", "bytes", "changed")
        for g in groups:
            what = f"{len(g.changed)} definitions: {listing(list(g.changed))}" if g.changed else "only inputs' names"
            table.add_row(
                g.kind,
                str(len(g.stages)),
                str(len(g.checked)),
                escaped(listing(g.differs, 1)) or "equal",
                escaped(what),
            )
        printer().print(table)
    left = sum(not (whole.root / s.manifest).exists() for s in wanted)
    click.echo(f"{len(carried)} results carried over, {left} of {len(wanted)} stages are to be made")
