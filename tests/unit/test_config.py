"""params.yaml: what is read, what is refused, and that the shipped file and schema hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from snakemake.cli import parse_config

from elenchus import config, plan
from elenchus.errors import UserError
from elenchus.recipes import load_all

ROOT = Path(__file__).parents[2]
PARAMS = {r.id: r.params for r in load_all(ROOT / "workflow" / "recipes").values()}


def load(tmp_path, text, overrides=None):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return config.load(path, PARAMS, overrides)


def test_the_shipped_parameters_are_valid_and_every_recipe_can_be_wired():
    whole = plan.load(ROOT)
    assert all(whole.recipe(name).stages for name in whole.recipes)


def test_the_shipped_schema_is_the_models(tmp_path):
    shipped = json.loads((ROOT / "workflow/schemas/params.schema.json").read_text())
    assert shipped == config.json_schema(PARAMS), "run: elenchus schema > workflow/schemas/params.schema.json"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("problms: {}", ["unknown key 'problms'", "did you mean 'problems'?"]),
        ("elenchus: {rounds: {rouns: 3}}", ["'elenchus.rounds.rouns'", "did you mean 'rounds'?"]),
        ("elenchus: {critics: {dpo: {betta: 1}}}", ["'elenchus.critics.dpo.betta'", "did you mean 'beta'?"]),
        ("problems: {train: many}", ["problems.train", "found 'many'"]),
        ("problems: {train: 0}", ["problems.train", "greater than or equal to 1"]),
        ("seeds: []", ["seeds", "at least 1"]),
        ("scale: moon", ["scale", "'laptop' or 'cluster'"]),
        ("a: [1,", ["not valid YAML", "line 1"]),
        ("- 1", ["found list"]),
        ("recipes: 3", ["recipes", "found 3"]),
    ],
)
def test_what_is_wrong_is_said_with_its_key(tmp_path, text, words):
    with pytest.raises(UserError) as e:
        load(tmp_path, text)
    assert all(word in str(e.value) for word in words) and "params.yaml" in str(e.value), str(e.value)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(UserError, match="there is no such file"):
        config.load(tmp_path / "params.yaml", PARAMS)


def test_numbers_are_read_as_dvc_reads_them(tmp_path):
    """YAML 1.2: 1e-4 is a number (a string in YAML 1.1), `on` a word."""
    loaded = load(tmp_path, "elenchus: {critics: {dpo: {learning_rate: 1e-4}}}")
    assert dict(**loaded.elenchus.critics.dpo) == {"learning_rate": 1e-4}


def test_overrides_and_the_cluster_s_section_lie_over_the_others(tmp_path):
    text = "problems: {train: 5, test: 6}\ncluster: {problems: {train: 70}}"
    assert load(tmp_path, text).problems.train == 5
    on_cluster = load(tmp_path, text, {"scale": "cluster"}).problems
    assert (on_cluster.train, on_cluster.test) == (70, 6)


def test_what_snakemake_reads_as_texts_is_read_by_the_schema():
    """Snakemake's --config gives every value inside of a mapping or list as a text."""

    def texts(data):
        if isinstance(data, dict):
            return {k: texts(v) for k, v in data.items()}
        if isinstance(data, list):
            return [texts(v) for v in data]
        return json.dumps(data) if isinstance(data, bool) or data is None else str(data)

    written = config.read_yaml(ROOT / "params.yaml")
    given = plan.load(ROOT, {**texts(written), "scale": "cluster"})
    assert given.recipe("rest_mcts").digest == plan.load(ROOT, {"scale": "cluster"}).recipe("rest_mcts").digest
    asked = plan.load(ROOT, parse_config(["training={lora: null, micro_batch: 2}"]))
    assert asked.config.training.lora is None and asked.config.training.micro_batch == 2
    bench = plan.load(ROOT, parse_config(["bench={items: 50, temperature: 0.5}"])).config.bench
    assert (bench.items, bench.temperature) == (50, 0.5)
    with pytest.raises(UserError, match=r"params.yaml: bench.items: .*found 'many'"):
        plan.load(ROOT, parse_config(["bench={items: many}"]))


def test_knobs_pass_on_only_what_was_set(tmp_path):
    loaded = load(tmp_path, "elenchus: {critics: {warmup: {steps: 7}}}")
    assert dict(**loaded.elenchus.critics.warmup) == {"steps": 7}


def test_an_unknown_recipe_is_refused_with_the_nearest(tmp_path):
    whole = plan.load(ROOT)
    with pytest.raises(UserError, match="did you mean 'elenchus'"):
        whole.recipe("elenchos")
    with pytest.raises(UserError, match="unknown recipe 'b_sta'"):
        plan.load(ROOT, {"recipes": ["b_sta"]})


def test_a_key_that_stands_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"(?s)'train' stands here twice.*line 3"):
        load(tmp_path, "problems:\n  train: 10\n  train: 20\n")
