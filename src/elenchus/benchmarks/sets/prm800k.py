"""PRM800K (Lightman et al. 2023): people's ratings of alternative next steps, -1, 0 or 1."""

from __future__ import annotations

from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, PublishedSolution, problem
from elenchus.benchmarks.records import Record

PHASES = {"phase1_train": 949, "phase1_test": 106, "phase2_train": 97782, "phase2_test": 2762}
CARD = Card(
    "PRM800K",
    "https://github.com/openai/prm800k",
    "MIT",
    {p: (f"{p}.jsonl", f"data/{p}.jsonl") for p in PHASES} | {"samples": ("samples_prm800k.jsonl",)},
    rows=PHASES,
    flaws="In phase 1 labellers wrote steps themselves where no alternative was right. A missing rating is read as NaN. Its "
    "training problems include 4,500 of MATH's original test.",
    restricted="its problems are MATH's",
    tested="six published records, and a hand-made file of its format",
)


def item(record: Record, place: str) -> Item:
    """Return the item; the solution is the chain of chosen steps, with their ratings, up to the first step without one.

    first_error: the first chosen step rated -1; where nothing was chosen, the step whose first alternative is rated -1.
    Alternatives that were not chosen stand in `meta` as (step, text, rating).
    """
    chain, ratings, others = [], [], []
    steps = record.get("label.steps")
    if not isinstance(steps, list):
        raise record.no("label.steps", f"{steps!r}", "a list of steps")
    for i, step in enumerate(steps):
        alternatives = step.get("completions") or []
        chosen = step.get("chosen_completion")
        pick = chosen
        if chosen is None and not step.get("human_completion") and alternatives:
            pick = 0  # the trail ends here: nothing was chosen, the first alternative stands for the step
        for j, c in enumerate(alternatives):
            if j != pick:
                others.append([i, c["text"], c["rating"]])
        if pick is not None and not 0 <= pick < len(alternatives):
            raise record.no(f"label.steps.{i}.chosen_completion", f"{pick}", f"0 to {len(alternatives) - 1}, or null")
        if pick is None and not step.get("human_completion"):
            break
        made = alternatives[pick] if pick is not None else {"text": step["human_completion"]["text"], "rating": 1}
        chain.append(made["text"])
        ratings.append(float("nan") if made["rating"] is None else float(made["rating"]))
    first = next((i for i, r in enumerate(ratings) if r == -1), -1)
    answer = record.fields["question"].get("ground_truth_answer") or ""
    solution = PublishedSolution("labelled", "\n".join(chain), tuple(chain), "", None, first, tuple(ratings))
    meta = {"alternatives": others, "finish": record.get("label").get("finish_reason", "")}
    return Item(problem("prm800k", place, record.text("question.problem"), str(answer), **meta), solutions=(solution,))
