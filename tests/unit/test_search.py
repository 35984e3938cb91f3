"""Tree search and its labels: hand-made trees with values worked by hand, and searches with a scripted engine."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from elenchus.engines import Completion
from elenchus.problems import chain
from elenchus.search import labels
from elenchus.search.labels import Branch
from elenchus.search.mcts import Searcher, read_step
from elenchus.search.settings import REST_MCTS, Search
from elenchus.search.tree import Node, Tree

PROBLEM = chain.build(8, [("-", 7), ("*", 9)], 11)  # 8 - 7 = 1, 1 * 9 = 9


def grown(*children: tuple[int, int, float, float]) -> Tree:
    """Return a tree of nodes (parent, visits, value, prior) ; a parent's visits are its children's sum."""
    tree = Tree(PROBLEM, "", random.Random(0))
    for parent, visits, value, prior in children:
        tree.add(parent, Node(parent, 1, "", "", prior=prior, value=value, visits=visits))
        for i in tree.path(parent):
            tree.nodes[i].visits += visits
    return tree


# -- selection ---------------------------------------------------------------------------------------------------------


def test_uct_by_hand():
    tree = grown((0, 3, 0.6, 0.5), (0, 1, 0.5, 0.3), (0, 0, 0.0, 0.2))
    assert tree.scores(0, "uct", 0.5, 0.9) == pytest.approx(
        [0.6 + 0.5 * math.sqrt(2 * math.log(4) / 3), 0.5 + 0.5 * math.sqrt(2 * math.log(4)), 0.9]
    )  # 1.081, 1.333, 0.9
    assert tree.best_child(0, "uct", 0.5, 0.9) == 2
    assert tree.best_child(0, "uct", 0.0, 0.0) == 1
    assert tree.best_child(0, "uct", 0.5, 5.0) == 3


def test_puct_by_hand():
    tree = grown((0, 3, 0.6, 0.5), (0, 1, 0.5, 0.3), (0, 0, 0.0, 0.2))
    # 0.6 + 0.5 * 2 / 4, 0.5 + 0.3 * 2 / 2, 0.2 * 2 / 1
    assert tree.scores(0, "puct", 1.0, 0.9) == pytest.approx([0.85, 0.8, 0.4])
    assert tree.scores(0, "puct", 4.0, 0.9) == pytest.approx([1.6, 1.7, 1.6])


def test_selection_goes_down_to_a_leaf_and_breaks_ties_by_the_seed():
    tree = grown((0, 0, 0.9, 1), (1, 0, 0.2, 1), (1, 0, 0.4, 1))
    assert tree.select("uct", 0.0, 0.0) == 3
    tied = grown((0, 0, 0.5, 1), (0, 0, 0.5, 1))
    assert {tied.select("uct", 0.0, 0.0) for _ in range(30)} == {1, 2}


def test_virtual_visits_keep_leaves_apart():
    tree = grown((0, 1, 0.9, 0.5), (0, 1, 0.8, 0.5))
    assert tree.select("uct", 0.1, 0.9) == 1
    tree.hold(1, 1)
    assert tree.scores(0, "uct", 0.1, 0.9)[0] == pytest.approx(0.45 + 0.1 * math.sqrt(2 * math.log(3) / 2))
    assert tree.select("uct", 0.1, 0.9) == 2
    tree.hold(1, -1)
    assert tree.select("uct", 0.1, 0.9) == 1


# -- back-up -----------------------------------------------------------------------------------------------------------


def test_mean_back_up():
    tree = grown((0, 0, 0.7, 1), (0, 0, 0.1, 1))
    for node, value in ((1, 1.0), (1, 0.0), (2, 0.5)):
        tree.back_up(node, value, "mean")
    assert [n.visits for n in tree.nodes] == [3, 2, 1]
    assert [n.value for n in tree.nodes] == pytest.approx([0.5, 0.5, 0.5])
    tree.back_up(2, 1.0, "mean")
    assert [n.value for n in tree.nodes] == pytest.approx([2.5 / 4, 0.5, 0.75])


def test_max_back_up():
    tree = grown((0, 0, 0.95, 1), (0, 0, 0.1, 1))
    tree.back_up(2, 0.5, "max")
    assert tree.nodes[0].value == 0.5  # what was never visited does not count
    tree.back_up(1, 0.3, "max")
    assert tree.nodes[0].value == 0.5 and tree.nodes[1].value == 0.3
    tree.back_up(2, 0.2, "max")
    assert tree.nodes[0].value == 0.3


def test_weighted_back_up():
    # root - 1 - (3, 4), root - 2
    tree = grown((0, 0, 0.2, 1), (0, 0, 0.8, 1), (1, 0, 0.0, 1), (1, 0, 0.0, 1))
    tree.back_up(3, 0.6, "weighted")
    tree.back_up(4, 0.3, "weighted")
    assert tree.nodes[1].value == pytest.approx(0.45)
    tree.back_up(4, 0.3, "weighted")
    tree.back_up(2, 0.8, "weighted")
    assert tree.nodes[1].value == pytest.approx((0.6 + 2 * 0.3) / 3)
    assert tree.nodes[0].value == pytest.approx((3 * 0.4 + 0.8) / 4)
    assert [n.visits for n in tree.nodes] == [4, 3, 1, 1, 2]


# -- labels ------------------------------------------------------------------------------------------------------------


def branch(parent, step="", terminal=False, correct=False, value=0.0, visits=0):
    return Branch(parent, step, terminal, correct, value, visits)


def test_full_labels_on_a_right_path_are_k_over_length():
    tree = [branch(-1), branch(0), branch(1), branch(2), branch(3, terminal=True, correct=True)]
    assert labels.full(tree) == pytest.approx([0, 0.25, 0.5, 0.75, 1.0])


def test_full_labels_with_wrong_branches():
    tree = [
        branch(-1, "root"),  # 0  d 3 (shortest way: 1, 4)
        branch(0, "a"),  # 1  d 2, right
        branch(0, "b"),  # 2  wrong branch below the root: d 3
        branch(2, "c", terminal=True),  # 3  d 3
        branch(1, "d", terminal=True, correct=True),  # 4  d 1, right
        branch(1, "e"),  # 5  right too, by 8: d 2
        branch(5, "f", terminal=True),  # 6  wrong leaf below 5: d 2
        branch(1, "g"),  # 7  never ended: no label
        branch(5, "h", terminal=True, correct=True),  # 8  d 1
        branch(2, "i"),  # 9  never ended
    ]
    d, right = labels.reasoning_distances(tree)
    assert d == [3, 2, 3, 3, 1, 2, 2, None, 1, None]
    assert right == [True, True, False, False, True, True, False, False, True, False]
    v1 = 0 + (1 - 0) / 2
    v5 = v1 + (1 - v1) / 2
    expected = [0.0, v1, 0.0, 0.0, 1.0, v5, v5 - (1 - v5) / 2, None, 1.0, None]
    got = labels.full(tree)
    assert v5 == 0.75 and got[6] == 0.625
    for value, want in zip(got, expected):
        assert math.isnan(value) if want is None else value == pytest.approx(want)


def test_a_wrong_step_after_right_ones_loses_value():
    # root - a (right) - b (right leaf) and a - c (wrong) - e (wrong leaf): c and e take a's d, 2
    tree = [branch(-1), branch(0), branch(1, terminal=True, correct=True), branch(1), branch(3, terminal=True)]
    d, _ = labels.reasoning_distances(tree)
    assert d == [3, 2, 1, 2, 2]
    assert labels.full(tree) == pytest.approx([0, 0.5, 1.0, 0.25, 0.0])  # 0.25 - 0.75 / 2 < 0


def test_no_right_leaf_no_labels():
    tree = [branch(-1), branch(0), branch(1, terminal=True)]
    assert all(map(math.isnan, labels.full(tree))) and all(map(math.isnan, labels.route(tree)))


def test_route_labels():
    tree = [
        branch(-1),
        branch(0),  # on the route: 1/2
        branch(0),  # sibling at depth 1: max((0 - 1) / 2, 0)
        branch(1, terminal=True, correct=True),  # 1
        branch(1, terminal=True),  # sibling at depth 2: (1 - 1) / 2
        branch(2, terminal=True),  # off the route: none
    ]
    got = labels.route(tree)
    assert got[:5] == pytest.approx([0, 0.5, 0.0, 1.0, 0.0]) and math.isnan(got[5])


def test_backed_up_labels_are_the_visited_nodes_values():
    got = labels.backed_up([branch(-1, visits=2, value=0.4), branch(0, visits=2, value=0.4), branch(0, value=0.9)])
    assert got[:2] == [0.4, 0.4] and math.isnan(got[2])


def test_paths_tell_each_label_once():
    tree = [branch(-1), branch(0, "a"), branch(1, "b"), branch(1, "c"), branch(0, "d")]
    found = labels.paths(tree, [0.0, 0.5, 1.0, 0.25, math.nan])
    assert found[0] == (["a", "b"], [0.5, 1.0])
    assert found[1][0] == ["a", "c"] and math.isnan(found[1][1][0]) and found[1][1][1] == 0.25
    assert len(found) == 2


def test_checker_labels():
    steps = ["8 - 7 = 2", "2 * 9 = 7"]
    checks = chain.check_steps(PROBLEM, steps)
    assert labels.from_checks(checks, "own") == [0.0, 1.0]
    assert labels.from_checks(checks, "zero") == [0.0, 0.0]
    skipped = labels.from_checks(checks, "skip")
    assert skipped[0] == 0.0 and math.isnan(skipped[1])
    assert labels.from_checks(chain.check_steps(PROBLEM, ["8 - 7 = 1", "1 * 9 = 9"]), "skip") == [1.0, 1.0]


def test_labels_by_true_distance():
    assert labels.by_distance(chain, PROBLEM, ["8 - 7 = 1", "1 * 9 = 9"]) == pytest.approx([0.5, 1.0])
    # wrong at once: d is the question's, 2 + 1; no way back
    assert labels.by_distance(chain, PROBLEM, ["8 - 7 = 2", "2 * 9 = 7"]) == [0.0, 0.0]
    # wrong at the end: d stays that of the first step, 1 + 1
    assert labels.by_distance(chain, PROBLEM, ["8 - 7 = 1", "1 * 9 = 8"]) == pytest.approx([0.5, 0.25])


# -- search with a scripted engine -------------------------------------------------------------------------------------


class Tokenizer:
    chat_template = "critic"

    def apply_chat_template(self, messages, **_):
        return f"{messages[0]['content']} > "


class Scripted:
    """Answers each prompt from a table {what the prompt ends with: texts}, in turn; other prompts fail."""

    def __init__(self, script: dict[str, list[str]]):
        self.script, self.calls = script, []

    def sample(self, prompts, sampling, seed, n=1):
        self.calls.append((list(prompts), n, sampling))
        rows = []
        for prompt in prompts:
            texts = self.script[prompt.split(" > ")[1]]
            rows.append([self.completion(texts[i % len(texts)]) for i in range(n)])
        return rows

    @staticmethod
    def completion(text):
        words = text.split()
        ends = not words[-1].startswith("#")
        return Completion(tuple(range(len(words))), text, (-0.1,) * (len(words) + ends), "end" if ends else "stop")


SCRIPT = {
    "#1": ["8 - 7 = 1 #2", "8 - 7 = 2 #2", "8 - 7 = 1 #2"],
    "#1 8 - 7 = 1 #2": ["1 * 9 = 9 answer 9", "1 * 9 = 8 answer 8", "1 * 9 = #3"],
    "#1 8 - 7 = 2 #2": ["2 * 9 = 7 answer 7"],
}
BASE = Search(value="outcome", simulations=1, breadth=3, c=0.5, unvisited=0.9, backup="weighted")


def search(settings: Search, evaluate=None, script=SCRIPT, problems=(PROBLEM,)):
    searcher = Searcher(Scripted(script), Tokenizer(), settings, evaluate)
    return searcher.run(problems, seed=0), searcher


def test_expansion_drops_duplicates_and_counts_them():
    (tree,), searcher = search(BASE)
    root, one, two = tree.nodes
    assert (one.step, two.step) == ("8 - 7 = 1", "8 - 7 = 2")
    assert (one.prior, two.prior) == pytest.approx((2 / 3, 1 / 3))
    assert (one.tokens, two.tokens, tree.sampled) == (12, 6, 18)
    assert one.text == "#1 8 - 7 = 1 #2" and one.steps == ("8 - 7 = 1",) and not one.terminal
    assert searcher.engine.calls[0][0] == [f"{PROBLEM.prompt} > #1"]
    assert "#2" in searcher.engine.calls[0][2].stop
    assert root.visits == 1 and one.visits + two.visits == 1


def test_probability_priors():
    (tree,), _ = search(BASE.model_copy(update={"prior": "probability", "prior_length": 1.25}))
    equal = math.exp(-0.6 / 6**1.25)
    assert [n.prior for n in tree.nodes[1:]] == pytest.approx([equal / (2 * equal)] * 2)


def test_terminal_nodes_know_their_outcome_and_unreadable_ones_are_wrong():
    (tree,), searcher = search(BASE.model_copy(update={"simulations": 6}))
    found = {n.text.removeprefix("#1 "): n for n in tree.nodes[1:]}
    assert (
        found["8 - 7 = 1 #2 1 * 9 = 9 answer 9"].correct
        and found["8 - 7 = 1 #2 1 * 9 = 9 answer 9"].step == "1 * 9 = 9"
    )
    assert found["8 - 7 = 1 #2 1 * 9 = 8 answer 8"].correct is False
    odd = found["8 - 7 = 1 #2 1 * 9 = #3"]  # ends on a mark, so that it is an open node of an unreadable step
    assert not odd.terminal
    ended = [n for n in tree.nodes if n.terminal]
    assert searcher.oracle_calls == len(ended) == 2
    assert all(n.value == float(n.correct) for n in ended)


@pytest.mark.parametrize(
    ("text", "finish"),
    [("8 - 7 = 1 #3", "stop"), ("8 - 7 = 1", "length"), ("#2", "stop"), ("8 - 7 = 1 answer 1", "end")],
)
def test_what_cannot_go_on_is_terminal_and_wrong(text, finish):
    completion = Completion((1,), text, (-1.0,), finish)
    node = read_step(PROBLEM, Node(-1, 0, "", "#1"), completion, 12)
    assert node.terminal and node.correct is False and not node.readable and node.step == text


def test_the_depth_limit_ends_a_branch():
    completion = Completion((1,), "8 - 7 = 1 #2", (-1.0,), "stop")
    root = Node(-1, 0, "", "#1")
    assert not read_step(PROBLEM, root, completion, 2).terminal
    assert read_step(PROBLEM, root, completion, 1).terminal


def test_evaluated_search_by_hand():
    """ReST-MCTS* with look-ahead: two rounds, every number worked by hand."""
    values = {
        ("8 - 7 = 1",): 0.6,
        ("8 - 7 = 2",): 0.5,
        ("8 - 7 = 1", "1 * 9 = 9"): 0.9,
        ("8 - 7 = 1", "1 * 9 = 8"): 0.4,
        ("8 - 7 = 2", "2 * 9 = 7"): 0.3,
    }
    settings = REST_MCTS.model_copy(update={"simulations": 1, "breadth": 2})
    (tree,), searcher = search(settings, lambda asked: [values[tuple(steps)] for _, steps in asked])
    # Round 1: children valued 0.6 and 0.5; the better one looks one step ahead (first text: right, 0.9).
    assert [n.model_value for n in tree.nodes] == [None, 0.6, 0.5]
    assert [n.value for n in tree.nodes] == pytest.approx([0.75, 0.75, 0.5])
    assert [n.visits for n in tree.nodes] == [1, 1, 0]
    settings = settings.model_copy(update={"simulations": 2})
    (tree,), searcher = search(settings, lambda asked: [values[tuple(steps)] for _, steps in asked])
    # Round 2: 0.75 + 0.5 sqrt(2 ln 1 / 1) = 0.75 against 0.5 + 0.9: the second is expanded; its child, a finished
    # solution, is worth 0.3 by the value model (look-ahead stops there), weighted back-up does the rest.
    assert [n.value for n in tree.nodes] == pytest.approx([(0.75 + 0.3) / 2, 0.75, 0.3, 0.3])
    assert [n.visits for n in tree.nodes] == [2, 1, 1, 1]
    assert tree.nodes[3].terminal and tree.nodes[3].correct is False
    assert searcher.oracle_calls == 0  # exact is off: outcomes are recorded, not used


def test_rollouts_value_the_leaf_by_their_mean_outcome():
    script = {**SCRIPT, "#1 8 - 7 = 1 #2": ["1 * 9 = 9 answer 9", "1 * 9 = 8 answer 8"], "#1": ["8 - 7 = 1 #2"]}
    (tree,), searcher = search(Search(value="rollouts", rollouts=4, simulations=1, backup="mean"), script=script)
    assert [n.value for n in tree.nodes] == [0.5, 0.5]
    assert searcher.oracle_calls == 4
    assert searcher.engine.calls[1][1] == 4 and searcher.engine.calls[1][2].stop == ()
    assert tree.sampled == 3 * 6 + 4 * 8  # three steps of six tokens; answers of seven words and their end


def test_budgets_and_gates_end_a_tree():
    (tree,), searcher = search(BASE.model_copy(update={"simulations": 50, "token_budget": 30}))
    assert len(searcher.engine.calls) == 2 and tree.sampled >= 30
    gated, searcher = search(BASE.model_copy(update={"simulations": 50, "end_gate": 1.0, "c": 5.0}))
    assert gated[0].done and any(n.correct for n in gated[0].nodes) and len(searcher.engine.calls) < 10


def test_all_trees_share_one_batch_per_round():
    other = chain.build(8, [("-", 7), ("*", 8)], 11)
    trees, searcher = search(BASE.model_copy(update={"simulations": 1}), problems=(PROBLEM, other))
    assert [len(prompts) for prompts, _, _ in searcher.engine.calls] == [2]
    assert [t.problem.id for t in trees] == [PROBLEM.id, other.id]


def test_several_leaves_a_round():
    script = {"#1": ["8 - 7 = 1 #2", "8 - 7 = 2 #2", "8 - 7 = 3 #2"]}
    script |= {f"#1 {text}": ["2 * 9 = 7 answer 7"] for text in script["#1"]}
    (tree,), searcher = search(BASE.model_copy(update={"simulations": 2, "leaves_per_round": 2}), script=script)
    assert len(set(searcher.engine.calls[1][0])) == 2  # the two unvisited children, not one of them twice
    assert tree.nodes[0].visits == 3 and all(n.virtual == 0 for n in tree.nodes)


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="needs an evaluator"):
        search(Search(value="value_model"))
    with pytest.raises(ValueError, match="takes no evaluator"):
        search(Search(value="outcome"), lambda asked: [])
    with pytest.raises(ValueError, match="look-ahead"):
        search(Search(value="outcome", lookahead=1))


def test_rows_are_the_nodes_table(tmp_path):
    from elenchus import tables

    trees, _ = search(BASE.model_copy(update={"simulations": 3}))
    rows = trees[0].rows()
    tables.write("nodes", rows, tmp_path / "n.parquet")
    table = tables.read("nodes", tmp_path / "n.parquet")
    assert table["parent"].tolist()[:3] == [-1, 0, 0] and table["node"].tolist() == list(range(len(rows)))
    assert table["visits"].iloc[0] == 3
    assert sum(table["tokens"]) == trees[0].sampled
    assert replace(trees[0].nodes[0]).depth == 0
