"""Episodes in lock-step: two roles, an environment, batches, determinism."""

from __future__ import annotations

import pytest
import torch

from elenchus import models
from elenchus.engines import Completion, Sampling
from elenchus.engines.rollout import Turn, act, rollout, solve_critique_refine
from elenchus.engines.transformers_engine import TransformersEngine

torch.set_num_threads(1)


class Tokenizer:
    chat_template = "critic"

    def apply_chat_template(self, messages, reply=None, **_):
        return " ".join(f"<{m['role']}> {m['content']}" for m in messages) + f" <{reply}>"


class Echo:
    """Replies with its name and the number of words that it has read."""

    def __init__(self, name):
        self.name, self.tokenizer, self.batches = name, Tokenizer(), []

    def sample(self, prompts, sampling, seed, n=1):
        self.batches.append((list(prompts), sampling, seed))
        return [[Completion((), f" {self.name}{len(p.split())} ", (), "end")] for p in prompts]


def test_solve_critique_refine():
    actor, critic = Echo("a"), Echo("c")
    sampling = {"actor": Sampling(max_tokens=5), "critic": Sampling(max_tokens=9)}
    played = rollout([solve_critique_refine(q) for q in ("q", "q r")], {"actor": actor, "critic": critic}, sampling, 0)
    assert [p.result for p in played] == [("a3", "c5", "a7"), ("a4", "c6", "a8")]
    assert [turn.role for turn, _ in played[0].turns] == ["actor", "critic", "actor"]
    assert [len(prompts) for prompts, *_ in actor.batches] == [2, 2]  # both episodes together, turn by turn
    assert [len(prompts) for prompts, *_ in critic.batches] == [2]
    assert critic.batches[0][0][0] == "<user> q <assistant> a3 <critic>"
    assert actor.batches[1][0][0] == "<user> q <assistant> a3 <critic> c5 <assistant>"
    assert actor.batches[0][1].max_tokens == 5 and critic.batches[0][1].max_tokens == 9
    assert actor.batches[0][2] != actor.batches[1][2]  # every turn has its own seed


class Counter:
    """Over after `limit` actions; observes how many there were."""

    def __init__(self, limit):
        self.limit, self.actions = limit, []

    def step(self, action):
        self.actions.append(action)
        return f"seen {len(self.actions)}", len(self.actions) == self.limit


def test_an_environment_of_several_turns():
    actor, worlds = Echo("a"), [Counter(1), Counter(3), Counter(99)]
    played = rollout([act("go", world, max_actions=4) for world in worlds], {"actor": actor}, Sampling(), 0)
    assert [len(world.actions) for world in worlds] == [1, 3, 4]
    assert [len(prompts) for prompts, *_ in actor.batches] == [3, 2, 2, 1]  # those that have ended are not asked
    assert played[1].result == [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "a3"},
        {"role": "user", "content": "seen 1"},
        {"role": "assistant", "content": "a8"},
        {"role": "user", "content": "seen 2"},
        {"role": "assistant", "content": "a13"},
        {"role": "user", "content": "seen 3"},
    ]


def test_an_episode_may_end_before_its_first_turn_and_roles_may_mix():
    def silent():
        return "nothing"
        yield

    def critic_first():
        reply = yield Turn("critic", ({"role": "user", "content": "x"},), reply="critic")
        return reply.text

    actor, critic = Echo("a"), Echo("c")
    played = rollout(
        [silent(), critic_first(), solve_critique_refine("q")], {"actor": actor, "critic": critic}, Sampling(), 0
    )
    assert [p.result for p in played] == ["nothing", " c3 ", ("a3", "c5", "a7")]
    assert played[0].turns == ()


def test_mistakes_are_named():
    def endless():
        while True:
            yield Turn("actor", ({"role": "user", "content": "x"},))

    with pytest.raises(RuntimeError, match="1 of 1 episodes"):
        rollout([endless()], {"actor": Echo("a")}, Sampling(), 0, max_turns=3)
    with pytest.raises(ValueError, match=r"'critic'.*'actor'"):
        rollout([solve_critique_refine("q")], {"actor": Echo("a")}, Sampling(), 0)


def test_with_a_model_deterministic_and_the_same_from_kept_prefixes():
    tokenizer = models.new_tokenizer([f"w{i}" for i in range(8)])
    model = models.new_model(len(tokenizer), width=32, layers=1, heads=2, context=96, seed=0)

    def play(prefix_tokens, seed):
        engine = TransformersEngine((model, tokenizer), prefix_tokens=prefix_tokens)
        episodes = [solve_critique_refine("w1 w2"), solve_critique_refine("w3")]
        played = rollout(episodes, {"actor": engine, "critic": engine}, Sampling(max_tokens=8), seed)
        return [p.result for p in played], engine.prefill_tokens

    result, read = play(0, 1)
    assert play(0, 1)[0] == result and play(0, 2)[0] != result
    again, kept = play(4096, 1)
    assert again == result and kept <= read
