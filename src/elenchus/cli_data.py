"""Commands about data sets: which there are, getting one, checking the files of one."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from elenchus.cli import JSON, Group, as_json, grid, main, plain, printer

FROM = click.option(
    "--from", "folder", type=click.Path(path_type=Path), help="The local folder (or file, with --field)."
)
SPLIT = click.option("--split", help="Only this split.")


@main.command(short_help="Bring the models and data sets that recipes read to this machine.")
@click.argument("recipes", nargs=-1)
@click.option("--model", help="Only this hub id, whatever recipes need.")
@click.option("--revision", default="main", show_default=True, help="With --model: its commit, tag or branch.")
@click.option("--pin", is_flag=True, help="Write the commits of models that are not pinned into params.yaml.")
@plain
def fetch(recipes: tuple[str, ...], model: str | None, revision: str, pin: bool) -> None:
    """Fetch what RECIPES (default: those of params.yaml, and its section bench) read from the hub: models and data sets.

    At pinned revisions, into the hub cache (HF_HOME), checked against the hub's checksums; data sets become tables in
    results/benchmarks/. Jobs never use the network: run this where there is one, such as a login node. Twice fetches nothing.

    \b
    Examples:  elenchus fetch critique_rl b_star bench
               elenchus fetch --model Qwen/Qwen2.5-3B --pin
    """
    from elenchus import config, pinning, plan
    from elenchus import fetch as fetching
    from elenchus.benchmarks import target
    from elenchus.hub import pinned
    from elenchus.stages.pretrained import pin_command

    root = config.project_root()
    if model:
        commits = {(model, revision): fetching.model(model, revision, click.echo)}
    else:
        whole = plan.load(root, bench=False)
        names = recipes or [*whole.chosen(), *([target.ID] if whole.config.bench.wanted else [])]
        needs = fetching.needed(whole, names)
        if not needs.models and not needs.sets:
            click.echo(f"nothing to fetch: {', '.join(names)} at scale {whole.config.scale!r} reads nothing of the hub")
        commits = fetching.everything(needs, root, click.echo)
    for (name, at), commit in commits.items():
        if pinned(at):
            continue
        if not pin:
            click.echo(f"  {at!r} of {name} can come to mean another model; pin it:\n  {pin_command(name)}")
        elif changed := pinning.pin(root / "params.yaml", name, at, commit):
            click.echo(f"  params.yaml: {', '.join(changed)}: {commit}")
        else:
            click.echo(
                f"  params.yaml does not name {name} at {at!r}; where you name it, write {{name: {name}, revision: {commit}}}"
            )


@main.group(cls=Group, short_help="Published benchmarks: list, get, check, overlap.")
def data() -> None:
    """Published benchmarks, from a local folder or a pinned revision of the hub.

    Example:  elenchus data check gsm8k --from ~/data/gsm8k
    """


@data.command("list", short_help="The data sets, or the card of one.")
@click.argument("name", required=False)
@JSON
@plain
def list_(name: str | None, json_: bool) -> None:
    """List the data sets that can be read, or show the card of NAME.

    Example:  elenchus data list processbench
    """
    from dataclasses import asdict

    from elenchus import benchmarks

    cards = {n: benchmarks.load(n).CARD for n in ([name] if name else benchmarks.names())}
    if json_:
        return as_json({n: asdict(c) for n, c in cards.items()})
    if name:
        for key, value in asdict(cards[name]).items():
            if value:
                shown = "\n".join(f"  {k}: {v}" for k, v in value.items()) if isinstance(value, dict) else value
                click.echo(f"{key}:\n{shown}" if isinstance(value, dict) else f"{key}: {shown}")
        return None
    table = grid("name", "title", ">items", "licence", "tested on", "publish items?")
    for n, c in cards.items():
        rows = str(sum(c.rows.values())) if c.rows else "-"
        table.add_row(n, c.title, rows, c.licence, c.tested, "NO" if c.restricted else "yes")
    printer().print(table)
    return None


@data.command(short_help="Load a data set into results/benchmarks/.")
@click.argument("name")
@FROM
@SPLIT
@click.option("--revision", help="Without --from: this commit (40 hexadecimal digits) of the hub, not the card's.")
@click.option("--field", "fields", multiple=True, help="Of a file of your own: role=field, such as prompt=question.")
@plain
def get(name: str, folder: Path | None, split: str | None, revision: str | None, fields: tuple[str, ...]) -> None:
    """Read the data set NAME, check it to the end, and write it to results/benchmarks/ as tables.

    Without --from it is fetched from the hub, at the commit that its card names. With --field, NAME is a name of your
    choice and --from a JSON, JSONL, CSV or Parquet file.

    \b
    Examples:  elenchus data get gsm8k
               elenchus data get gsm8k --from ~/data/gsm8k
               elenchus data get mine --from questions.csv --field prompt=question --field answer=target
    """
    from elenchus import benchmarks, config
    from elenchus import fetch as fetching
    from elenchus.benchmarks import mapped, store
    from elenchus.errors import UserError

    root = config.project_root()
    if fields:
        if folder is None:
            raise UserError("--field needs --from: the file to read")
        module, folder = mapped.source(name, folder, mapped.mapping(fields)), folder.parent
    else:
        module = benchmarks.load(name)
    if folder is None:
        fetching.data_set(name, root, click.echo, revision=revision or "", split=split)
    elif revision:
        raise UserError(
            f"name one source:\n  elenchus data get {name} --from <folder>\n"
            f"  elenchus data get {name} --revision <commit>"
        )
    else:
        store.get(name, module, folder, root, split, click.echo)
    if module.CARD.restricted:
        click.echo(f"warning: do not publish its items: {module.CARD.restricted}", err=True)


@data.command(short_help="The files of a data set against its card.")
@click.argument("name")
@FROM
@SPLIT
@plain
def check(name: str, folder: Path | None, split: str | None) -> None:
    """Read every record of the data set NAME and compare counts and checksums with its card; write nothing.

    Example:  elenchus data check gsm8k --from ~/data/gsm8k
    """
    from elenchus import benchmarks
    from elenchus.benchmarks import store
    from elenchus.errors import UserError

    if folder is None:
        raise UserError(f"name the folder:\n  elenchus data check {name} --from <folder>")
    found = list(store.check(name, benchmarks.load(name), folder, split))
    for key, _, says in found:
        click.echo(f"{name} {key}: {says}")
    if not all(well for _, well, _ in found):
        sys.exit(1)


@data.command(short_help="What a training file has of a data set's questions.")
@click.argument("name")
@FROM
@SPLIT
@click.option("--with", "file", required=True, type=click.Path(path_type=Path), help="The training file.")
@click.option("--field", required=True, help="The field of it that holds the text.")
@click.option("-n", "n", default=13, show_default=True, help="Words in a row.")
@plain
def overlap(name: str, folder: Path | None, split: str | None, file: Path, field: str, n: int) -> None:
    """List the questions of NAME that occur in a training file, word for word or n words in a row.

    Example:  elenchus data overlap gsm8k --from ~/data/gsm8k --split test --with train.jsonl --field text
    """
    from elenchus import benchmarks
    from elenchus import overlap as overlapping
    from elenchus.benchmarks import records
    from elenchus.errors import UserError

    if folder is None or not file.is_file():
        raise UserError(f"no file {file}" if folder else "name the data set's folder with --from")
    items = ((i.problem.meta["key"], i.problem.prompt) for i in benchmarks.items(name, folder, split))
    found = overlapping.find(items, (r.text(field, empty=True) for r in records.read(file)), n)
    total = overlapping.summary(found)
    click.echo(
        f"{total['items']} items: {total['exact']} exact, {total['any']} with {n} words in a row, "
        f"{total['half_or_more']} with half of them or more"
    )
    for o in sorted((o for o in found if o.share > 0), key=lambda o: -o.share)[:20]:
        click.echo(
            f"  {o.item}: {o.share:.2f} of its word runs{', exact' if o.exact else ''}; first in row {o.where + 1}"
        )
