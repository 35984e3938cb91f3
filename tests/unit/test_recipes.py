"""What holds for every recipe: short, explained, with departures and claims about what it measures; plans at both scales."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from elenchus import config, evidence, pages, plan, recipes, scaffold
from elenchus.errors import UserError

ROOT = Path(__file__).parents[2]
IDS = sorted(recipes.load_all(ROOT / "workflow" / "recipes"))
PAPERS = [i for i in IDS if i != "elenchus"]  # the main job is no paper's


@pytest.fixture(scope="module")
def whole() -> plan.Plan:
    """Return the project's plan."""
    return plan.load(ROOT)


@pytest.mark.parametrize("name", IDS)
def test_a_recipe_is_short_and_explained(whole, name):
    recipe = whole.recipes[name]
    if name in PAPERS:
        text = re.sub(
            r"\n    Findings\n.*?(?=\n    \"\"\"\n)", "", (ROOT / f"workflow/recipes/{name}.py").read_text(), flags=re.S
        )
        assert len(text.splitlines()) <= 150, "findings not counted"
    assert len(re.findall(r"[.!?](?:\s|$)", recipe.summary)) >= 3, "the idea, in about five sentences"
    assert recipe.departures
    assert re.search(rf"^{name}:", (ROOT / "params.yaml").read_text(), flags=re.M), "its section in params.yaml"


@pytest.mark.parametrize("name", PAPERS)
def test_a_papers_claims_are_about_what_is_measured(whole, name):
    recipe = whole.recipe(name)
    assert re.fullmatch(r"\d{4}\.\d{5}", recipe.recipe.arxiv) and recipe.claims
    measured = {(m.arm, m.round, m.subject) for m in recipe.measured}
    for claim in recipe.claims:
        for side in (claim.better, claim.than):
            assert side is None or (side.arm, side.round, side.subject) in measured, f"{claim.statement}: {side}"
    assert set(recipe.recipe.arms) <= {m.arm for m in recipe.measured}, "an arm that nobody measures"


@pytest.mark.parametrize("name", PAPERS)
def test_a_paper_has_its_published_scale(whole, name):
    large = plan.load(ROOT, {"scale": "cluster"})
    assert name in whole.config.cluster, "its published values, in the section `cluster`"
    kinds = {s.kind for s in large.recipe(name).stages}
    assert "pretrained" in kinds or name == "mmc", "the paper's model (MMC's is not named in what was read of it)"
    changed = {s.digest for s in large.recipe(name).stages} - {s.digest for s in whole.recipe(name).stages}
    assert changed, "the cluster scale changes nothing"


@pytest.mark.parametrize("name", evidence.known(ROOT))
def test_evidence_is_what_todays_code_would_make(whole, name):
    stale = evidence.stale(evidence.read(ROOT, name), whole.evidence(name))
    assert not stale, f"out of date, make it again with `snakemake evidence_{name}`: {stale[:10]}"


def test_pages_say_what_recipes_and_evidence_say(whole):
    for path, text in pages.contents(whole).items():
        assert path.is_file() and path.read_text() == text, f"{path.name} is out of date: elenchus pages"


def test_a_changed_parameter_names_the_stages_that_it_makes_stale(whole):
    name = IDS[0]
    before = {"stages": evidence.named_stages(whole.evidence(name))}
    assert evidence.stale(before, whole.evidence(name)) == []
    other = plan.load(ROOT, {name: {"problems": {"test": 50}}})
    stale = evidence.stale(before, other.evidence(name))
    assert stale and all(s.startswith("problems: ") for s in stale), "the causes, not what follows from them"


def test_a_recipe_may_say_its_own_problems():
    shared = config.Problems(family="chain", options={"modulus": 7}, test=30)
    own = config.OwnProblems(options={"max_length": 4}, train=10)
    assert own.over(shared).options == {"modulus": 7, "max_length": 4} and own.over(shared).test == 30
    assert config.OwnProblems(family="countdown").over(shared).options == {}


def test_a_new_recipe_runs_as_written(tmp_path):
    import shutil

    shutil.copytree(ROOT / "workflow", tmp_path / "workflow", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml")
    scaffold.write(tmp_path, "new_paper", "New: a paper", "2501.00001")
    recipe = plan.load(tmp_path).recipe("new_paper")
    assert [c.metric for c in recipe.claims] == ["pass@1"] and recipe.recipe.departures
    text = (tmp_path / "params.yaml").read_text()
    published = text[text.index("  # new_paper:") :]
    (tmp_path / "params.yaml").write_text(text.replace(published, re.sub("^  # ", "  ", published, flags=re.M)))
    large = plan.load(tmp_path, {"scale": "cluster"}).recipe("new_paper")
    assert [s.params["name"] for s in large.stages if s.kind == "pretrained"] == ["owner/model"], "once uncommented"
    with pytest.raises(UserError, match="exists already"):
        scaffold.write(tmp_path, "new_paper", "New: a paper", "2501.00001")
    with pytest.raises(UserError, match="try 'new_paper'"):
        scaffold.write(tmp_path, "New-Paper", "New: a paper", "2501.00001")


@pytest.mark.parametrize("name", IDS)
def test_a_recipe_needs_no_section_in_params(tmp_path, name):
    found = recipes.load_all(ROOT / "workflow" / "recipes")
    (tmp_path / "params.yaml").write_text("seeds: [0]\n")
    loaded = config.load(tmp_path / "params.yaml", {i: r.params for i, r in found.items()})
    assert plan.plan_recipe(loaded, found[name]).stages
