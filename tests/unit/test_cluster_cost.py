"""What the papers' own scale takes: worked out by hand for single stages, and against plans of more seeds."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from elenchus import architectures, cluster_cost, config, plan, reproduction, reproduction_page, resources, stage_times
from elenchus.cli import main
from elenchus.cluster_cost import Assumptions
from elenchus.errors import UserError
from elenchus.graph import make
from elenchus.stages import LAPTOP
from elenchus.training.scale import Choice

ROOT = Path(__file__).parents[2]
A = Assumptions()
N = 7_615_616_512  # Qwen2.5-7B
BFLOAT16 = {"precision": "bfloat16", "activation_checkpointing": True}
VLLM = {"engine": {"kind": "vllm", "dtype": "bfloat16"}}


@pytest.mark.parametrize("name", architectures.SHAPES)
def test_shapes_count_as_many_parameters_as_transformers_builds(name):
    from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

    s = architectures.SHAPES[name]
    kind = Qwen2Config if s.biases else LlamaConfig
    shape = {"hidden_size": s.width, "num_hidden_layers": s.layers, "intermediate_size": s.feed_forward}
    heads = {"num_attention_heads": s.heads, "num_key_value_heads": s.kv_heads}
    made = kind(**shape, **heads, vocab_size=s.vocabulary, tie_word_embeddings=s.tied)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(made)
    assert sum(p.numel() for p in model.parameters()) == s.parameters


def stages(**sft):
    model = make("pretrained", {"name": "Qwen/Qwen2.5-7B-Instruct"}, seed=0)
    problems = make("problems", {"family": "chain", "split": "train", "n": 100}, seed=0)
    pool = make("sample", {"n": 4, "max_tokens": 1024, **VLLM}, seed=0, actor=model, problems=problems)
    examples = make("select", {}, seed=0, solutions=pool, problems=problems)
    trained = make("sft", {"steps": 10, "batch": 32, **sft}, seed=0, model=model, examples=[examples])
    return [model, problems, pool, examples, trained]


def by_kind(found):
    return {n.stage.kind: n for n in found}


def test_a_stage_that_samples_by_hand():
    n = by_kind(cluster_cost.needs(stages(), A))["sample"]
    assert (n.sampled, n.prompt, n.gpus, n.work) == (400 * 300, 100 * 120, 1, "writes")
    # a step for 256 sequences of 450 tokens: 15.23 GB of weights and 6.61 GB of keys and values at 3.35 TB/s are 6.52 ms,
    # more than 2 N x 256 at 989.4 TFLOP/s, 3.94 ms; half of that speed
    rate = 0.5 * 256 / ((2 * N + 256 * 450 * 2 * 28672) / 3.35e12)
    assert rate == pytest.approx(19_635, rel=1e-3)
    assert n.busy == pytest.approx(120_000 / rate + 12_000 * 2 * N / (989.4e12 * 0.4))
    assert n.start == pytest.approx(120 + 4 * N / 1e9)
    assert n.gpu_hours == pytest.approx((n.start + n.busy) / 3600)
    assert n.models == 0 and n.tables == 400 * 100 + 120_000 * 4


def test_a_training_by_hand():
    plain = by_kind(cluster_cost.needs(stages(), A))["sft"]
    assert plain.trained == 450 * 32 * 10
    assert plain.gpus == 2  # 16 N are 122 GB, a card has 64 to spare
    assert plain.busy == pytest.approx(6 * N * 144_000 / (66.9e12 * 0.35) / (2 * 0.85))
    fast = by_kind(cluster_cost.needs(stages(**BFLOAT16), A))["sft"]
    assert fast.busy == pytest.approx(8 * N * 144_000 / (989.4e12 * 0.35) / (2 * 0.85))
    assert fast.models == 12 * N
    assert by_kind(cluster_cost.needs(stages(save_optimizer=False), A))["sft"].models == 4 * N
    larger, _ = cluster_cost.assume(["card=NVIDIA H200", "spare=0.1"])
    one = by_kind(cluster_cost.needs(stages(**BFLOAT16), larger))["sft"]
    assert one.gpus == 1 and one.busy == pytest.approx(8 * N * 144_000 / (989.4e12 * 0.35))


def test_reinforcement_holds_a_reference_and_an_actor_and_writes_by_itself():
    model, problems, pool, *_ = stages()
    given = {"critic": model, "actor": model, "solutions": pool, "problems": problems}
    settings = {"steps": 6, "batch": 8, "num_generations": 4, "max_tokens": 1000, "actor_max_tokens": 1000, **BFLOAT16}
    terms = {"terms": {"refinement": 1.0}, "beta": 0.01}
    n = by_kind(cluster_cost.needs([model, problems, pool, make("grpo", {**settings, **terms}, seed=0, **given)], A))[
        "grpo"
    ]
    assert n.gpus == 4  # (16 + 4 + 4) N are 183 GB
    assert n.sampled == (400 + 300) * 48 and n.trained == (450 + 400) * 48
    own = 0.1 * 8 / (4 * (N + 8 * 450 * 28672) / 3.35e12)
    flops = (8 + 2) * N * n.trained / 0.35 + 2 * N * n.prompt / 0.4
    assert n.busy == pytest.approx((flops / 989.4e12 + n.sampled / own) / (4 * 0.85))


def test_the_small_model_takes_no_gpu_and_writes_the_laptop_s_texts():
    seed_model = make("seed_model", {}, seed=0)
    problems = make("problems", {"family": "chain", "split": "train", "n": 100}, seed=0)
    pool = make("sample", {"n": 4, "max_tokens": 64}, seed=0, actor=seed_model, problems=problems)
    n = by_kind(cluster_cost.needs([seed_model, problems, pool], A))["sample"]
    assert n.gpus == 0 and n.gpu_hours == 0 and n.sampled == 400 * LAPTOP.solution


def test_jobs_share_a_stage_in_whole_parts_and_one_more_joins_them():
    model, *_ = stages()
    problems = make("problems", {"family": "chain", "split": "train", "n": 3000}, seed=0)
    pool = make("sample", {"n": 4, "max_tokens": 1024, **VLLM}, seed=0, actor=model, problems=problems)
    alone = by_kind(cluster_cost.needs([model, problems, pool], A))["sample"]
    shared = by_kind(found := cluster_cost.needs([model, problems, pool], A, shards=8))["sample"]
    assert shared.parts == alone.parts > 1 == alone.jobs and shared.jobs == min(8, shared.parts)
    assert shared.busy == alone.busy and shared.seconds == pytest.approx(shared.start + shared.busy / shared.jobs)
    assert shared.gpu_hours == pytest.approx((shared.jobs * shared.start + shared.busy) / 3600)
    jobs = cluster_cost.tasks(found, A)
    assert len(jobs) == 2 + shared.jobs + 1 and jobs[-1].gpus == 0 and len(jobs[-1].parents) == shared.jobs
    assert jobs[-1].seconds == pytest.approx(20 + 12_000 / 1000, abs=1e-3)
    assert {t.parents for t in jobs[2:-1]} == {(0, 1)} and shared.times(2).parts == 2 * shared.parts


def test_more_work_leaves_starts_and_weights_alone():
    n = by_kind(cluster_cost.needs(stages(), A))["sft"]
    ten = n.times(10)
    assert ten.jobs == n.jobs == 1  # a training has no parts to share
    assert ten.start == n.start and ten.models == n.models and ten.busy == 10 * n.busy and ten.trained == 10 * n.trained


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("training", "write name=value"),
        ("trainig=0.4", "did you mean 'training'"),
        ("training=4", "less than or equal to 1"),
        ("solution=many", "number of tokens"),
        ("card=H100", "unknown card 'H100'"),
    ],
)
def test_wrong_assumptions_are_said(text, said):
    with pytest.raises(UserError, match=said):
        cluster_cost.assume([text])


def test_an_unknown_model_names_the_line_to_add():
    model = make("pretrained", {"name": "some/model"}, seed=0)
    with pytest.raises(UserError, match=r"SHAPES in src/elenchus/architectures.py"):
        cluster_cost.needs([model], A)


def test_every_length_is_explained():
    assert set(cluster_cost.MEANT) == {f for f in LAPTOP.__dataclass_fields__}


@pytest.mark.parametrize("recipe", ["spc", "agent_r"])
def test_twice_the_seeds_is_what_a_plan_of_twice_the_seeds_takes(recipe):
    slurm = reproduction.slurm_profile(ROOT)
    whole = plan.load(ROOT, {"scale": "cluster", "evidence": {"seeds": [0, 1, 2]}})
    twice = plan.load(ROOT, {"scale": "cluster", "evidence": {"seeds": [0, 1, 2, 3, 4, 5]}})
    grown = reproduction.grown(reproduction.recipe_needs(whole, recipe, A), A, slurm, seeds=2)
    planned = reproduction.total(reproduction.recipe_needs(twice, recipe, A), A, slurm)
    assert (grown.stages, grown.planned, grown.jobs) == (planned.stages, planned.planned, planned.jobs)
    assert planned.jobs == len(
        reproduction.cluster_scenarios(reproduction.recipe_needs(twice, recipe, A), A, slurm)[-1].tasks
    )
    for name in ("gpu_hours", "training", "sampled", "prompt", "trained", "models", "tables", "files"):
        assert getattr(grown, name) == pytest.approx(getattr(planned, name), rel=1e-3), name
    assert grown.path == pytest.approx(planned.path, rel=0.03)  # only the summary, one over all seeds, takes longer


def test_every_stage_of_the_cluster_scale_has_the_gpus_that_its_memory_needs():
    whole = reproduction.at_cluster(ROOT)
    for name in whole.recipes:
        for n in reproduction.recipe_needs(whole, name, A):
            given = resources.asked(n.stage, "gpu", 1, {}, whole.config.training) or 0
            assert n.gpus <= given and (n.model or not given), (name, n.stage.kind, n.model)


def test_processes_of_the_section_are_counted():
    section = Choice(processes=4, strategy="fsdp")
    two, four = (by_kind(cluster_cost.needs(stages(), A, training=t))["sft"] for t in (Choice(), section))
    assert (two.gpus, four.gpus) == (2, 4) and four.busy == pytest.approx(two.busy / 2)


def test_the_slurm_profile_is_read():
    found = reproduction.slurm_profile(ROOT)
    assert found.at_once == 100 and found.groups == {"evaluate": 8, "problems": 8} and found.side_by_side == 2


def test_the_command_answers_for_one_recipe_with_other_assumptions(monkeypatch):
    monkeypatch.chdir(ROOT)
    run = CliRunner().invoke
    usual, fast = (
        json.loads(run(main, ["cost", "spc", "--json", *more]).output)
        for more in ([], ["--assume", "training=0.7", "--gpus", "8"])
    )
    before, after = usual["totals"]["spc"], fast["totals"]["spc"]
    assert fast["assumptions"]["training"] == 0.7 and before["trained"] == after["trained"]
    assert 0 < after["training"] < before["training"] and after["path"] < before["path"]
    assert usual["seconds"] == {} and fast["seconds"]["Slurm jobs, no limit"] >= after["path"]
    said = run(main, ["cost", "spc", "--gpus", "1"])
    assert said.exit_code == 1 and "a stage needs 4 at once" in said.output
    assert "spc" in run(main, ["cost", "spc"]).output


def test_stage_times_are_collected_and_read_again(tmp_path):
    whole = plan.load(ROOT)
    first, second, third = stage_times.stages_of_evidence(whole)[:3]
    for stage, seconds in ((first, 3.5), (second, 1.5)):
        folder = tmp_path / "results" / stage.kind / "0123456789abcdef"
        folder = folder.with_name(stage.digest)
        folder.mkdir(parents=True)
        (folder / "stage.json").write_text(json.dumps({"identity": stage.identity}))
        cost = {"seconds": 9.0, "cpu_seconds": seconds, "machine": "a machine", "ended": "2026-01-02T03:04:05Z"}
        (folder / "cost.json").write_text(json.dumps(cost))
    text = stage_times.collect(whole, tmp_path / "results", {"tables": 0.5, "writes": 3.0, "trains": 6.0, "job": 1.0})
    (tmp_path / "times.csv").write_text(text)
    times = stage_times.read(tmp_path / "times.csv")
    assert times.seconds(first) == 3.5 and times.seconds(second) == 1.5
    assert times.starts["trains"] == 6.0 and "2 stages" in times.about and "2026-01-02, a machine" in times.about
    medians = {k: v for k, v in times.of_kind.items()}
    assert times.seconds(third) == medians.get(third.kind, 1.0)
    with pytest.raises(UserError, match="no result is of the evidence's stages"):
        stage_times.collect(whole, tmp_path / "nowhere", {})
    (tmp_path / "times.csv").write_text("# a\n# b\nidentity\n")
    with pytest.raises(UserError, match=r"benchmarks/stage_times.py makes it"):
        stage_times.read(tmp_path / "times.csv")


def test_a_project_without_measured_times_has_no_page(done):
    assert reproduction_page.contents(done.root) == {}
    assert config.project_root(done.root) == done.root
