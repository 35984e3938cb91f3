"""What a page says of benchmarks: published metrics, what is to be known of the replies, what training has of test items."""

from __future__ import annotations

import json

from elenchus import findings
from elenchus.plan import Plan, RecipePlan
from elenchus.report import charts

KINDS = ("grade", "grade_critic")
SHOWN = ("benchmark", "role", "reader")  # said by the row itself


def tables(plan: Plan, recipe: RecipePlan) -> list[dict]:
    """Return a row for each measured role: {arm, subject, seed, facts: [(name, value)], prompt, notes}; [] of other recipes."""
    rows = []
    for m in recipe.measured:
        if m.stage.kind not in KINDS:
            continue
        said = json.loads(findings.result(plan.root, m.stage).file("published.json").read_text())
        replies = findings.result(plan.root, m.stage.inputs["replies"])
        asked = (
            json.loads(replies.file("prompt.json").read_text()) if "prompt.json" in replies.manifest["files"] else {}
        )
        facts = [(name, value) for name, value in flat(said) if name not in SHOWN]
        prompt = f"{asked['name']} {asked['sha256'][:12]}" if asked else "imported"
        about = {"arm": m.arm, "subject": m.subject, "seed": m.seed, "prompt": prompt, "notes": asked.get("notes", [])}
        rows.append({**about, "facts": facts})
    return rows


def flat(value: dict, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested facts as (name, value as text)."""
    found = []
    for key, inner in value.items():
        name = f"{prefix} {key}".strip().replace("_", " ")
        if isinstance(inner, dict):
            found += flat(inner, name)
        elif inner is not None:
            found.append((name, charts.number(inner) if isinstance(inner, int | float) else str(inner)))
    return found


def overlap(plan: Plan, recipe: RecipePlan) -> dict | None:
    """Return what the record `overlap` says, None where it is not made."""
    path = plan.root / recipe.record("overlap")
    return json.loads(path.read_text()) if path.is_file() else None
