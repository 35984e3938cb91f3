"""What a recipe trains on, held against test items: a planted overlap is found, in the record, on the page and in the evidence."""

from __future__ import annotations

import json

import fake_models
import pytest

from elenchus import contamination, evidence, pages, plan, recipes, records, report
from elenchus.benchmarks import mapped, store

# the warm-up learns from drafts of test problems
PLANTED = fake_models.RECIPE.replace(
    "lab.examples(problems=train, solutions=drafts, critiques=merged)",
    'lab.examples(problems=test, solutions=before, critiques=lab.oracle_critique("strict", before, test))',
)


def made(folder, monkeypatch, recipe: str):
    """Return the plan of a small project with this recipe, its stages done."""
    whole = fake_models.project(folder)
    (folder / "workflow/recipes/small.py").write_text(recipe)
    recipes.load_all.cache_clear()
    whole = plan.load(folder)
    fake_models.run_all(whole, "small", monkeypatch)
    return whole


def benchmark(root, questions: list[str]) -> None:
    """Bring a benchmark of these questions to where `elenchus data get` brings one."""
    file = root / "questions.jsonl"
    file.write_text("".join(json.dumps({"q": q, "a": "1"}) + "\n" for q in questions))
    store.get("mine", mapped.source("mine", file, {"prompt": "q", "answer": "a"}), root, root, None, lambda line: None)


def test_training_on_train_problems_is_no_overlap(done):
    found = contamination.report(done, done.recipe("small"))
    assert found["tables"] >= 5 and found["texts"] > 100 and found["not_kept"] == ["seed_model"]
    (own,) = found["against"]
    assert (own["name"], own["items"], own["exact"]) == (contamination.OWN, 24, 0)
    assert contamination.sentences(found) == []


def test_a_planted_overlap_is_found_and_shown(tmp_path, monkeypatch, capsys):
    assert PLANTED != fake_models.RECIPE
    whole = made(tmp_path, monkeypatch, PLANTED)
    recipe = whole.recipe("small")
    (own,) = contamination.report(whole, recipe)["against"]
    assert own["exact"] == own["items"] == 24
    output = whole.root / recipe.record("overlap")
    records.make("overlap", whole, "small", output)
    assert "warning: training holds 24 of 24 items of own test problems" in capsys.readouterr().err
    page = report.render(whole, recipe)
    assert "Training data against test items" in page and f'<td class="num">{own["exact"]}</td>' in page
    gathered = evidence.gather(whole, recipe)
    assert gathered["overlap"]["against"][0]["exact"] == 24
    shown = pages.page(recipe.recipe, gathered, [])
    assert (
        "| own test problems | 24 | 24 |" in shown
        and "Not looked through, since it is drawn and not kept: seed_model." in shown
    )
    assert "test items" not in pages.page(recipe.recipe, {k: v for k, v in gathered.items() if k != "overlap"}, []), (
        "older evidence has none"
    )


def test_a_benchmark_at_hand_is_held_against_training_too(copied):
    before = copied.recipe("small").digest
    train = next(s for s in copied.recipe("small").stages if s.kind == "problems" and s.params["split"] == "train")
    from elenchus import findings

    known = findings.rows(findings.result(copied.root, train), "problems")[0]["prompt"]
    long = " ".join(f"word{i}" for i in range(20))
    benchmark(copied.root, [known, long])
    whole = plan.load(copied.root)
    recipe = whole.recipe("small")
    assert recipe.digest != before, "another test set at hand: the record is made anew"
    mine = contamination.report(whole, recipe)["against"][1]
    assert (mine["name"], mine["items"], mine["exact"], mine["found"]) == ("mine/all", 2, 1, ["1"])


@pytest.mark.parametrize("split", ["train", "test"])
def test_train_splits_of_benchmarks_are_no_test_items(tmp_path, split):
    folder = tmp_path / store.FOLDER / "gsm8k" / split / ("0" * 16)
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    assert contamination.at_hand(tmp_path) == ((f"gsm8k/test/{'0' * 16}",) if split == "test" else ())
