"""Examples for the page's browser: solutions with exact step labels, what each critic said, what came of it."""

from __future__ import annotations

from elenchus import findings, problems
from elenchus.graph import Stage
from elenchus.plan import Plan, RecipePlan

MOST = 36


def gather(plan: Plan, recipe: RecipePlan, most: int = MOST) -> dict:
    """Return {"critics": [...], "items": [...]} of the first seed; items is empty where nothing was written.

    Half of the items are wrong solutions where there are as many; those on which critics disagree come first.
    """
    solutions, of_problems, critics = sources(recipe)
    if solutions is None:
        return {"critics": [], "items": []}
    asked = {
        r["problem_id"]: problems.from_row(r)
        for r in findings.rows(findings.result(plan.root, of_problems), "problems")
    }
    written = findings.rows(findings.result(plan.root, solutions), "solutions")
    said = {name: by_solution(plan, stage, "critiques") for name, (stage, _) in critics.items()}
    revised = {name: by_solution(plan, stage, "refinements") for name, (_, stage) in critics.items() if stage}
    items = []
    for row in pick(written, said, most):
        problem = asked[row["problem_id"]]
        item = {
            "problem": problem.prompt,
            "answer": problem.answer,
            "id": row["solution_id"],
            "problem_id": problem.id,
            **told(problem, row),
            "critics": {},
        }
        for name, found in said.items():
            critique = found.get(row["solution_id"])
            if critique:
                item["critics"][name] = critique_of(critique)
                refinement = revised.get(name, {}).get(row["solution_id"])
                if refinement:
                    item["critics"][name]["refinement"] = told(problem, refinement)
        items.append(item)
    return {"critics": list(critics), "items": items}


def sources(recipe: RecipePlan) -> tuple[Stage | None, Stage | None, dict[str, tuple[Stage, Stage | None]]]:
    """Return (solutions, their problems, {critic: (critiques, refinements)}) of the first seed.

    The solutions are those that most critics judged; without critics, the last measured ones.
    """
    first = min(m.seed for m in recipe.measured)
    judged: dict[str, dict[str, tuple[Stage, Stage | None]]] = {}
    stages: dict[str, tuple[Stage, Stage]] = {}
    last = None
    for m in recipe.measured:
        given = m.stage.inputs
        if m.seed != first or "solutions" not in given or "problems" not in given:
            continue
        last = given["solutions"].digest
        stages[last] = given["solutions"], given["problems"]
        if "critiques" in given:
            name = m.subject if m.arm in recipe.recipe.arms[:1] or m.arm == "shared" else f"{m.subject} ({m.arm})"
            name = name if m.round == 0 else f"{name}, round {m.round}"
            before = judged.setdefault(last, {}).get(name, (None, None))
            judged[last][name] = given["critiques"], given.get("refinements") or before[1]
    if last is None:
        return None, None, {}
    chosen = max(judged, key=lambda d: len(judged[d]), default=last)
    return *stages[chosen], judged.get(chosen, {})


def by_solution(plan: Plan, stage: Stage, table: str) -> dict[str, dict]:
    """Return the first sample's row for each solution."""
    found: dict[str, dict] = {}
    for row in findings.rows(findings.result(plan.root, stage), table):
        found.setdefault(row["solution_id"], row)
    return found


def pick(written: list[dict], said: dict[str, dict[str, dict]], most: int) -> list[dict]:
    """Return at most `most` solutions, one a problem: wrong and right in turn, most disagreement among critics first."""

    def disagreement(row: dict) -> int:
        return len({c["first_error"] for found in said.values() if (c := found.get(row["solution_id"])) is not None})

    rows = sorted(written, key=lambda r: (-disagreement(r), r["solution_id"]))
    taken: set[str] = set()
    chosen: list[dict] = []
    queues = [[r for r in rows if not r["correct"]], [r for r in rows if r["correct"]]]
    while len(chosen) < most and any(queues):
        for queue in queues:
            while queue and queue[0]["problem_id"] in taken:
                queue.pop(0)
            if queue and len(chosen) < most:
                row = queue.pop(0)
                taken.add(row["problem_id"])
                chosen.append(row)
    return chosen


def told(problem: problems.Problem, row: dict) -> dict:
    """Return a solution or refinement: its steps with the exact checker's labels, its answer, whether that is right."""
    checks = problems.load(problem.family).check_steps(problem, list(row["steps"]))
    steps = [{"text": s, "ok": c.ok, "error": c.error, "expected": c.expected} for s, c in zip(row["steps"], checks)]
    facts = {
        "steps": steps,
        "said": row["answer"],
        "right": row["correct"],
        "parsed": row["parsed"],
        "tokens": row["tokens"],
    }
    return facts if row["parsed"] else {**facts, "text": row["text"]}


def critique_of(row: dict) -> dict:
    """Return a critique: the steps that it flags, with error and fix, its verdict and confidence."""
    flags = {str(s): {"error": e, "fix": f} for s, e, f in zip(row["bad_steps"], row["errors"], row["fixes"])}
    facts = {
        "verdict": row["verdict"],
        "first": row["first_error"],
        "flags": flags,
        "confidence": findings.number(row["confidence"]),
        "parsed": row["parsed"],
    }
    return facts if row["parsed"] else {**facts, "text": row["text"], "why": row["parse_error"]}
