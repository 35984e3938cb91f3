"""Any JSON, JSONL, CSV or Parquet file as a data set, by naming the fields that hold what."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace

from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, PublishedSolution, problem
from elenchus.benchmarks.records import Record
from elenchus.errors import UserError, did_you_mean

ROLES = {
    "prompt": "the question (required)",
    "answer": "the reference answer (required)",
    "id": "the record's own id",
    "options": "a list of the choices' texts",
    "solution": "a published solution",
    "author": "who wrote it",
    "correct": "whether it is right",
    "first_error": "its earliest wrong step, 0-based, -1 none",
    "steps": "its steps, a list of texts",
}


def mapping(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return {role: field} of "role=field" texts; UserError for an unknown role, or without prompt and answer."""
    fields = {}
    for pair in pairs:
        role, sign, field = pair.partition("=")
        if not sign or not field or role not in ROLES:
            roles = "; ".join(f"{r}: {says}" for r, says in ROLES.items())
            raise UserError(f"--field {pair!r}{did_you_mean(role, ROLES)}; allowed: role=field with a role of {roles}")
        fields[role] = field
    missing = [role for role in ("prompt", "answer") if role not in fields]
    if missing:
        raise UserError(f"no field for {' and '.join(missing)}; add\n  --field {missing[0]}=<the file's field>")
    return fields


def source(name: str, file: Path, fields: dict[str, str]) -> ModuleType:
    """Return what stands for a set's module: a CARD of this one file, and `item` by `fields` ({role: field})."""
    if not file.is_file():
        raise UserError(f"{name}: no file {file}")

    def item(record: Record, place: str) -> Item:
        solutions = ()
        if "solution" in fields or "steps" in fields:
            steps = record.texts(fields["steps"]) if "steps" in fields else ()
            text = record.text(fields["solution"], empty=True) if "solution" in fields else "\n".join(steps)
            solutions = (
                PublishedSolution(
                    record.text(fields["author"]) if "author" in fields else "",
                    text,
                    steps or tuple(text.split("\n")),
                    correct=record.truth(fields["correct"]) if "correct" in fields else None,
                    first_error=record.whole(fields["first_error"], -1) if "first_error" in fields else None,
                ),
            )
        made = problem(name, place, record.text(fields["prompt"]), record.answer(fields["answer"]))
        if "options" in fields:
            made.meta["options"] = list(record.texts(fields["options"]))
        return Item(made, record.text(fields["id"]) if "id" in fields else "", solutions)

    card = Card(file.name, str(file), "not known", {"all": (file.name,)})
    return SimpleNamespace(CARD=card, FIELDS=fields, item=item, __name__=f"mapped.{name}")
