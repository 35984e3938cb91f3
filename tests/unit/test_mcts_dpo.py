"""MCTS-DPO (2405.00451): rewards and their back-up, the moving root, pairs, smoothing and loss, on numbers worked by hand."""

from __future__ import annotations

import math
import random

import pytest

from elenchus import environment, models
from elenchus.errors import UserError
from elenchus.job import Cost
from elenchus.problems import chain
from elenchus.search import preferences
from elenchus.search.evaluators import Checker
from elenchus.search.labels import Branch
from elenchus.search.mcts import Searcher
from elenchus.search.settings import MCTS_DPO, Search
from elenchus.search.tree import Node, Tree
from elenchus.stages import step_pairs
from elenchus.training.settings import OverData

environment.torch_setup(1)

import torch  # noqa: E402

from elenchus.training import parallel, step_dpo  # noqa: E402

PROBLEM = chain.build(8, [("-", 7), ("*", 9)], 11)  # 8 - 7 = 1, 1 * 9 = 9


def node(parent: int, said: float | None, **facts) -> Node:
    return Node(parent, 1, "", "", model_value=said, **facts)


# -- rewards and back-up -----------------------------------------------------------------------------------------------


def test_rewards_are_differences_of_outcome_and_self_evaluation():
    tree = Tree(PROBLEM, "", random.Random(0))
    a = tree.add(0, node(0, 0.5))
    tree.credit(a, exact=True)
    assert (tree.nodes[a].worth, tree.nodes[a].reward, tree.nodes[a].value) == (0.5, 0.5, 0.5)
    right = tree.add(a, node(a, 0.75, terminal=True, correct=True))
    wrong = tree.add(a, node(a, 0.25, terminal=True, correct=False))
    for i in (right, wrong):
        tree.credit(i, exact=True)
    assert [tree.nodes[i].worth for i in (right, wrong)] == [1.75, -0.75]  # O + C
    assert [tree.nodes[i].reward for i in (right, wrong)] == [1.25, -1.25]  # less the parent's 0.5
    alone = tree.add(a, node(a, 0.25, terminal=True, correct=False))
    tree.credit(alone, exact=False)
    assert tree.nodes[alone].worth == 0.25  # C alone
    unread = tree.add(a, node(a, None, terminal=True, correct=False))
    tree.credit(unread, exact=True)
    assert tree.nodes[unread].worth == -1.0  # O alone


def test_back_up_of_rewards_by_hand():
    """root - a (r 0.5) - b (r 1.25), c (r -1.25); root - d (r 0.25, never visited)."""
    tree = Tree(PROBLEM, "", random.Random(0))
    a, d = (tree.add(0, node(0, said)) for said in (0.5, 0.25))
    for i in (a, d):
        tree.credit(i, exact=True)
    b = tree.add(a, node(a, 0.75, terminal=True, correct=True))
    c = tree.add(a, node(a, 0.25, terminal=True, correct=False))
    for i in (b, c):
        tree.credit(i, exact=True)
    tree.back_up(b, 0.0, "rewards")
    # V(a) = (1 * 1.25 + max(1, 0) * -1.25) / 2 = 0, Q(a) = 0.5 + 0; V(root) = (0.5 + 0.25) / 2
    assert [tree.nodes[i].value for i in (b, c, a, 0)] == pytest.approx([1.25, -1.25, 0.5, 0.375])
    tree.back_up(b, 0.0, "rewards")
    # V(a) = (2 * 1.25 - 1.25) / 3 = 0.41667, Q(a) = 0.91667; V(root) = (2 * 0.91667 + 0.25) / 3
    assert [tree.nodes[i].value for i in (a, 0)] == pytest.approx([0.916667, 0.694444], abs=1e-5)
    assert [tree.nodes[i].visits for i in (0, a, b, c, d)] == [2, 2, 2, 0, 0]
    # a child made now starts at Q = V(parent) + r: 0.41667 + (0.5 - 0.5)
    late = tree.add(a, node(a, 0.5))
    tree.credit(late, exact=True)
    assert tree.nodes[late].value == pytest.approx(0.416667, abs=1e-5)
    # PUCT: Q + c P sqrt(N') / (1 + N), priors 1
    assert tree.scores(a, "puct", 1.0, 0.0)[:2] == pytest.approx([1.25 + math.sqrt(2) / 3, -1.25 + math.sqrt(2)])


def test_the_root_moves_to_visits_times_one_and_the_gap():
    tree = Tree(PROBLEM, "", random.Random(0))
    for parent, visits, value in ((0, 5, 0.9), (0, 4, 0.1), (1, 3, 0.0), (1, 2, 0.0), (2, 4, 0.0), (2, 0, 0.0)):
        tree.add(parent, Node(parent, 1, "", "", visits=visits, value=value))
    assert tree.commit(0) == 2  # 5 (1 + 1) = 10 against 4 (1 + 4) = 20
    assert tree.commit(1) == 3  # without children there is no gap
    tree.nodes[3].visits = 2
    tree.nodes[4].value = 0.5
    assert tree.commit(1) == 4  # ties by value


# -- a search ----------------------------------------------------------------------------------------------------------


class Tokenizer:
    chat_template = "critic"

    def apply_chat_template(self, messages, **_):
        return f"{messages[0]['content']} > "


SCRIPT = {
    "#1": ["8 - 7 = 1 #2", "8 - 7 = 2 #2"],
    "#1 8 - 7 = 1 #2": ["1 * 9 = 9 answer 9", "1 * 9 = 8 answer 8"],
    "#1 8 - 7 = 2 #2": ["2 * 9 = 7 answer 7", "2 * 9 = 8 answer 8"],
}


class Engine:
    """Answers each prompt from a table {what the prompt ends with: texts}, in turn."""

    def sample(self, prompts, sampling, seed, n=1):
        from elenchus.engines import Completion

        def completion(text):
            words = text.split()
            ends = not words[-1].startswith("#")
            return Completion(tuple(range(len(words))), text, (-0.1,) * (len(words) + ends), "end" if ends else "stop")

        return [[completion(SCRIPT[p.split(" > ")[1]][i]) for i in range(n)] for p in prompts]


def test_a_search_goes_forward_and_its_root_moves_to_the_end():
    settings = MCTS_DPO.model_copy(update={"commit": 2, "commit_first": 2, "value": "checker"})
    searcher = Searcher(Engine(), Tokenizer(), settings, Checker(0.0, 0))
    (tree,) = searcher.run([PROBLEM], seed=0)
    end = tree.nodes[tree.committed]
    assert end.terminal and end.correct and tree.nodes[end.parent].step == "8 - 7 = 1"
    # four rounds at the root, two at its child; every round goes on to a finished node
    assert tree.nodes[0].visits == 6
    assert sum(n.visits for n in tree.nodes if n.terminal) == 6
    first = tree.nodes[tree.nodes[0].children[0]]
    assert first.reward == 1.0 and first.value > tree.nodes[tree.nodes[0].children[1]].value


def test_settings_that_do_not_go_together_are_refused():
    with pytest.raises(ValueError, match="roll-outs"):
        Searcher(None, None, Search(backup="rewards", value="rollouts"))
    with pytest.raises(ValueError, match="token_budget"):
        Searcher(None, None, Search(commit=2, token_budget=9, value="outcome"))


def test_the_checker_is_as_noisy_as_it_says():
    noisy = Checker(0.25, seed=3)
    problems = [chain.build(a, [("-", b), ("*", c)], 11) for a in range(11) for b in range(1, 11) for c in range(1, 11)]
    said = noisy([(p, [chain.reference(p)[0]]) for p in problems])
    assert sum(said) / len(said) == pytest.approx(0.75, abs=0.04)
    assert said[:5] == noisy([(p, [chain.reference(p)[0]]) for p in problems[:5]])  # the same word each time
    assert Checker(0.0, 0)([(PROBLEM, ["8 - 7 = 1"]), (PROBLEM, ["8 - 7 = 2"])]) == [1.0, 0.0]


# -- pairs -------------------------------------------------------------------------------------------------------------


def branch(parent, step="", value=0.0, visits=0, terminal=False, correct=False):
    return Branch(parent, step, terminal, correct, value, visits)


TREE = [
    branch(-1),
    branch(0, "8 - 7 = 1", 0.9, 6),  # 1 committed
    branch(0, "8 - 7 = 2", 0.2, 3),  # 2
    branch(0, "8 - 7 = 3", -0.4, 1),  # 3 the worst; its only child is 6
    branch(1, "1 * 9 = 9", 1.5, 4, True, True),  # 4 committed, the end
    branch(1, "1 * 9 = 8", -1.5, 2, True, False),  # 5
    branch(3, "3 * 9 = 5", -1.0, 1, True, False),  # 6
]


def test_pairs_are_the_best_and_worst_siblings_along_the_path():
    one, two = preferences.pairs(TREE, 4, most=8)
    assert (one.parent, one.chosen, one.rejected) == (0, (1,), (3, 6))  # a single child is merged
    assert (two.parent, two.chosen, two.rejected) == (1, (4,), (5,))
    assert preferences.pairs(TREE, 4, most=1) == [one]
    (only,) = preferences.pairs(TREE, 2, most=8)
    assert only.parent == 0  # the best sibling is chosen, wherever the path went


def test_at_most_eight_pairs_a_tree():
    tree, end = [branch(-1)], 0
    for depth in range(11):
        tree += [branch(end, f"a{depth}", 1.0, 1), branch(end, f"b{depth}", 0.0, 1)]
        end = len(tree) - 2
    assert [p.parent for p in preferences.pairs(tree, end, most=8)] == [0, 1, 3, 5, 7, 9, 11, 13]


def test_siblings_of_one_value_make_no_pair():
    tree = [branch(-1), branch(0, "a", 0.5, 3), branch(0, "b", 0.5, 1)]
    assert preferences.pairs(tree, 1, most=8) == []


def test_smoothing_by_hand():
    assert preferences.smoothing(6, 2, "paper") == pytest.approx(1 / (6 / 2 + 1)) == 0.25
    assert preferences.smoothing(1, 3, "paper") == 0.75
    assert preferences.smoothing(1, 3, "code") == 0.5
    assert preferences.smoothing(0, 1, "code") == 0.5 and preferences.smoothing(3, 1, "code") == 0.25
    assert preferences.smoothing(5, 0, "paper") == preferences.smoothing(0, 0, "code") == 0.0
    assert preferences.smoothing(1, 3, "none") == 0.0


def test_continuations_end_on_the_next_mark_or_with_the_answer():
    assert step_pairs.prefix([]) == "#1" and step_pairs.prefix(["8 - 7 = 1"]) == "#1 8 - 7 = 1 #2"
    assert step_pairs.continuation(PROBLEM, [], [TREE[1]]) == ("8 - 7 = 1 #2", False, ["8 - 7 = 1"])
    ended = ("1 * 9 = 9 answer 9", True, ["1 * 9 = 9"])
    assert step_pairs.continuation(PROBLEM, ["8 - 7 = 1"], [TREE[4]]) == ended
    merged = ("8 - 7 = 3 #2 3 * 9 = 5 answer 5", True, ["8 - 7 = 3", "3 * 9 = 5"])
    assert step_pairs.continuation(PROBLEM, [], [TREE[3], TREE[6]]) == merged
    odd = branch(0, "8 - 7 answer", terminal=True)
    assert step_pairs.continuation(PROBLEM, [], [odd]) == ("8 - 7 answer", False, ["8 - 7 answer"])


# -- loss --------------------------------------------------------------------------------------------------------------


def test_conservative_loss_by_hand():
    ratios, lengths = torch.tensor([[2.0, -3.0], [2.0, -3.0], [0.0, 0.0]]), torch.tensor([[5, 5], [5, 5], [2, 4]])
    found = step_dpo.loss(ratios, torch.tensor([0.25, 0.0, 0.5]), lengths, kind="sigmoid", beta=0.1)
    # h = 5: -log s(0.5) = 0.474077, -log s(-0.5) = 0.974077
    assert found.tolist() == pytest.approx([0.75 * 0.474077 + 0.25 * 0.974077, 0.474077, math.log(2)], abs=1e-5)
    ipo = step_dpo.loss(ratios, torch.zeros(3), lengths, kind="ipo", beta=0.5)
    assert ipo.tolist() == pytest.approx([(0.4 + 0.6 - 1) ** 2] * 2 + [1.0], abs=1e-6)


PAIR = {
    "prompt": '[{"role": "user", "content": "8 #1 - 7 #2 * 9"}]',
    "reply": "assistant",
    "prefix": "#1 8 - 7 = 1 #2",
    "chosen": "1 * 9 = 9 answer 9",
    "rejected": "1 * 9 = 8 #3",
    "chosen_ends": True,
    "rejected_ends": False,
    "smoothing": 0.25,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    at = tmp_path_factory.mktemp("model")
    tokenizer = models.new_tokenizer(chain.vocabulary(chain.Options()))
    models.save(models.new_model(len(tokenizer), width=32, layers=1, heads=2, context=96, seed=3), tokenizer, at)
    return at


def test_a_step_does_not_end_the_reply(folder):
    tokenizer = models.load_tokenizer(folder)
    row = step_dpo.encode(tokenizer, PAIR)
    assert tokenizer.decode(row["prompt"]).endswith("<assistant> #1 8 - 7 = 1 #2")
    assert row["chosen"][-1] == tokenizer.eos_token_id != row["rejected"][-1]
    batch = step_dpo.collate([row], tokenizer.pad_token_id)
    assert batch["own"].sum(1).tolist() == [8, 6] and batch["own"][1, -2:].tolist() == [0, 0]


def test_training_starts_at_the_loss_of_no_difference_and_learns_the_pair(folder, tmp_path):
    model, tokenizer = models.load(folder)
    reference, _ = models.load(folder)
    before = {k: v.clone() for k, v in reference.state_dict().items()}
    settings = OverData(steps=40, batch=4, micro_batch=2, learning_rate=3e-3)
    cost = Cost()
    surroundings = {"work": tmp_path, "seed": 1, "cost": cost, "progress": lambda *_: None}
    ways = {"beta": 0.5, "loss_type": "sigmoid", "sft_weight": 0.0}
    run = step_dpo.train(model, tokenizer, [PAIR], settings, reference=lambda: reference, **ways, **surroundings)
    losses = [v for _, m, v in run.history if m == "loss"]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-4)
    # the least loss at a = 0.25 is where s(beta h) = 0.75: its entropy, 0.5623; plain DPO would fall below it
    assert losses[-1] == pytest.approx(0.5623, abs=0.02)
    margins = [v for _, m, v in run.history if m == "rewards/margins"]
    assert margins[-1] == pytest.approx(math.log(3), abs=0.35)
    assert cost.trained == 40 * 4 * (2 * 16 + 8 + 6)
    assert all(torch.equal(before[k], v) for k, v in reference.state_dict().items())


def test_the_reference_reads_on_the_device_of_the_training(folder, tmp_path, monkeypatch):
    model, tokenizer = models.load(folder)
    reference, _ = models.load(folder)
    asked, placed, seen = torch.device("cpu", 0), [], []
    move, read = torch.nn.Module.to, step_dpo.log_probabilities

    def moved(module, *where, **more):
        placed.append((module, where))
        return move(module, *where, **more)

    def recorded(network, *given):
        seen.append((network is reference, any(m is network and where == (asked,) for m, where in placed)))
        return read(network, *given)

    monkeypatch.setattr(parallel, "device", lambda: asked)
    monkeypatch.setattr(torch.nn.Module, "to", moved)
    monkeypatch.setattr(step_dpo, "log_probabilities", recorded)
    around = {"work": tmp_path, "seed": 1, "cost": Cost(), "progress": lambda *_: None}
    ways = {"reference": lambda: reference, "beta": 0.5, "loss_type": "sigmoid", "sft_weight": 0.0}
    step_dpo.train(model, tokenizer, [PAIR], OverData(steps=2, batch=2), **ways, **around)
    assert seen == [(True, True), (False, True), (False, True)], "the reference once, then two steps of the model"


def test_trees_whose_root_stays_make_no_pairs():
    class Given:
        def __init__(self):
            self.manifest = {"params": {"commit": 0}}

        def table(self, name):
            import pandas as pd

            from elenchus import schemas

            return pd.DataFrame(columns=list(schemas.SCHEMAS[name]))

    class Job:
        params, inputs = step_pairs.Params(), dict.fromkeys(("problems", "trees", "solutions"), Given())

    with pytest.raises(UserError, match="commit"):
        step_pairs.run(Job())
