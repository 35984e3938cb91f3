"""A pretrained model in the seed model's place: a folder is taken, what is not here is named with its command."""

from __future__ import annotations

import json
from pathlib import Path

import byte_llama
import pytest

from elenchus import graph, plan, stages
from elenchus.errors import UserError
from elenchus.job import Job

ROOT = Path(__file__).parents[2]


def job(tmp_path, **params) -> Job:
    """Return a job of the kind."""
    kind = stages.load("pretrained")
    (tmp_path / "out").mkdir(parents=True)
    return Job("pretrained", kind.Params(**params), 1, {}, tmp_path / "out", tmp_path)


def model_folder(folder: Path) -> Path:
    """Return a folder with a small model, and something pickled beside it."""
    from elenchus import models

    tokenizer = models.new_tokenizer(["a", "b"])
    models.save(models.new_model(len(tokenizer), width=32, layers=1, heads=2, context=16, seed=1), tokenizer, folder)
    (folder / "optimizer.bin").write_bytes(b"pickled")
    return folder


def test_a_folder_is_taken_without_what_is_pickled(tmp_path):
    from elenchus import models

    folder = model_folder(tmp_path / "mine")
    made = job(tmp_path, name=str(folder))
    stages.load("pretrained").run(made)
    names = {p.name for p in (made.out / "model").iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= names and "optimizer.bin" not in names
    model, tokenizer = models.load(made.out / "model")
    assert model.config.hidden_size == 32 and len(tokenizer) == 8
    assert json.loads((made.out / "card.json").read_text())["name"] == str(folder)


def test_what_is_not_here_is_named_with_the_command_that_fetches_it(tmp_path):
    with pytest.raises(UserError, match="elenchus fetch --model nobody/nothing --revision abc"):
        stages.load("pretrained").run(job(tmp_path, name="nobody/nothing", revision="abc"))


def test_a_folder_without_safetensors_is_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "pytorch_model.bin").write_bytes(b"pickled")
    with pytest.raises(UserError, match=r"safetensors are needed; it holds pytorch_model\.bin"):
        stages.load("pretrained").run(job(tmp_path, name=str(tmp_path / "mine")))


def test_a_base_model_takes_the_seed_models_place():
    whole = plan.load(ROOT, {"base_model": {"name": "Qwen/Qwen2.5-3B-Instruct"}})
    kinds = {s.kind for s in whole.recipe("elenchus").stages}
    assert "pretrained" in kinds and "seed_model" not in kinds


def test_a_model_without_a_template_speaks_in_roles_and_its_source_stays_as_it_was(tmp_path):
    from elenchus import conversation, models
    from elenchus.job import file_entries

    source = byte_llama.make(tmp_path / "plain")
    before = file_entries(source)
    assert models.load_tokenizer(source).chat_template is None
    made = job(tmp_path, name=str(source), template="roles")
    stages.load("pretrained").run(made)
    model, tokenizer = models.load(made.out / "model")
    said = conversation.render(tokenizer, conversation.critique("Q", "S"), "critic")
    assert said == "<user> Q <assistant> S <critic> " and tokenizer.pad_token and model.config.vocab_size
    assert file_entries(source) == before
    plain = job(tmp_path / "own", name=str(source))
    stages.load("pretrained").run(plain)
    assert models.load_tokenizer(plain.out / "model").chat_template is None


def test_a_model_with_a_template_of_its_own_and_no_padding_speaks_in_roles(tmp_path):
    from elenchus import conversation, models

    source = byte_llama.make(
        tmp_path / "chat", template="{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}"
    )
    tokenizer = models.load_tokenizer(source)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(source)
    made = job(tmp_path, name=str(source), template="roles")
    stages.load("pretrained").run(made)
    _, tokenizer = models.load(made.out / "model")
    assert conversation.render(tokenizer, conversation.solve("Q"), "assistant") == "<user> Q <assistant> "
    assert tokenizer.pad_token == tokenizer.eos_token


def test_a_pretrained_model_learns_the_forms_before_a_recipe_begins(tmp_path, monkeypatch):
    from elenchus import models, run_stage

    monkeypatch.chdir(ROOT)
    sft = {"steps": 3, "epochs": 0, "batch": 4, "precision": "float32", "activation_checkpointing": False}
    base = {"name": str(byte_llama.make(tmp_path / "plain")), "lessons": 6, "sft": sft}
    recipe = plan.load(ROOT, {"base_model": base, "problems": {"options": {"max_length": 3}}}).recipe("multicritique")
    taught = next(s for s in recipe.stages if s.kind == "sft" and "pretrained" in {p.kind for p in s.parents})
    first = next(s for s in recipe.stages if s.kind == "sample")
    assert first.inputs["actor"] is taught, "what the recipe starts from"
    asked = {s.digest: s for s in recipe.stages if s.kind == "problems"}
    lessons = next(s for s in graph.walk([taught]) if s.kind == "problems")
    assert sum(s.params["seed"] == lessons.params["seed"] for s in asked.values()) == 1, "problems of its own"
    for stage in graph.walk([taught]):
        run_stage.run(stage.spec(), tmp_path / "results")
    examples = [run_stage.Result(tmp_path / s.folder).count("examples") for s in taught.inputs["examples"]]
    assert examples == [6, 6]
    _, tokenizer = models.load(tmp_path / taught.folder / "model")
    assert "critic" in tokenizer.chat_template
