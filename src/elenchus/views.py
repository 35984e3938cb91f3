"""What people look for on disk: readable links to results, metrics as JSON and CSV, published data sets with cards.

    results/by-recipe/<recipe>/<arm>/seed<k>/[round<r>/]<name>   -> the result's folder
    results/by-recipe/<recipe>/report.html                       -> the recipe's report
    results/metrics/<recipe>.json, .csv                          what was measured
    data/<name>/<table>.parquet, README.md                       data sets to hand on

All of it follows from finished results: the same results give the same bytes.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from pathlib import Path

from elenchus import findings, lineage, schemas
from elenchus.graph import RESULTS
from elenchus.lab import Named, Published
from elenchus.plan import Plan, RecipePlan

COLUMNS = ("arm", "seed", "round", "subject", "metric", "value", "low", "high", "n")


def write(plan: Plan, recipe: RecipePlan) -> dict:
    """Write all views of a recipe; return what was written, as the record's stamp."""
    measured = findings.measurements(plan, recipe)
    links = link(plan.root, recipe)
    write_metrics(plan.root, recipe.recipe.id, measured)
    sets = publish(plan, recipe)
    return {"links": len(links), "measurements": len(measured), "published": sets, "recipe": recipe.recipe.id}


def replace(path: Path, text: str) -> None:
    """Write `text` to `path`, in place at once; a file that already says so is left alone."""
    if path.is_file() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text)
    os.replace(aside, path)


# -- links -------------------------------------------------------------------------------------------------------------


def places(recipe: RecipePlan) -> dict[str, Path]:
    """Return {path below results/by-recipe/<recipe>: what it links to below the project}.

    Several stages of one name at one place are told apart by what they measure (evaluation-critic-warm-up), or numbered.
    """
    subjects = {m.stage.digest: m.subject for m in recipe.measured}
    same: dict[str, dict[str, Named]] = {}
    for named in recipe.named:
        at = [named.arm, f"seed{named.seed}", *([f"round{named.round}"] if named.round else []), named.name]
        same.setdefault("/".join(at), {}).setdefault(named.stage.digest, named)
    found: dict[str, Path] = {}
    for at, group in same.items():
        for digest, named in group.items():
            name, n = f"{at}-{subjects[digest]}" if len(group) > 1 and digest in subjects else at, 1
            while name in found:
                n += 1
                name = f"{at}-{n}"
            found[name] = named.stage.folder
    return {**found, "summary": recipe.summary.folder, "report.html": recipe.record("report")}


def link(root: Path, recipe: RecipePlan) -> dict[str, Path]:
    """Make the links of a recipe, relative ones, and remove those of an earlier plan; return `places`."""
    base = root / RESULTS / "by-recipe" / recipe.recipe.id
    wanted = places(recipe)
    if base.is_dir():
        for folder, folders, files in os.walk(base, topdown=False):
            for name in [*folders, *files]:
                path = Path(folder, name)
                if path.is_symlink() and str(path.relative_to(base)) not in wanted:
                    path.unlink()
                elif path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
                    path.rmdir()
    for name, target in wanted.items():
        path = base / name
        to = os.path.relpath(root / target, path.parent)
        if path.is_symlink() and os.readlink(path) == to:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        aside.symlink_to(to)
        os.replace(aside, path)
    return wanted


# -- metrics -----------------------------------------------------------------------------------------------------------


def write_metrics(root: Path, name: str, measured: list[dict]) -> None:
    """Write results/metrics/<recipe>.json (for `dvc metrics show`) and .csv (for `dvc plots show`)."""
    nested: dict = {}
    for m in measured:
        at = nested.setdefault(m["arm"], {}).setdefault(f"seed{m['seed']}", {}).setdefault(f"round{m['round']}", {})
        entry = {key: m[key] for key in ("value", "low", "high") if m[key] is not None}
        at.setdefault(m["subject"], {})[m["metric"]] = entry
    folder = root / RESULTS / "metrics"
    replace(folder / f"{name}.json", json.dumps(nested, indent=1) + "\n")
    replace(folder / f"{name}.csv", as_csv(measured))


def as_csv(measured: list[dict]) -> str:
    """Return measurements as CSV, a row each."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(measured)
    return text.getvalue()


# -- published data sets -----------------------------------------------------------------------------------------------


def publish(plan: Plan, recipe: RecipePlan) -> dict[str, list[str]]:
    """Write each published data set to data/<name>/ with a card; return {name: files}."""
    sets: dict[str, dict[str, Published]] = {}  # name -> {stage digest: the first that published it}
    for p in recipe.published:
        sets.setdefault(p.name, {}).setdefault(f"{p.stage.digest} {p.table}", p)
    written = {}
    for name, parts in sets.items():
        folder = plan.root / "data" / name
        folder.mkdir(parents=True, exist_ok=True)
        several = len(parts) > 1
        files = {(f"{p.table}.seed{p.seed}" if several else p.table) + ".parquet": p for p in parts.values()}
        for file, p in files.items():
            copy(findings.result(plan.root, p.stage).file(f"{p.table}.parquet"), folder / file)
        for path in folder.glob("*.parquet"):
            if path.name not in files:
                path.unlink()
        replace(folder / "README.md", card(plan, recipe, name, files))
        written[name] = sorted(files)
    return written


def copy(source: Path, target: Path) -> None:
    """Copy a file in place at once, unless the target already holds its bytes.

    A file of its own, no link: DVC may make what it tracks read-only or replace it.
    """
    if target.is_file() and not target.is_symlink() and target.read_bytes() == source.read_bytes():
        return
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(source, aside)
    os.replace(aside, target)


def card(plan: Plan, recipe: RecipePlan, name: str, files: dict[str, Published]) -> str:
    """Return a data set's card: Markdown under the YAML header that data hubs read. No dates: equal data, equal card."""
    import pyarrow.parquet as pq

    first = next(iter(files.values()))
    counts = {
        file: pq.ParquetFile(plan.root / p.stage.folder / f"{p.table}.parquet").metadata.num_rows
        for file, p in files.items()
    }
    size = sum((plan.root / "data" / name / file).stat().st_size for file in files)
    example = first_row(plan.root / first.stage.folder / f"{first.table}.parquet")
    families = ", ".join(first.stage.families) or "none"
    made = "\n".join(
        f"| `{f}` | {counts[f]:,} | {p.seed} | `{p.stage.kind}` | `{p.stage.digest}` |" for f, p in files.items()
    )
    columns = "\n".join(
        f"| `{c}` | {kind} | {shorten(example.get(c))} |" for c, kind in schemas.SCHEMAS[first.table].items()
    )
    steps = "\n".join(
        f"{i}. `{s.kind}` `{s.digest}`: {lineage.brief(s) or 'default parameters'}"
        for i, s in enumerate(lineage.upstream(first.stage), 1)
    )
    return f"""---
license: apache-2.0
pretty_name: "{name} ({recipe.recipe.id})"
tags: [synthetic, elenchus, {recipe.recipe.id}]
size_categories: [{size_category(sum(counts.values()))}]
---

# {name}

{first.description}

| file | rows | seed | made by | result |
|---|---:|---:|---|---|
{made}

- **From:** recipe `{recipe.recipe.id}` ({recipe.recipe.title}); problem families: {families}
- **Size:** {sum(counts.values()):,} rows, {size:,} bytes
- **Licence:** Apache-2.0 (generated data: no third-party text)
- **Make it anew:** `snakemake {recipe.recipe.id}`, or only this stage: `snakemake {first.stage.manifest}`
- **Trace it:** `elenchus show {first.stage.folder}`; a result's `stage.json` names its inputs, parameters, seed and code

## Columns

A row of table `{first.table}`, with the first row's values.

| column | type | first row |
|---|---|---|
{columns}

A type with `?` may be null.

## How it was made

In this order, each stage from those before it{f" (seed {first.seed}; the other seeds alike)" if len(files) > 1 else ""}:

{steps}

## Known flaws

- Problems are generated, and exact: they say little about free text, where checking is itself a judgement.
- What a model wrote is kept as it wrote it, wrong steps and malformed texts included: `correct`, `parsed` and the like
  say which. Filter before training on it.
- Nothing here is drawn from held-out benchmarks; whether rows come from training or test problems is in the first
  stage above (`split`).
"""


def first_row(path: Path) -> dict:
    """Return the first row of a Parquet file, {} where it has none."""
    import pyarrow.parquet as pq

    batch = next(pq.ParquetFile(path).iter_batches(batch_size=1), None)
    return batch.to_pylist()[0] if batch is not None and batch.num_rows else {}


def shorten(value: object, width: int = 60) -> str:
    """Return a value as the text of a Markdown cell."""
    text = json.dumps(value, ensure_ascii=False).replace("|", "\\|")
    return f"`{text if len(text) <= width else text[: width - 1] + '…'}`"


def size_category(n: int) -> str:
    """Return the data hubs' word for a number of rows."""
    for limit, word in ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")):
        if n < limit:
            return word
    return "n>1M"


# -- what the last job says --------------------------------------------------------------------------------------------


def farewell(plan: Plan, recipe: RecipePlan, results: Path) -> str:
    """Return where to look, and what was learned in a sentence per comparison."""
    name = recipe.recipe.id
    lines = [f"{name}: {recipe.recipe.title}", ""]
    lines += [f"  {sentence}" for sentence in findings.sentences(plan, recipe)]
    if recipe.summary.params["comparisons"] and len(findings.seeds(recipe)) == 1:
        lines.append("  (one seed: the intervals cover the choice of problems, not the luck of training)")
    lines += [
        "",
        f"  report    {results / 'by-recipe' / name / 'report.html'}",
        f"  metrics   {results / 'metrics' / f'{name}.csv'}, or: elenchus metrics {name}",
        f"  results   {results / 'by-recipe' / name}",
    ]
    if recipe.published:
        lines.append(f"  data      {', '.join(sorted({f'data/{p.name}' for p in recipe.published}))}")
    lines.append(f"  runs      {runs_line()}")
    return "\n".join(lines) + "\n"


def runs_line() -> str:
    """Return the command, or the address, that shows the MLflow runs."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if uri.startswith("http"):
        return uri
    return f"mlflow ui --backend-store-uri {uri or 'sqlite:///mlflow.db'}"
