"""Which engine a stage gets, and where that stands in its digest: exactly where it can change a token."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from elenchus import config, graph, run_stage
from elenchus.engines.settings import Choice, Machine, Numerics
from elenchus.errors import UserError
from elenchus.graph import make
from elenchus.job import Job
from elenchus.lab import Lab
from elenchus.recipes import Recipe
from elenchus.stages import critique, sample

VLLM = {"kind": "vllm", "dtype": "bfloat16"}
FAMILY = {"options": {"modulus": 5, "min_length": 1, "max_length": 2}}


def stages(engine: dict) -> dict[str, graph.Stage]:
    """Return stages of many kinds under a section `engine`."""
    base = config.Base.model_validate({"engine": engine})
    lab = Lab(base, Recipe("r", "R", "", (), lambda lab, p: None, config.RecipeParams), 0)
    train, actor = lab.problems("train"), lab.seed_model()
    drafts = lab.sample(actor, train, n=2)
    said = lab.critique(actor, drafts, train, label="c", name="by-model")
    return {
        "problems": train,
        "seed_model": actor,
        "sample": drafts,
        "critique": said,
        "oracle": lab.oracle_critique("o", drafts, train),
        "refine": lab.refine(actor, said, drafts, train),
        "search": lab.search(actor, train),
        "score by critic": lab.score(drafts, train, critic=actor),
        "score by checker": lab.score(drafts, train),
        "label by rollouts": lab.label("rollouts", train, solutions=drafts, actor=actor),
        "label by checker": lab.label("checker", train, solutions=drafts),
        "pairs": lab.pairs([said], None, drafts, train, []),
        "filtered pairs": lab.pairs([said], None, drafts, train, [actor]),
        "act": lab.act(actor, train),
        "guided_search": lab.guided_search(actor, actor, train),
        "games": lab.games(None, actor, drafts, train),
    }


SAMPLING = {
    "sample",
    "critique",
    "refine",
    "search",
    "score by critic",
    "label by rollouts",
    "filtered pairs",
    "act",
} | {
    "guided_search",
    "games",
}


def test_only_what_samples_bears_the_engine():
    made = stages(VLLM)
    bearing = {name for name, s in made.items() if "engine" in s.params}
    assert bearing == SAMPLING
    assert all(made[name].params["engine"] == {**VLLM, "tensor_parallel": 1, "context": 0} for name in bearing)


def test_transformers_leaves_no_trace_in_the_parameters():
    """Random streams derive from `identity`: they are those of a stage that never heard of engines."""
    for s in stages({}).values():
        assert "engine" not in s.params and graph.engine_of(s.params) == ""
    bare = make("sample", {}, seed=0, **{k: s for k, s in stages({})["sample"].inputs.items()})
    inputs = {k: s.identity for k, s in bare.inputs.items()}
    fields = {name: f.default for name, f in sample.Params.model_fields.items() if name != "engine"}
    assert bare.identity == graph.digest_of({"kind": "sample", "params": fields, "inputs": inputs, "seed": 0})


def test_what_can_change_a_token_changes_digests_and_the_machine_does_not():
    plain, vllm = stages({}), stages(VLLM)
    assert all(plain[k].digest != vllm[k].digest for k in SAMPLING)
    assert plain["seed_model"].digest == vllm["seed_model"].digest
    assert stages({**VLLM, "tensor_parallel": 2})["sample"].digest != vllm["sample"].digest
    elsewhere = {"python": "/other/python", "memory_share": 0.5, "cache_gb": 7}
    assert stages({**VLLM, **elsewhere})["sample"].digest == vllm["sample"].digest
    assert not set(Machine.model_fields) & set(Numerics.model_fields)


def test_only_a_stage_with_vllm_has_vllm_s_code():
    plain, vllm = (set(stages(e)["sample"].definitions()) for e in ({}, VLLM))
    own = {
        "elenchus.engines.vllm_engine:VllmEngine",
        "elenchus.engines.vllm_worker:sample",
        "elenchus.engines.worker:Worker",
    }
    assert own <= vllm and not own & plain
    assert "elenchus.engines.transformers_engine:TransformersEngine" in plain


def test_jobs_are_told_of_the_machine_and_manifests_are_not(tmp_path, monkeypatch):
    seen = {}
    stage = make("problems", {**FAMILY, "split": "train", "n": 5}, seed=0)
    from elenchus.stages import problems

    real = problems.run
    monkeypatch.setattr(problems, "run", lambda job: (seen.update(job.machine, log=job.log("vllm")), real(job)))
    machine = config.Base.model_validate({"engine": {"python": "p"}}).machine()
    folder = run_stage.run({**stage.spec(), "machine": machine}, tmp_path / "results")
    assert seen["engine"]["python"] == "p" and seen["server"]["url"].startswith("http://127.0.0.1")
    assert seen["log"] == tmp_path / "results" / "log" / "problems" / f"{stage.digest}.vllm.log"
    assert "machine" not in json.loads((folder / "stage.json").read_text())


def test_a_served_critique_needs_a_server_s_model():
    made = stages({})
    given = {"solutions": made["sample"], "problems": made["problems"]}
    served = make("critique", {"source": "server", "engine": {"kind": "openai", "model": "m"}}, seed=0, **given)
    assert graph.engine_of(served.params) == "openai"
    assert "elenchus.engines.openai_engine:OpenAIEngine" in served.definitions()
    job = Job("critique", critique.Params(source="server"), 0, {"solutions": None, "problems": None}, Path(), Path())
    with pytest.raises(UserError, match="source 'server' needs engine of kind 'openai'"):
        critique.run(job)
    with pytest.raises(UserError, match="engine"):  # a sample's log-probabilities are needed: no server there
        make(
            "sample",
            {"engine": {"kind": "openai", "model": "m"}},
            seed=0,
            actor=made["seed_model"],
            problems=made["problems"],
        )


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"kind": "vlm"}, "'transformers' or 'vllm'"),
        ({"dtype": "int8"}, "dtype"),
        ({"memory_share": 1.5}, "memory_share"),
    ],
)
def test_wrong_sections_are_refused(section, words):
    with pytest.raises(ValueError, match=words):
        config.Base.model_validate({"engine": section})
    assert Choice().of_stage() is None
