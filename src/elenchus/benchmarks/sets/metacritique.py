"""MetaCritique (arXiv 2401.04518): critiques in atomic units, with human labels of precision and recall."""

from __future__ import annotations

from elenchus.benchmarks.card import Card
from elenchus.benchmarks.items import Item, PublishedCritique, PublishedSolution, problem
from elenchus.benchmarks.records import Record

CRITIQUES = ("human_critique", "llm1_critique", "llm2_critique")
CARD = Card(
    "MetaCritique",
    "https://github.com/GAIR-NLP/MetaCritique",
    "Apache-2.0; questions and responses come from Shepherd, CC-BY-NC-4.0",
    {"test": ("annotation_data.json", "annotation_labels_stripped.json", "data/annotation_data.json")},
    rows={"test": 100},
    flaws="References are GPT-4's; recall depends on their being complete.",
    restricted="questions, responses and human critiques are not free for commercial use",
)


def item(record: Record, place: str) -> Item:
    """Return the item; labels of a critique are lists of bools, "precision" of its own units, "recall" of the reference's."""
    critiques = []
    for name in CRITIQUES:
        part = Record(record.get(name), record.file, record.row)
        labels = {}
        for key in ("precision", "recall"):
            value = part.get(f"{key}_labels")
            if not isinstance(value, list) or not all(isinstance(x, bool) for x in value):
                raise record.no(f"{name}.{key}_labels", f"{value!r}", "a list of true and false")
            labels[key] = value
        labels["published"] = {k: part.number(f"{k}_score") for k in ("precision", "recall", "f1")}
        author = part.text("model") if part.has("model") else "human"
        critiques.append(PublishedCritique(author, part.fields.get("critique") or "", labels=labels))
    response = record.fields.get("response") or ""
    solution = PublishedSolution("", response, critiques=tuple(critiques))
    question = record.fields.get("question") or ""  # copies without Shepherd's text exist
    made = problem("metacritique", place, question, record.text("gpt4_answer"), dataset=record.text("dataset"))
    return Item(made, str(record.whole("index", 0)), (solution,))
