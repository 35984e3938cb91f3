"""A pretrained model in the seed model's place: a folder is taken, what is not here is named with its command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from elenchus import plan, stages
from elenchus.errors import UserError
from elenchus.job import Job

ROOT = Path(__file__).parents[2]


def job(tmp_path, **params) -> Job:
    """Return a job of the kind."""
    kind = stages.load("pretrained")
    (tmp_path / "out").mkdir()
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
