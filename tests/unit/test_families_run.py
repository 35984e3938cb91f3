"""A short recipe on the families that params.yaml can name beside chain: from problems to evaluations, by the real stages."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import torch

from elenchus import plan, problems, run_stage
from elenchus.errors import UserError

PARAMS = """
recipes: [short]
seeds: [0]
problems: {{family: {family}, options: {options}, train: 6, validation: 4, test: 6}}
seed_model: {{width: 16, layers: 1, heads: 2, context: 512, batch: 4, drill_steps: 2, solve_steps: 2, mixture_steps: 2,
             check_every: 2, check_problems: 4, card_problems: 4, max_tokens: 24, save_steps: 100}}
engine: {{max_tokens: 24}}
"""
RECIPE = '''"""Short."""

from elenchus.config import RecipeParams
from elenchus.recipes import recipe


class Params(RecipeParams):
    """Nothing of its own."""


@recipe(title="Short", arxiv="2501.00001", arms=("only",))
def short(lab, p):
    """Criticise injected errors and mend them.

    Departures
    1. It is no paper.
    """
    train, test = lab.problems("train"), lab.problems("test")
    lab.disjoint(train, test)
    with lab.arm("only"):
        model = lab.seed_model()
        spoilt = lab.inject(test, n=4, fewest=1, most=1, clean=0.5)
        said = lab.oracle_critique("noisy", spoilt, test, miss_rate=0.3, false_alarm_rate=0.3, wrong_fix_rate=0.3)
        lab.measure(lab.evaluate("policy", test, solutions=lab.sample(model, test, n=2)))
        lab.measure_critiques(said, model, spoilt, test, subject="noisy")
'''
FAMILIES = {
    "coloring": "{max_vertices: 6}",
    "gym": "{task: gcd, small: true}",
}


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def project(folder, family, options):
    (folder / "workflow/recipes").mkdir(parents=True)
    (folder / "workflow/recipes/short.py").write_text(RECIPE)
    (folder / "params.yaml").write_text(PARAMS.format(family=family, options=options))
    return folder


@pytest.mark.parametrize("family", ["coloring", pytest.param("gym", marks=pytest.mark.gym)])
def test_a_recipe_runs_from_problems_to_evaluations(tmp_path, family):
    planned = plan.load(project(tmp_path, family, FAMILIES[family])).recipe("short")
    kinds, made = set(), {}
    for stage in planned.stages:
        folder = run_stage.run(stage.spec(), tmp_path / "results")
        kinds.add(stage.kind)
        made.setdefault(stage.kind, []).append(folder)
    assert kinds == {
        "problems",
        "disjoint",
        "seed_model",
        "inject",
        "critique",
        "sample",
        "refine",
        "evaluate",
        "summary",
    }

    card = json.loads((made["seed_model"][0] / "card.json").read_text())
    assert card["family"] == family and 0 <= card["skills"]["pass@1"] <= 1
    spoilt = pd.read_parquet(made["inject"][0] / "solutions.parquet")
    assert len(spoilt) == 24 and 0 < spoilt["correct"].sum() < 24
    assert ((spoilt["first_error"] < 0) == spoilt["correct"]).all()
    said = pd.read_parquet(made["critique"][0] / "critiques.parquet")
    assert said["parsed"].all() and set(said["verdict"]) <= {"right", "wrong"}
    refined = pd.read_parquet(made["refine"][0] / "refinements.parquet")
    assert len(refined) == len(said) == 24
    metrics = pd.concat([pd.read_parquet(folder / "metrics.parquet") for folder in made["evaluate"]])
    assert {"pass@1", "first_error_f1"} <= set(metrics["metric"])


def test_a_wrong_family_or_option_is_said_before_anything_runs(tmp_path):
    with pytest.raises(UserError, match="did you mean 'coloring'"):
        plan.load(project(tmp_path / "a", "colouring", "{}")).recipe("short")
    with pytest.raises(UserError, match="vertexes"):
        plan.load(project(tmp_path / "b", "coloring", "{vertexes: 3}")).recipe("short")
    assert "gym" in problems.names() and "coloring" in problems.names()
