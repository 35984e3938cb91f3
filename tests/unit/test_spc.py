"""SPC's pay-offs, validity and offline loss on numbers worked out by hand; the games' stages on small tables."""

import json
import math
import random

import numpy as np
import pytest

from elenchus import environment
from elenchus.critics import games, mistakes, step
from elenchus.critics.drafts import Draft
from elenchus.critics.format import Unit
from elenchus.engines import Completion, Sampling
from elenchus.problems import chain
from elenchus.search import guided
from elenchus.stages import cases
from elenchus.stages.offline_rl import Params
from elenchus.training.settings import OverData

environment.torch_setup(1)

import torch  # noqa: E402

from elenchus import conversation, models  # noqa: E402
from elenchus.job import Cost  # noqa: E402
from elenchus.training import offline_rl, parallel, rows  # noqa: E402

# 8 - 7 = 1, 1 * 9 = 9, 9 + 4 = 2 modulo 11
PROBLEM = chain.build(8, [("-", 7), ("*", 9), ("+", 4)], 11)
GOOD = Unit(1, True, "", "1 * 9", "9", "9")
BAD = Unit(1, False, "result", "1 * 9", "9", "7")


def case(wrong="1 * 9 = 7", prefix=("8 - 7 = 1",)):
    return step.Case("c", PROBLEM, prefix, wrong, "1 * 9 = 9", "generator")


@pytest.mark.parametrize(
    ("payoff", "outcome", "generator", "critic"),
    [
        (games.sneaky(True, BAD), "caught", -1.0, 1.0),
        (games.sneaky(True, GOOD), "fooled", 1.0, -1.0),
        (games.sneaky(True, None), "fooled", 1.0, -1.0),
        (games.sneaky(False, None), "invalid", -1.0, None),
        (games.paired(GOOD), "cleared", None, 1.0),
        (games.paired(BAD), "alarmed", None, -1.0),
        (games.paired(None), "alarmed", None, -1.0),
    ],
)
def test_pay_offs(payoff, outcome, generator, critic):
    assert (payoff.outcome, payoff.generator, payoff.critic) == (outcome, generator, critic)


def test_a_step_is_an_error_where_success_was_high_and_collapses():
    assert games.collapses(0.75, 0.0, 0.5, 0.0)
    assert not games.collapses(0.75, 0.125, 0.5, 0.0)  # still solved now and then
    assert not games.collapses(0.25, 0.0, 0.5, 0.0)  # hardly solved before


def test_policy_loss_by_hand():
    # rho: 1.5 (clipped to 1.2), 1.5, 0.5, 0.5 (clipped to 0.8); rewards +1, -1, +1, -1
    # min(R rho, R clip): 1.2, min(-1.5, -1.2) = -1.5, 0.5, min(-0.5, -0.8) = -0.8; the mean is -0.15
    lp = torch.tensor([1.5, 1.5, 0.5, 0.5]).log()
    rewards = torch.tensor([1.0, -1.0, 1.0, -1.0])
    assert offline_rl.policy_loss(lp, torch.zeros(4), rewards, 0.2).item() == pytest.approx(0.15)


def test_clipped_moves_give_no_gradient():
    lp = torch.tensor([math.log(1.5), math.log(0.5), 0.0], requires_grad=True)
    offline_rl.policy_loss(lp, torch.zeros(3), torch.tensor([1.0, -1.0, 1.0]), 0.2).backward()
    assert lp.grad.tolist() == pytest.approx([0.0, 0.0, -1 / 3])


def test_mean_logprob_is_over_the_labelled_tokens_only():
    logits = torch.log(torch.tensor([[[0.5, 0.5], [0.25, 0.75], [0.9, 0.1], [0.5, 0.5]]]))
    labels = torch.tensor([[-100, 0, 1, -100]])  # predicted at places 0 and 1: 0.5 and 0.75
    found = offline_rl.mean_logprob(logits, labels).item()
    assert found == pytest.approx((math.log(0.5) + math.log(0.75)) / 2)


def test_batches_hold_as_many_gains_as_losses():
    rewards = np.array([1.0] * 9 + [-1.0])
    places = offline_rl.balanced(rewards, OverData(steps=5, batch=4), seed=3)
    for at in range(0, 20, 4):
        assert sum(rewards[i] for i in places[at : at + 4]) == 0
    assert set(places) >= set(range(9))  # all gains are passed over before any comes twice


def test_judgement_is_read_back_strictly():
    text = step.judgement(case().truth())
    assert text == "#2 1 * 9 -> 9 7 bad result wrong"
    assert step.read_judgement(case(), text) == BAD
    for broken in (text.replace("#2", "#1"), text.replace("wrong", "right"), text.removesuffix(" wrong"), ""):
        assert step.read_judgement(case(), broken) is None


def test_the_players_see_the_step_and_its_prefix():
    assert step.judging(case())[-1] == {"role": "assistant", "content": "#1 8 - 7 = 1 #2 1 * 9 = 7"}
    assert step.sneaking(case())[-1] == {"role": "assistant", "content": "#1 8 - 7 = 1 #2 1 * 9 = 9"}


@pytest.mark.parametrize("kind", mistakes.TYPES)
def test_every_mistake_is_a_wrong_step(kind):
    rng = random.Random(5)
    for _ in range(50):
        wrong = mistakes.spoil(PROBLEM, ("8 - 7 = 1",), "1 * 9 = 9", kind, rng)
        truth = case(wrong).truth()
        assert not truth.ok and truth.error != "format"
        assert kind == "skip" or truth.error == kind
        if kind == "skip":
            assert wrong == "1 + 4 = 5"
        assert mistakes.read(mistakes.announce(kind, wrong)) == wrong


def test_the_last_step_skips_nothing():
    assert mistakes.spoil(PROBLEM, ("8 - 7 = 1", "1 * 9 = 9"), "9 + 4 = 2", "skip", random.Random(0)) is None


def test_training_follows_the_rewards(tmp_path):
    """The rewarded judgement becomes likelier and the punished one less likely, both within what clipping allows."""
    tokenizer = models.new_tokenizer(chain.vocabulary(chain.Options()))
    model = models.new_model(len(tokenizer), width=32, layers=1, heads=2, context=96, seed=3)

    def row(c, unit, reward=0.0):
        return {
            "prompt": json.dumps(step.judging(c)),
            "reply": "critic",
            "completion": step.judgement(unit),
            "reward": reward,
        }

    right = step.Case("r", PROBLEM, ("8 - 7 = 1",), "1 * 9 = 9", "1 * 9 = 9", "solver")
    moves = [row(case(), BAD, 1.0), row(right, BAD, -1.0)]
    before = [_logprob(model, tokenizer, m) for m in moves]
    settings = Params(steps=30, batch=4, learning_rate=3e-3, save_steps=10)
    cost = Cost()
    run = offline_rl.train(
        model,
        tokenizer,
        moves,
        [row(right, GOOD)],
        settings,
        clip=0.2,
        sft_weight=0.15,
        balance=True,
        work=tmp_path,
        seed=1,
        cost=cost,
        progress=lambda *_: None,
    )
    after = [_logprob(model, tokenizer, m) for m in moves]
    assert after[0] - before[0] > 0.15 and after[1] < after[0]
    assert run.step == 30 and cost.trained > 0 and cost.prompt > 0
    assert {m for _, m, _ in run.history} >= {"policy_loss", "imitation_loss", "ratio", "positive_moves"}


def _logprob(model, tokenizer, move) -> float:
    prompt = conversation.render(tokenizer, json.loads(move["prompt"]), move["reply"])
    ids, start = tokenizer(f"{prompt}{move['completion']}").input_ids, len(tokenizer(prompt).input_ids)
    ids = torch.tensor([[*ids, tokenizer.eos_token_id]])
    labels = ids.clone()
    labels[:, :start] = -100
    with torch.no_grad():
        return offline_rl.mean_logprob(model.eval()(ids).logits, labels).item()


def test_the_reference_is_read_on_the_device_of_the_training(tmp_path, monkeypatch):
    asked, placed, seen = torch.device("cpu", 0), [], []
    move, measured = torch.nn.Module.to, rows.measured

    def moved(module, *where, **more):
        placed.append((type(module), where))
        return move(module, *where, **more)

    def recorded(*given):
        seen.append(list(placed))
        return measured(*given)

    monkeypatch.setattr(parallel, "device", lambda: asked)
    monkeypatch.setattr(torch.nn.Module, "to", moved)
    monkeypatch.setattr(rows, "measured", recorded)
    _train(tmp_path)
    assert len(seen) == 1 and (offline_rl.Objective, (asked,)) in seen[0], "before any move is read"


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path):
    whole, _ = _train(tmp_path / "whole")

    def kill(done, *_):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "killed", kill)
    resumed, run = _train(tmp_path / "killed")
    assert run.step == 8 and [s for s, m, _ in run.history if m == "ratio"] == list(range(1, 9))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def _train(folder, progress=lambda *_: None):
    tokenizer = models.new_tokenizer(chain.vocabulary(chain.Options()))
    model = models.new_model(len(tokenizer), width=32, layers=1, heads=2, context=96, seed=3)
    row = {"prompt": json.dumps(step.judging(case())), "reply": "critic", "completion": step.judgement(BAD)}
    moves = [{**row, "reward": 1.0}, {**row, "completion": step.judgement(GOOD), "reward": -1.0}]
    settings = Params(steps=8, batch=4, micro_batch=2, learning_rate=1e-3, save_steps=2)
    run = offline_rl.train(
        model,
        tokenizer,
        moves,
        [row],
        settings,
        clip=0.2,
        sft_weight=0.15,
        balance=True,
        work=folder,
        seed=1,
        cost=Cost(),
        progress=progress,
    )
    return model, run


class Scripted:
    """An engine that answers prompts by a function, and remembers them."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []
        self.tokenizer = models.new_tokenizer(chain.vocabulary(chain.Options()))

    def sample(self, prompts, sampling, seed, n=1):
        self.asked += prompts
        return [[self.answer(prompt, self.asked.count(prompt))] for prompt in prompts]


def said(text, finish="stop"):
    words = tuple(range(len(text.split())))
    return Completion(words, text, tuple(0.0 for _ in words), finish)


def solver(right_from):
    """A solver that writes the second step right from its `right_from`-th try on."""
    after = {"#1": "8 - 7 = 1 #2", "#3": "9 + 4 = 2 answer 2"}

    def answer(prompt, tries):
        last = prompt.split()[-1]
        if last == "#2":
            return said("1 * 9 = 9 #3" if tries >= right_from else "1 * 9 = 7 #3")
        if "1 * 9 = 7" in prompt.partition("<assistant>")[2]:
            return said("7 + 4 = 0 answer 0", "end")
        return said(after[last], "stop" if last == "#1" else "end")

    return Scripted(answer)


def exact_critic(prompt, _):
    words = prompt.partition("<assistant> ")[2].partition(" <critic>")[0].split()
    steps = [" ".join(words[i + 1 : i + 6]) for i in range(0, len(words), 6)]
    judged = step.Case("", PROBLEM, tuple(steps[:-1]), steps[-1], "", "solver")
    return said(step.judgement(judged.truth()), "end")


@pytest.mark.parametrize(("right_from", "answer"), [(1, "2"), (3, "2"), (4, "0")])
def test_a_rejected_step_is_sampled_again_and_the_last_try_stands(right_from, answer):
    critic = Scripted(exact_critic)
    settings = {"step": Sampling(), "judgement": Sampling(), "tries": 3, "max_steps": 6, "seed": 1}
    (found,) = guided.walk(solver(right_from), critic, [PROBLEM], **settings)
    assert found.node.terminal and found.node.text.split()[-1] == answer
    steps = 3 + min(right_from, 3) - 1  # the second is sampled until it is right, three times at most
    assert len(critic.asked) == steps
    assert found.tokens == 6 * (steps - 1) + 7


def drafts_of(*solutions):
    found = []
    for i, steps in enumerate(solutions):
        first = next((k for k, c in enumerate(chain.check_steps(PROBLEM, list(steps))) if not c.ok), -1)
        found.append(Draft(f"d{i}", PROBLEM, chain.render(PROBLEM, list(steps)), steps, first == -1, first))
    return found


def test_right_steps_stand_before_the_first_error_and_the_wrong_step_is_that_error():
    found = drafts_of(("8 - 7 = 1", "1 * 9 = 7", "7 + 4 = 0"), ("8 - 7 = 1", "1 * 9 = 9", "9 + 4 = 2"))
    assert [c.id for c in cases.right_steps(found)] == ["d0#1", "d1#1", "d1#2", "d1#3"]
    (wrong,) = cases.wrong_steps(found)
    assert (wrong.prefix, wrong.step, wrong.right) == (("8 - 7 = 1",), "1 * 9 = 7", "1 * 9 = 9")
