"""The section `training`: what it gives to stages and to jobs, adapters, packing, and what it refuses."""

from __future__ import annotations

import signal
import socket
import subprocess

import pytest
import torch
import trainings
from pydantic import ValidationError

from elenchus import config, models, resources
from elenchus.errors import UserError
from elenchus.graph import make
from elenchus.training import launch, lora, parallel, text
from elenchus.training.scale import Choice, Machine, spreads
from elenchus.training.settings import Lora, OverData


@pytest.fixture
def folder(made):
    return made


# -- what is in digests ------------------------------------------------------------------------------------------------


def test_knobs_that_change_nothing_are_not_dumped():
    assert not {"lora", "packing"} & OverData().model_dump().keys()
    seed = make("seed_model", {}, seed=0)
    problems = make("problems", {}, seed=0)
    solutions = make("inject", {}, seed=0, problems=problems)
    examples = make("examples", {}, seed=0, problems=problems, solutions=solutions)
    plain = make("sft", {}, seed=0, model=seed, examples=[examples])
    assert (
        plain.identity
        == make("sft", {"lora": None, "packing": False}, seed=0, model=seed, examples=[examples]).identity
    )
    other = make("sft", {"lora": {"rank": 2}}, seed=0, model=seed, examples=[examples])
    assert other.identity != plain.identity and other.params["lora"] == {
        "rank": 2,
        "alpha": 32.0,
        "targets": "all-linear",
    }


def test_section_gives_each_kind_what_it_has():
    said = Choice(processes=2, strategy="ddp", packing=True, precision="bfloat16", lora=Lora(rank=2))
    assert said.of_model("") == said.of_model("a/b") == Machine(processes=2, strategy="ddp")
    assert said.of_stage("sft").keys() == {"packing", "precision", "lora"}
    assert said.of_stage("dpo").keys() == {"precision", "lora"}
    assert Choice().of_stage("sft") == {} and Choice(processes=2, strategy="ddp").of_stage("sft") == {}
    assert config.Base().machine()["training"] == {"processes": 1, "nodes": 1, "strategy": "none"}
    assert spreads("sft") and spreads("grpo") and not spreads("seed_model") and not spreads("sample")


def test_a_model_has_its_own_processes():
    said = {"small": {"processes": 1}, "a/large": {"processes": 8, "strategy": "fsdp"}}
    section = Choice(processes=4, strategy="fsdp", models=said)
    assert [section.of_model(name).world for name in ("", "a/large", "a/other")] == [1, 8, 4]
    assert section.of_stage("sft") == {}, "none of it is in a digest"
    base = config.Base(training=section.model_dump())
    assert base.machine()["training"] == {"processes": 1, "nodes": 1, "strategy": "none"}
    assert base.machine("a/large")["training"] == {"processes": 8, "nodes": 1, "strategy": "fsdp"}
    with pytest.raises(ValidationError, match="8 processes need a strategy"):
        Choice(models={"small": {"processes": 8}})


def test_recipe_goes_before_section():
    from elenchus.lab import Lab
    from elenchus.recipes import Recipe

    recipe = Recipe.__new__(Recipe)
    object.__setattr__(recipe, "id", "test")
    base = config.Base.model_validate({"training": {"lora": {"rank": 2}, "processes": 3, "strategy": "ddp"}})
    lab = Lab(base, recipe, 0)
    model, problems = make("seed_model", {}, seed=0), make("problems", {}, seed=0)
    examples = make("examples", {}, seed=0, problems=problems, solutions=make("inject", {}, seed=0, problems=problems))
    made = lab.sft(model, [examples], batch=30)
    assert made.params["lora"]["rank"] == 2
    assert "lora" not in lab.sft(model, [examples], batch=30, lora=None).params
    with pytest.raises(UserError, match=r"batch 32 is not a multiple of 3 processes[\s\S]*training: \{processes: 2\}"):
        lab.sft(model, [examples], batch=32)
    with pytest.raises(UserError, match="micro_batch 15 x 3 processes"):
        lab.sft(model, [examples], batch=30, micro_batch=15)
    with pytest.raises(UserError, match="`lora` cannot go with rounds that hand their optimizer on"):
        lab.sft(model, [examples], batch=30, previous=made)


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"processes": 2}, "2 processes need a strategy: ddp"),
        ({"strategy": "fsdp"}, "takes more than one process"),
        ({"strategy": "deepspeed"}, "strategy"),
        ({"processes": 0}, "processes"),
        ({"proceses": 2}, "proceses"),
        ({"lora": {"rank": 0}}, "rank"),
        ({"lora": {"targets": []}}, "targets"),
    ],
)
def test_sections_that_do_not_fit(given, message):
    with pytest.raises(ValidationError, match=message):
        Choice(**given)


def test_targets_that_are_not_there(folder):
    model, _ = models.load(folder)
    with pytest.raises(
        UserError, match=r"'query' matches no linear module of this model; it has down_proj, [\s\S]*lora:"
    ):
        lora.attach(model, Lora(targets=("q_proj", "query")), seed=1)


def test_lora_and_an_inherited_optimizer(folder, tmp_path):
    from elenchus.job import Cost
    from elenchus.training import sft

    model, tokenizer = models.load(folder)
    around = {"work": tmp_path, "seed": 1, "cost": Cost(), "progress": lambda *_: None}
    settings = OverData(steps=1, lora=Lora(rank=2))
    with pytest.raises(UserError, match="cannot go with `lora`"):
        sft.train(model, tokenizer, trainings.examples(), settings, inherit=tmp_path / "any", **around)


def test_nodes_need_slurm(monkeypatch, tmp_path):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(UserError, match=r"2 nodes are had through Slurm only[\s\S]*--profile slurm"):
        launch.command(Machine(processes=4, nodes=2, strategy="fsdp"), tmp_path)


def test_models_that_mix_packed_examples_are_refused(folder):
    from transformers import MambaConfig, MambaForCausalLM

    text.check_packing(models.load(folder)[0])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state_space = MambaForCausalLM(MambaConfig(vocab_size=40, hidden_size=32, num_hidden_layers=1)).eval()
    with pytest.raises(UserError, match=r"packing: this model \(MambaForCausalLM[\s\S]*packing: false"):
        text.check_packing(state_space)


def test_losses_that_several_processes_would_change(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(parallel, "world", lambda: 2)
    with pytest.raises(UserError, match="loss_type: bnpo is a mean over the tokens of one pass"):
        trainings.train("grpo", folder, tmp_path, loss_type="bnpo")


# -- adapters and packing ----------------------------------------------------------------------------------------------


def test_merged_adapters_are_the_applied_ones(folder, tmp_path):
    model, tokenizer = models.load(folder)
    plain = model.state_dict().keys()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    merge = lora.attach(model, Lora(rank=4, alpha=8.0, targets=("q_proj", "down_proj")), seed=1)
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    assert len(trained) == 2 * 2 * 2 and all("lora_" in n for n in trained)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(p, std=0.1)
        ids = torch.arange(12)[None]
        applied = model(input_ids=ids, use_cache=False).logits
        merge()
        merged = model(input_ids=ids, use_cache=False).logits
    assert (applied - merged).abs().max() < 1e-5 * applied.abs().max()
    assert model.state_dict().keys() == plain and all(p.requires_grad for p in model.parameters())
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and all("q_proj" in k or "down_proj" in k for k in changed)
    models.save(model, tokenizer, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in folder.iterdir()} - {"work"}
    loaded, _ = models.load(tmp_path)
    assert torch.equal(loaded(input_ids=ids, use_cache=False).logits, merged)


def test_lora_goes_on_from_its_checkpoint_to_the_same_bytes(folder, tmp_path):
    changes = {"lora": trainings.LORA}
    whole, run, _ = trainings.train("sft", folder, tmp_path / "whole", **changes)
    with pytest.raises(SystemExit):
        trainings.train("sft", folder, tmp_path / "cut", stop=3, **changes)
    (checkpoint,) = (tmp_path / "cut" / "work").glob("checkpoint-*")
    small = sum(p.stat().st_size for p in checkpoint.iterdir())
    assert small < 4 * sum(p.numel() for p in whole.parameters()), (
        "adapters only: smaller than the model's weights alone"
    )
    again, resumed, _ = trainings.train("sft", folder, tmp_path / "cut", **changes)
    assert resumed.history == run.history
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("kind", ["sft"])
def test_packed_is_padded(folder, tmp_path, kind):
    losses = []
    for packing in (False, True):
        _, run, _ = trainings.train(kind, folder, tmp_path / str(packing), packing=packing)
        losses.append([v for _, m, v in run.history if m == "loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5) and losses[0] != losses[1], "the same but for rounding"


# -- starting ----------------------------------------------------------------------------------------------------------


def test_one_agent_on_each_node(monkeypatch, tmp_path):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr(launch.shutil, "which", lambda name: f"/usr/bin/{name}")
    line = launch.command(Machine(processes=4, nodes=2, strategy="fsdp"), tmp_path)
    assert line[:4] == ["srun", "--nodes=2", "--ntasks=2", "--ntasks-per-node=1"] and "--kill-on-bad-exit=1" in line
    host, port = line[-1].split(":")
    assert line[-4:-1] == ["-m", "elenchus.training.agent", str(tmp_path)]
    assert host == socket.gethostname() and 0 < int(port) < 65536


def test_a_job_asks_for_its_processes():
    seed = make("seed_model", {}, seed=0)
    pretrained = make("pretrained", {"name": "a/b"}, seed=0)
    problems = make("problems", {}, seed=0)
    examples = make("examples", {}, seed=0, problems=problems, solutions=make("inject", {}, seed=0, problems=problems))
    small, large = (make("sft", {}, seed=0, model=m, examples=[examples]) for m in (seed, pretrained))
    site = {"gpu_partition": "gpu", "gpu_type": "a100"}
    one, two = Choice(processes=8, strategy="fsdp"), Choice(processes=8, nodes=2, strategy="fsdp")

    def asked(stage, machine):
        names = ("gpu", "gpu_model", "gres", "nodes", "tasks", "mpi", "tasks_per_gpu")
        return {n: v for n in names if (v := resources.asked(stage, n, 1, site, machine)) is not None}

    assert asked(large, one) == {"gpu": 8, "gpu_model": "a100"}
    assert asked(large, two) == {"gres": "gpu:a100:8", "nodes": 2, "tasks": 2, "mpi": "srun", "tasks_per_gpu": 0}
    assert asked(small, two) == {"nodes": 2, "tasks": 2, "mpi": "srun"} and asked(problems, two) == {}
    assert resources.threads(small, one) == 8 and resources.threads(problems, one) == resources.threads(
        problems, Choice()
    )
    other = Choice(
        processes=8, strategy="fsdp", models={"small": {"processes": 1}, "a/b": {"processes": 2, "strategy": "ddp"}}
    )
    assert asked(large, other) == {"gpu": 2, "gpu_model": "a100"} and asked(small, other) == {}
    assert resources.threads(small, other) == 1 and resources.threads(large, other) == 2
    assert resources.asked(small, "mem_mb", 1, site, one) == 8 * resources.asked(small, "mem_mb", 1, site)


def test_what_failed_is_said(tmp_path):
    machine = Machine(processes=2, strategy="ddp")
    own = {"rank": 1, "time": 2.0, "error": "0 training examples", "plain": True}
    broken = {"rank": 0, "time": 1.0, "error": "RuntimeError: Connection closed by peer", "plain": False}
    assert launch.failure(machine, [broken, own], tmp_path) == "0 training examples"
    assert "rank 0 of 2 failed: RuntimeError" in launch.failure(machine, [broken], tmp_path)
    (tmp_path / "agent-0.json").write_text('{"rank": 1, "code": -9, "signal": "SIGKILL", "time": 0.5}')
    assert "rank 1 of 2 was ended by SIGKILL; most often too little memory" in launch.failure(
        machine, [broken], tmp_path
    )


def test_a_node_that_sends_no_word_of_its_end_is_given_up(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(launch, "LOST", 0.5)
    line = f"echo {{}} > {tmp_path}/agent-0.json; sleep 600"  # srun, when a node's slurmstepd is gone
    process = subprocess.Popen(["sh", "-c", line], start_new_session=True)
    assert launch.end_of(process, tmp_path) == -signal.SIGKILL
    assert "a node has not said" in capfd.readouterr().err


def test_processes_that_end_are_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "LOST", 0.0)
    process = subprocess.Popen(["sh", "-c", "sleep 1.5; exit 3"], start_new_session=True)
    assert launch.end_of(process, tmp_path) == 3
