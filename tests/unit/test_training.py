"""The trainers on a model of some ten thousand parameters: what they fit, what they leave alone, how they fail."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from elenchus import conversation, environment, models
from elenchus.critics import format as critique_format
from elenchus.critics.drafts import Draft
from elenchus.errors import CorruptResult, UserError
from elenchus.job import Cost
from elenchus.problems import chain
from elenchus.stages.dpo import Params as DpoParams
from elenchus.stages.grpo import Params as GrpoParams
from elenchus.training.settings import OverData, Training, cycle, order, rate

environment.torch_setup(1)

import torch  # noqa: E402

from elenchus.training import checkpoints, dpo, grpo, loop, process_head, rows, sft, text  # noqa: E402

OPTIONS = chain.Options(modulus=5, min_length=2, max_length=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A random model's folder."""
    at = tmp_path_factory.mktemp("model")
    tokenizer = models.new_tokenizer(chain.vocabulary(OPTIONS))
    models.save(models.new_model(len(tokenizer), width=32, layers=1, heads=2, context=96, seed=3), tokenizer, at)
    return at


def example(question: str, completion: str) -> dict:
    return {"prompt": json.dumps(conversation.solve(question)), "reply": "assistant", "completion": completion}


def surroundings(tmp_path: Path, seed: int = 1) -> dict:
    return {"work": tmp_path / "work", "seed": seed, "cost": Cost(), "progress": lambda *_: None}


def values(run: loop.Run, metric: str) -> list[float]:
    return [v for _, m, v in run.history if m == metric]


def weights(model) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


# -- schedule and order --------------------------------------------------------------------------------------------


def test_schedules_by_hand():
    cosine = Training(steps=10, schedule="cosine", floor=0.1)
    assert [rate(cosine, s) for s in (0, 5, 10)] == pytest.approx([1.0, 0.55, 0.1])
    linear = Training(steps=10, schedule="linear", warmup_steps=2)
    assert [rate(linear, s) for s in (0, 1, 2, 6)] == pytest.approx([0.5, 1.0, 1.0, 0.5])
    assert {rate(Training(steps=10), s) for s in range(10)} == {1.0}


def test_rounds_share_one_schedule():
    shape = {"schedule": "cosine", "warmup_steps": 3, "floor": 0.05}
    whole = Training(steps=12, **shape)
    rounds = [Training(steps=4, total_steps=12, start_step=4 * r, **shape) for r in range(3)]
    assert [rate(r, s) for r in rounds for s in range(4)] == [rate(whole, s) for s in range(12)]


def test_order_passes_over_the_data():
    places = order(5, Training(steps=5, batch=4), seed=7)
    assert len(places) == 20
    for at in range(0, 20, 5):
        assert sorted(places[at : at + 5]) == [0, 1, 2, 3, 4]
    assert places == order(5, Training(steps=5, batch=4), seed=7) != order(5, Training(steps=5, batch=4), seed=8)
    longer = cycle(5, 7, "order")
    assert [next(longer) for _ in range(20)] == places.tolist()


def test_epochs_set_the_steps():
    assert OverData(epochs=2, batch=8).of(21).steps == 6
    assert OverData(steps=7, batch=8).of(21).steps == 7
    assert OverData(epochs=0.01, batch=8).of(21).steps == 1


@pytest.mark.parametrize(
    ("model", "params", "message"),
    [
        (Training, {"steps": 5, "start_step": 8, "total_steps": 12}, "run beyond total_steps 12"),
        (Training, {"batch": 32, "micro_batch": 5}, "not a multiple of micro_batch 5"),
        (OverData, {"epochs": 2, "start_step": 3}, "epochs cannot go with"),
        (GrpoParams, {"batch": 30, "num_generations": 4}, "batch 30 is not a multiple of num_generations 4"),
        (GrpoParams, {"terms": {"verdicts": 1.0}}, "terms"),
        (GrpoParams, {"terms": {}}, "terms"),
        (DpoParams, {"betta": 1}, "betta"),
    ],
)
def test_parameters_that_do_not_fit(model, params, message):
    with pytest.raises(ValidationError, match=message):
        model(**params)


# -- text ----------------------------------------------------------------------------------------------------------


def test_encode_ends_completions(folder):
    tokenizer = models.load_tokenizer(folder)
    row = example("1 #1 + 2", "#1 1 + 2 = 3 answer 3")
    prompt, completion = text.encode(tokenizer, row["prompt"], row["reply"], row["completion"])
    assert tokenizer.decode(prompt) == "<user> 1 #1 + 2 <assistant>"
    assert tokenizer.decode(completion) == "#1 1 + 2 = 3 answer 3 <end>"
    assert completion[-1] == tokenizer.eos_token_id


def test_first_token_comes_once(folder):
    from tokenizers.processors import TemplateProcessing

    tokenizer = models.load_tokenizer(folder)
    messages = conversation.solve("1 #1 + 2")
    assert text.plain_prompt(tokenizer, messages, "assistant") == conversation.render(tokenizer, messages, "assistant")
    tokenizer.bos_token = "<critic>"  # any word of the vocabulary
    tokenizer.chat_template = "<critic> " + tokenizer.chat_template
    bos = ("<critic>", tokenizer.bos_token_id)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<critic> $A", special_tokens=[bos])
    plain = text.plain_prompt(tokenizer, messages, "assistant")
    ids = tokenizer(plain).input_ids
    assert ids.count(tokenizer.bos_token_id) == 1 and ids[0] == tokenizer.bos_token_id
    assert ids == tokenizer(conversation.render(tokenizer, messages, "assistant"), add_special_tokens=False).input_ids


def test_long_examples_are_left_out_and_said(tmp_path, capsys):
    def kept(*lengths: int) -> list[str]:
        given = ((n, {"name": f"of {n}"}) for n in lengths)
        return rows.written(tmp_path, "some", {"name": "str"}, given, 5, "examples")["name"][:]

    assert kept(5, 9, 4) == ["of 5", "of 4"]
    assert "left out 1 of 3 examples of more than 5 tokens" in capsys.readouterr().err
    with pytest.raises(UserError, match="0 of 2 examples have at most 5 tokens; raise max_length"):
        kept(6, 7)
    with pytest.raises(UserError, match="0 examples: nothing to train on"):
        kept()


def test_rows_are_read_and_written_in_batches(tmp_path, monkeypatch):
    from datasets import config

    from elenchus import tables
    from elenchus.job import Result, file_entries

    asked = [{"example_id": f"e{i}", "problem_id": f"p{i % 3}", **example("1 #1 + 2", "")} for i in range(10)]
    asked = [{**row, "completion": row["example_id"]} for row in asked]
    folder = tmp_path / "given"
    folder.mkdir()
    tables.write("examples", asked, folder / "examples.parquet")
    (folder / "stage.json").write_text(json.dumps({"files": file_entries(folder)}))
    monkeypatch.setattr(rows, "BATCH", 4)
    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path / "cache")
    assert [len(frame) for frame in rows.frames([Result(folder), Result(folder)], "examples")] == [4, 4, 2] * 2
    read = []

    def given():
        for row in rows.records(Result(folder), "examples"):
            read.append(row)
            yield 1, {"completion": row["completion"], "tokens": int(row["completion"][1:])}

    data = rows.written(tmp_path / "work", "some", {"completion": "str", "tokens": "int"}, given(), 1, "examples")
    assert read == asked and data["completion"][:] == [row["completion"] for row in asked]
    assert len(data.data.column("tokens").chunks) == 3, "written four rows at a time"
    assert rows.column(data, "tokens").tolist() == list(range(10))
    assert [Path(f["filename"]) for f in data.cache_files] == [tmp_path / "work" / "rows" / "some" / "rows.arrow"]
    assert not (tmp_path / "cache").exists()
    twice = rows.beside(data, "reference", np.arange(20.0).reshape(10, 2)).select([7, 0])
    assert twice["reference"][:] == [[14.0, 15.0], [0.0, 1.0]] and twice["completion"][:] == ["e7", "e0"]
    doubled = rows.measured(data, 3, 1, lambda some: torch.tensor([2.0 * row["tokens"] for row in some]))
    assert doubled[:, 0].tolist() == [2.0 * i for i in range(10)]


# -- SFT -----------------------------------------------------------------------------------------------------------


def test_sft_learns_to_complete_and_to_end(folder, tmp_path):
    from elenchus.engines import Sampling
    from elenchus.engines.transformers_engine import TransformersEngine

    model, tokenizer = models.load(folder)
    rows = [example(f"{a} #1 + 1", f"#1 {a} + 1 = {(a + 1) % 5} answer {(a + 1) % 5}") for a in range(5)]
    around = surroundings(tmp_path)
    run = sft.train(model, tokenizer, rows, OverData(steps=150, batch=5, learning_rate=1.0e-2), **around)
    prompts = [conversation.render(tokenizer, json.loads(r["prompt"]), "assistant") for r in rows]
    samples = TransformersEngine((model.eval(), tokenizer)).sample(prompts, Sampling(temperature=0.0), seed=0)
    assert [(s.text, s.finish) for (s,) in samples] == [(r["completion"], "end") for r in rows]
    assert run.step == 150 and values(run, "loss")[0] > 10 * values(run, "loss")[-1]
    assert around["cost"].trained == 150 * 5 * (6 + 9), "every batch holds all five examples"
    assert model.config.use_cache, "Trainer turns it off, and it would be saved"


def test_sft_loss_is_over_completions_only(folder, tmp_path):
    model, tokenizer = models.load(folder)
    rows = [example("1 #1 + 2 #2 + 4", "#1 1 + 2 = 3"), example("2 #1 + 1", "#1 2 + 1 = 3 answer 3")]
    total, count = 0.0, 0
    with torch.no_grad():
        for row in rows:
            prompt, completion = text.encode(tokenizer, row["prompt"], row["reply"], row["completion"])
            logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
            total += torch.nn.functional.cross_entropy(logits, torch.tensor(completion), reduction="sum").item()
            count += len(completion)
    run = sft.train(model, tokenizer, rows, OverData(steps=1, batch=2), **surroundings(tmp_path))
    assert values(run, "loss") == pytest.approx([total / count], rel=1e-5)


def test_sft_in_micro_batches_is_the_same_step(folder, tmp_path):
    rows = [example(f"{a} #1 + 1", "#1 " * (a + 1)) for a in range(4)]  # of unlike lengths
    found = []
    for micro in (0, 1, 2):
        model, tokenizer = models.load(folder)
        settings = OverData(steps=2, batch=4, micro_batch=micro)
        run = sft.train(model, tokenizer, rows, settings, **surroundings(tmp_path / str(micro)))
        found.append((values(run, "loss"), values(run, "grad_norm")))
    for losses, norms in found[1:]:
        assert losses == pytest.approx(found[0][0], rel=1e-4)
        assert norms == pytest.approx(found[0][1], rel=1e-4)


def test_rounds_that_inherit_equal_one_training(folder, tmp_path):
    """B-STaR's online RFT: optimizer and schedule go on. All batches are alike, so only they can differ."""
    rows, shape = [example("1 #1 + 2", "#1 1 + 2 = 3 answer 3")], {"batch": 2, "schedule": "cosine", "warmup_steps": 2}
    state = tmp_path / "optimizer.safetensors"

    def trained(parts: list[OverData], inherit: bool, name: str) -> dict[str, torch.Tensor]:
        model, tokenizer = models.load(folder)
        for i, settings in enumerate(parts):
            given = {"inherit": state if inherit and i else None, "save_optimizer": state}
            sft.train(model, tokenizer, rows, settings, **surroundings(tmp_path / f"{name}{i}", seed=i), **given)
        return weights(model)

    whole = trained([OverData(steps=6, **shape)], False, "whole")
    rounds = [OverData(steps=3, total_steps=6, start_step=3 * r, **shape) for r in range(2)]
    assert same(trained(rounds, True, "online"), whole)
    assert not same(trained(rounds, False, "iterative"), whole)


def test_no_optimizer_to_inherit(folder, tmp_path):
    model, tokenizer = models.load(folder)
    path = tmp_path / "optimizer.safetensors"
    checkpoints.save_no_optimizer(path)
    rows = [example("1 #1 + 2", "#1 1 + 2 = 3 answer 3")]
    with pytest.raises(CorruptResult, match="save_optimizer: false"):
        sft.train(model, tokenizer, rows, OverData(steps=1), **surroundings(tmp_path), inherit=path)


def test_nothing_to_train_on(folder, tmp_path):
    model, tokenizer = models.load(folder)
    with pytest.raises(UserError, match="0 training examples"):
        sft.train(model, tokenizer, [], OverData(steps=1), **surroundings(tmp_path))
    with pytest.raises(UserError, match="0 preference pairs"):
        dpo.train(model, tokenizer, [], OverData(), beta=0.1, loss_type="sigmoid", **surroundings(tmp_path))


def test_divergence_is_said(folder, tmp_path):
    model, tokenizer = models.load(folder)
    rows = [example("1 #1 + 2", "#1 1 + 2 = 3 answer 3")]
    with pytest.raises(UserError, match="lower learning_rate"):
        sft.train(model, tokenizer, rows, OverData(steps=5, learning_rate=1.0e20), **surroundings(tmp_path))


# -- checkpoints ---------------------------------------------------------------------------------------------------


def checkpointed(model, tmp_path, identity: dict, step: int = 4) -> torch.optim.Optimizer:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0e-2)
    model(torch.tensor([[7, 8, 9]]), labels=torch.tensor([[7, 8, 9]])).loss.backward()
    optimizer.step()
    run = loop.Run(Cost(trained=11), step=step, history=[(1, "loss", 0.1)], extra={"best": 0.5})
    checkpoints.save(tmp_path, run, model, optimizer, identity)
    return optimizer


def test_checkpoint_round_trip(folder, tmp_path):
    trained, _ = models.load(folder)
    optimizer = checkpointed(trained, tmp_path, {"seed": 1})
    checkpointed(trained, tmp_path, {"seed": 1}, step=6)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-00000006"], "older ones go"
    fresh, _ = models.load(folder)
    into, run = torch.optim.AdamW(fresh.parameters()), loop.Run(Cost())
    checkpoints.restore(tmp_path, run, fresh, into, {"seed": 1})
    assert (run.step, run.cost.trained, run.history, run.extra) == (6, 11, [(1, "loss", 0.1)], {"best": 0.5})
    assert same(weights(fresh), weights(trained))
    moments = [into.state[p]["exp_avg"] for p in fresh.parameters()]
    assert moments and optimizer is not into and all(m.abs().sum() > 0 for m in moments)


def other_seed(at: Path) -> None:
    state = json.loads((at / "state.json").read_text())
    (at / "state.json").write_text(json.dumps({**state, "identity": {"seed": 2}}))


def flipped_byte(at: Path) -> None:
    data = bytearray((at / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (at / "model.safetensors").write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (other_seed, "of another training"),
        (flipped_byte, "SHA-256"),
        (lambda at: (at / "model.safetensors").write_bytes(b"short"), "5 bytes where"),
        (lambda at: (at / "optimizer.safetensors").unlink(), "missing"),
        (lambda at: (at / "state.json").write_text("{"), "unreadable"),
        (lambda at: (at / "state.json").write_text("[]"), "unreadable"),
    ],
)
def test_unusable_checkpoints_are_left(folder, tmp_path, capsys, damage, said):
    model, _ = models.load(folder)
    checkpointed(model, tmp_path, {"seed": 1})
    damage(tmp_path / "checkpoint-00000004")
    fresh, _ = models.load(folder)
    before, run = weights(fresh), loop.Run(Cost())
    optimizer = torch.optim.AdamW(fresh.parameters())
    checkpoints.restore(tmp_path, run, fresh, optimizer, {"seed": 1})
    assert run == loop.Run(Cost()) and same(weights(fresh), before) and not optimizer.state
    errors = capsys.readouterr().err
    assert "checkpoint not usable, removed" in errors and said in errors
    assert not list(tmp_path.iterdir())


def test_checkpoint_of_another_shape_is_left(folder, tmp_path, capsys):
    tokenizer = models.load_tokenizer(folder)
    wider = models.new_model(len(tokenizer), width=64, layers=1, heads=2, context=96, seed=3)
    checkpointed(wider, tmp_path, {"seed": 1})
    model, _ = models.load(folder)
    run = loop.Run(Cost())
    checkpoints.restore(tmp_path, run, model, torch.optim.AdamW(model.parameters()), {"seed": 1})
    assert run.step == 0 and "the model has" in capsys.readouterr().err
    path = tmp_path / "optimizer.safetensors"
    checkpoints.save_optimizer(path, wider, checkpointed(wider, tmp_path, {"seed": 1}))
    with pytest.raises(CorruptResult, match="not of this model"):
        checkpoints.load_optimizer(path, model, torch.optim.AdamW(model.parameters()))


# -- DPO -----------------------------------------------------------------------------------------------------------


def test_dpo_prefers_the_chosen_and_starts_at_the_reference(folder, tmp_path):
    model, tokenizer = models.load(folder)
    prompt = json.dumps(conversation.critique("1 #1 + 2", "#1 1 + 2 = 4 answer 4"))
    pair = {"prompt": prompt, "reply": "critic", "chosen": "#1 1 + 2 -> 3 4 bad result wrong", "rejected": "right"}
    around = surroundings(tmp_path)
    settings = OverData(steps=8, batch=2, learning_rate=1.0e-3)
    run = dpo.train(model, tokenizer, [pair], settings, beta=0.1, loss_type="sigmoid", **around)
    assert values(run, "loss")[0] == pytest.approx(math.log(2)), "policy and reference are equal at first"
    margins = values(run, "rewards/margins")
    assert margins[0] == pytest.approx(0, abs=1e-6) and margins[-1] > 0.3
    lengths = [sum(map(len, text.encode(tokenizer, prompt, "critic", pair[side]))) for side in ("chosen", "rejected")]
    assert around["cost"].trained == 8 * 2 * sum(lengths)


# -- GRPO ----------------------------------------------------------------------------------------------------------


def critic(folder, tmp_path, **changes) -> tuple:
    """Return what `grpo.train` takes, for a critic that has seen some critiques and is rewarded for readable ones."""
    model, tokenizer = models.load(folder)
    rng = random.Random(0)
    drafts = []
    for i in range(8):
        problem = chain.generate(OPTIONS, rng)
        steps = chain.reference(problem)
        drafts.append(Draft(f"d{i}", problem, chain.render(problem, steps), tuple(steps), True, -1))
    rows = []
    for d in drafts:
        prompt = json.dumps(conversation.critique(d.problem.prompt, d.text))
        rows.append({"prompt": prompt, "reply": "critic", "completion": critique_format.render(d.truth())})
    warm = OverData(steps=50, batch=8, learning_rate=1.0e-2)
    sft.train(model, tokenizer, rows, warm, **surroundings(tmp_path / "warm"))
    models.save(model, tokenizer, tmp_path / "model")
    model, tokenizer = models.load(tmp_path / "model")
    p = GrpoParams(**{"steps": 12, "batch": 16, "learning_rate": 3.0e-3, "terms": {"format": 1.0}} | changes)
    around = surroundings(tmp_path)
    rewarder = grpo.Rewarder(drafts, p.terms, "paper", around["cost"])
    groups = -(-p.steps // p.num_iterations)
    prompts = grpo.prompts_in_order([d.correct for d in drafts], p.batch // p.num_generations, groups, None, seed=1)
    given = {name: getattr(p, name) for name in ("num_generations", "num_iterations", "beta", "loss_type", "epsilon")}
    given |= {"scale_rewards": p.scale_rewards, "temperature": 1.0, "max_tokens": 24, "best_by": "first_error_f1"}
    return model, tokenizer, rewarder, prompts, p, given, around


def test_grpo_raises_its_reward(folder, tmp_path):
    changes = {"steps": 30, "batch": 64, "num_generations": 8, "learning_rate": 1.0e-3}
    model, tokenizer, rewarder, prompts, p, given, around = critic(folder, tmp_path, **changes)
    run = grpo.train(model, tokenizer, rewarder, prompts, p, **given, validation=None, validate_every=1, **around)
    earned = values(run, "terms/format")
    assert len(earned) == 30 and sum(earned[-8:]) / 8 > sum(earned[:8]) / 8 + 0.1
    cost = around["cost"]
    assert 0 < cost.sampled <= 30 * 64 * 24
    assert cost.trained == cost.sampled + 8 * cost.prompt, "each prompt is read once, and trained with each critique"
    assert cost.oracle_calls == 0, "the format needs no labels"
    assert "kl" not in {m for _, m, _ in run.history}


def test_grpo_keeps_the_weights_that_validate_best(folder, tmp_path):
    changes = {"steps": 6, "num_iterations": 2, "beta": 0.1, "terms": {"format": 1.0, "verdict": 0.1}}
    model, tokenizer, rewarder, prompts, p, given, around = critic(folder, tmp_path, **changes)
    scores, seen = iter([0.1, 0.5, 0.5, 0.2]), []

    def validation() -> dict[str, float]:
        assert not model.training
        seen.append(weights(model))
        return {"first_error_f1": next(scores)}

    run = grpo.train(model, tokenizer, rewarder, prompts, p, **given, validation=validation, validate_every=2, **around)
    assert len(seen) == 4, "before the first step, and after 2, 4 and 6"
    assert same(weights(model), seen[1]) and not same(seen[1], seen[0]) and not same(seen[3], seen[2])
    assert values(run, "best_step") == [2.0]
    assert values(run, "kl")[0] == pytest.approx(0, abs=1e-6), "the reference is the model at the start"
    assert max(values(run, "kl")) > 0
    assert around["cost"].oracle_calls == 8, "the label of each draft, once"


# -- process head --------------------------------------------------------------------------------------------------


def test_steps_end_where_the_family_ends_them(folder):
    tokenizer = models.load_tokenizer(folder)
    problem = chain.build(1, [("+", 2), ("*", 2)], 5)
    steps = chain.reference(problem)
    ids, ends = process_head.encode(tokenizer, problem.prompt, steps)
    assert tokenizer.decode(ids) == f"<user> {problem.prompt} <assistant> #1 1 + 2 = 3 #2 3 * 2 = 1"
    assert [tokenizer.decode(ids[e - 1 : e + 1]) for e in ends] == ["= 3", "= 1"]
    body = "".join(process_head.prefix(steps, k) for k in range(2))
    assert chain.render(problem, steps).startswith(f"{body} answer")
    assert process_head.encode(tokenizer, problem.prompt, [])[1] == []


@pytest.mark.parametrize("kind", ["bce", "mse"])
def test_loss_leaves_unlabelled_steps_out(kind):
    logits = torch.tensor([[0.3, -2.0], [1.0, 5.0]])
    labels = torch.tensor([[0.25, math.nan], [math.nan, 1.0]])
    p = [1 / (1 + math.exp(-0.3)), 1 / (1 + math.exp(-5.0))]
    if kind == "mse":
        expected = ((p[0] - 0.25) ** 2 + (p[1] - 1) ** 2) / 2
    else:
        expected = (-0.25 * math.log(p[0]) - 0.75 * math.log(1 - p[0]) - math.log(p[1])) / 2
    assert process_head.loss(logits, labels, kind).item() == pytest.approx(expected, rel=1e-5)


def step_paths(n: int) -> list[dict]:
    """Return paths whose right steps are labelled 1 and wrong ones 0; what is wrong can be seen from the step alone."""
    rng, paths = random.Random(1), []
    for i in range(n):
        problem = chain.generate(OPTIONS, rng)
        labels = [float(rng.random() < 0.5) for _ in range(2)]
        steps = [f"1 + 2 = {3 if y else 4}" for y in labels]
        if i % 3 == 0:
            labels[0] = math.nan
        paths.append({"problem_id": problem.id, "question": problem.prompt, "steps": steps, "labels": labels})
    return paths


@pytest.fixture(scope="module")
def head(folder, tmp_path_factory) -> tuple:
    at = tmp_path_factory.mktemp("head")
    model, tokenizer = process_head.new(folder)
    settings = OverData(steps=60, batch=16, learning_rate=5.0e-3)
    around = surroundings(at)
    how = {"loss_type": "bce", "held_out": 0.25, "validate_every": 30}
    run = process_head.train(model, tokenizer, step_paths(60), settings, **how, **around)
    process_head.save(model, tokenizer, at / "process_head", {"loss": "bce"})
    return run, around["cost"], model, at / "process_head"


def test_head_learns_and_validates_on_other_problems(head):
    run, cost, _, _ = head
    assert values(run, "validation/accuracy")[-1] == 1.0 > values(run, "validation/majority")[-1]
    assert [s for s, m, _ in run.history if m == "validation/loss"] == [30, 60]
    assert cost.trained == 60 * 16 * 21, "9 tokens of question and roles, two steps of 6"
    fit, held = process_head.split(pa.chunked_array([list("aab"), list("bccdd")]), 0.25, seed=1)
    assert sorted([*fit, *held]) == list(range(8)) and len(held) == 2
    assert not {"aabbccdd"[i] for i in fit} & {"aabbccdd"[i] for i in held}


def test_scores_depend_on_nothing_but_the_prefix(head):
    scorer = process_head.load(head[3], batch_size=3)
    question, steps = "1 #1 + 2 #2 + 1", ["1 + 2 = 3", "1 + 2 = 4"]
    alone = scorer.score_steps([question], [steps])[0]
    assert alone[0] > 0.9 and alone[1] < 0.1
    questions = [question, "1 #1 + 2", question, "4 #1 * 3 #2 * 3", question]
    found = scorer.score_steps(questions, [steps[:1], [], steps, steps[::-1], steps])
    assert [len(f) for f in found] == [1, 0, 2, 2, 2]
    assert found[0] == pytest.approx(alone[:1], abs=1e-6) and found[2] == pytest.approx(alone, abs=1e-6)
    assert found[3][0] < 0.1 < 0.9 < found[3][1]
    assert scorer.score_steps([], []) == []


def test_head_comes_back_as_it_was(head):
    trained, loaded = head[2], process_head.load(head[3]).model
    assert same(weights(trained), weights(loaded))


def test_head_errors(folder, tmp_path):
    model, tokenizer = process_head.new(folder)
    how = {"loss_type": "bce", "held_out": 0.0, "validate_every": 0} | surroundings(tmp_path)
    path = step_paths(1)[0]
    with pytest.raises(UserError, match="0 labelled steps in 1 paths"):
        process_head.train(model, tokenizer, [{**path, "labels": [math.nan, math.nan]}], OverData(), **how)
    with pytest.raises(UserError, match="labels lie in"):
        process_head.train(model, tokenizer, [{**path, "labels": [-1.0, 1.0]}], OverData(), **how)
    with pytest.raises(UserError, match="2 steps and 1 labels"):
        process_head.train(model, tokenizer, [{**path, "labels": [1.0]}], OverData(), **how)
    with pytest.raises(CorruptResult, match="not a process head"):
        process_head.load(folder)
