"""A recipe's records: its report, its MLflow runs, its view (links, metrics, published data). The workflow's last jobs."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from pathlib import Path

from elenchus import config, plan
from elenchus.environment import quiet
from elenchus.errors import UserError


def main(what: str, recipe: str, output: Path, overrides: dict) -> int:
    """Make one record, "overlap", "report", "tracking", "view" or "evidence", as the file `output`; return the exit code.

    The file is written aside and moved in place; then the records of other digests of the recipe go.
    """
    quiet()
    try:
        make(what, plan.load(config.project_root(), overrides), recipe, output)
    except UserError as e:
        print(f"\n{what} of {recipe}: {e}\n", file=sys.stderr, flush=True)
        return 1
    return 0


def make(what: str, whole: plan.Plan, recipe: str, output: Path) -> None:
    """Make one record; UserError where a result is missing or damaged or cannot be written."""
    chosen = whole.evidence(recipe) if what == "evidence" else whole.recipe(recipe)
    if chosen.record(what).name != output.name:
        raise UserError(
            "parameters or code have changed since this run was planned. Run snakemake again: "
            "only what the change reaches is made anew"
        )
    aside = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if what == "report":
            from elenchus import report

            report.write(whole, chosen, aside)
        elif what == "overlap":
            from elenchus import contamination

            found = contamination.report(whole, chosen)
            stamp(aside, found)
            for sentence in contamination.sentences(found):
                print(f"\n{recipe}: warning: {sentence}", file=sys.stderr, flush=True)
        elif what == "tracking":
            from elenchus import tracking

            stamp(aside, tracking.ingest(whole, chosen))
        elif what == "view":
            from elenchus import views

            stamp(aside, views.write(whole, chosen))
            if recipe == "bench":
                views.replace(whole.root / plan.LAST_BENCH, whole.config.bench.model_dump_json(indent=1) + "\n")
        elif what == "evidence":
            from elenchus import evidence, pages

            with (output.parents[1] / ".lock").open("a") as lock:  # all recipes' pages share the README
                fcntl.flock(lock, fcntl.LOCK_EX)
                evidence.write(whole, chosen)
                stamp(aside, {"recipe": chosen.recipe.id, "pages": [p.name for p in pages.write(whole)]})
        else:
            raise ValueError(f"unknown record {what!r}")
        os.replace(aside, output)
    except OSError as e:
        raise UserError(f"{e.filename or output}: cannot write here ({e.strerror})") from e
    finally:
        aside.unlink(missing_ok=True)
    for other in output.parent.iterdir():
        if other != output and other.suffix == output.suffix and not other.name.startswith("."):
            other.unlink()
    if what == "evidence":
        from elenchus import evidence

        print("\n" + evidence.spoken(evidence.read(whole.root, chosen.recipe.id)), file=sys.stderr, flush=True)
    if what == "view":
        print("\n" + views.farewell(whole, chosen, output.parents[2]), file=sys.stderr, flush=True)


def stamp(path: Path, facts: dict) -> None:
    """Write `facts` as a small JSON file: its existence means that the record is made."""
    path.write_text(json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
