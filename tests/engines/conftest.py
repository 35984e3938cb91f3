"""Engines against each other, for real: a small trained model, transformers here, vLLM in its own environment.

`make test-vllm` installs that environment and runs these tests; without it those that need it say so and are skipped.
ELENCHUS_TEST_MODEL names a model folder (a seed model's) in place of the one that is trained here.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import torch
from real_vllm import MACHINE, require_vllm

from elenchus import models, solutions
from elenchus.engines.settings import Vllm
from elenchus.engines.transformers_engine import TransformersEngine
from elenchus.engines.vllm_engine import VllmEngine
from elenchus.problems import chain

GIVEN = os.environ.get("ELENCHUS_TEST_MODEL")
OPTIONS = chain.Options() if GIVEN else chain.Options(modulus=5, min_length=1, max_length=2)


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Return a model folder: heads of 32, the smallest that vLLM has on a CPU; short chains half learned."""
    torch.set_num_threads(1)
    if GIVEN:
        return Path(GIVEN)
    tokenizer, rng = models.new_tokenizer(chain.vocabulary(OPTIONS)), random.Random(0)
    model = models.new_model(len(tokenizer), width=64, layers=2, heads=2, context=256, seed=0)
    hidden = [w for name, w in model.named_parameters() if w.ndim == 2 and "embed" not in name]
    rest = [w for name, w in model.named_parameters() if w.ndim != 2 or "embed" in name]
    muon = torch.optim.Muon(hidden, lr=1e-2, weight_decay=0.0)
    adamw = torch.optim.AdamW(rest, lr=3e-3, weight_decay=0.0)
    for _ in range(200):
        problems = [chain.generate(OPTIONS, rng) for _ in range(16)]
        texts = [
            f"{solutions.prompt(tokenizer, p)}{chain.render(p, chain.reference(p))} {models.END}" for p in problems
        ]
        batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right", add_special_tokens=False)
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss.backward()
        for optimizer in (muon, adamw):
            optimizer.step()
            optimizer.zero_grad()
    made = tmp_path_factory.mktemp("model")
    models.save(model, tokenizer, made)
    return made


@pytest.fixture(scope="session")
def asked() -> list:
    """Return 64 chain problems."""
    rng = random.Random(7)
    return [chain.generate(OPTIONS, rng) for _ in range(64)]


@pytest.fixture(scope="session")
def prompts(folder, asked) -> list[str]:
    """Return the prompts that ask for their solutions."""
    tokenizer = models.load_tokenizer(folder)
    return [solutions.prompt(tokenizer, p) for p in asked]


@pytest.fixture(scope="session")
def plain(folder) -> TransformersEngine:
    """Return the transformers engine."""
    return TransformersEngine(folder, batch_size=64)


@pytest.fixture(scope="session")
def vllm(folder, tmp_path_factory):
    """Return one vLLM engine for all tests: its start takes most of the time."""
    require_vllm()
    work = tmp_path_factory.mktemp("vllm")
    engine = VllmEngine(folder, Vllm(), MACHINE, batch_size=64, work=work, log=work / "vllm.log")
    yield engine
    engine.close()


@pytest.fixture(params=["transformers", "vllm"])
def engine(request):
    """Return each engine in turn."""
    return request.getfixturevalue({"transformers": "plain", "vllm": "vllm"}[request.param])
