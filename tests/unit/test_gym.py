"""The family gym on Reasoning Gym's own tasks: entries, verifiers, pieces, what is refused. `make test-gym` runs these."""

from __future__ import annotations

import inspect
import json
import random
import subprocess
import sys

import pytest
from pydantic import ValidationError

from elenchus import pieces, problems
from elenchus.critics import format as critique_format
from elenchus.critics import oracle
from elenchus.critics.drafts import Draft
from elenchus.errors import UserError
from elenchus.problems import Check, gym
from elenchus.worlds import gym_tasks

QUICK = (
    "ab",
    "acre",
    "basic_arithmetic",
    "binary_alternation",
    "bitwise_arithmetic",
    "calendar_arithmetic",
    "chain_sum",
    "count_bits",
    "dice",
    "fraction_simplification",
    "gcd",
    "isomorphic_strings",
    "largest_island",
    "lcm",
    "leg_counting",
    "letter_counting",
    "maze",
    "number_filtering",
    "number_format",
    "number_sorting",
    "power_function",
    "prime_factorization",
    "products",
    "string_manipulation",
    "syllogism",
    "time_intervals",
)


# -- without the library -----------------------------------------------------------------------------------------------


def test_without_the_library_the_line_to_paste_is_said(monkeypatch):
    gym_tasks.made.cache_clear()
    monkeypatch.setitem(sys.modules, "reasoning_gym.factory", None)
    with pytest.raises(UserError, match=r"not installed.*make gym"):
        gym.Options()
    with pytest.raises(UserError, match=r"pip install 'elenchus\[gym\]'"):
        problems.full_options("gym", {"task": "gcd"})


def test_the_module_imports_without_the_library():
    code = "import sys; sys.modules['reasoning_gym'] = None; from elenchus.problems import gym; print(gym.ERRORS)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout


# -- entries and verifiers ---------------------------------------------------------------------------------------------


@pytest.mark.gym
def test_an_answer_by_hand():
    problem = gym.build("chain_sum", {"max_terms": 2, "max_digits": 1}, seed=4)
    assert problem.prompt.startswith("State ␣the ␣final ␣answer ␣to") and problem.meta["seed"] == 4
    question = pieces.read(problem.prompt).split(": ")[1].removesuffix(" =")
    assert int(problem.answer) == eval(question)
    written = f"{pieces.write(problem.answer)} = answer"
    assert gym.reference(problem) == [written] and gym.parse(problem, written).answer == problem.answer
    assert gym.check_answer(problem, problem.answer) and gym.check_answer(
        problem, f"{problem.answer}.0"
    )  # the task's own ways
    assert not gym.check_answer(problem, f"{problem.answer}1") and not gym.check_answer(problem, "")
    assert gym.distance(problem, []) == 1 and gym.distance(problem, [written]) == 0
    assert gym.distance(problem, ["9 9 9 = answer"]) is None and gym.distance(problem, [written, written]) is None


@pytest.mark.gym
def test_step_checks_show_where_the_answers_part():
    problem = gym.build("products", {"min_digits": 2, "max_digits": 2}, seed=1)
    right = problem.answer
    assert len(right) >= 3
    said = f"{right[0]}{(int(right[1]) + 1) % 10}{right[2:]}"
    spelled = " ".join(right)

    def judged(words):
        return gym.check_steps(problem, [f"{words} = answer"])

    assert judged(" ".join(said)) == [Check(False, "answer", spelled, right[1], said[1])]
    assert judged(" ".join(right[:-1])) == [Check(False, "answer", spelled, right[-1], "none")]
    assert judged(spelled) == [Check(True, "", spelled, right[-1], right[-1])]
    for unreadable in ("1 12 = answer", spelled, "= answer"):
        assert gym.check_steps(problem, [unreadable]) == [Check(False, "format", "none", right[0], "none")]
    more = gym.check_steps(problem, [f"{spelled} = answer", "7 = answer"])
    assert more[1] == Check(False, "format", "none", "none", "none")


@pytest.mark.gym
def test_a_critic_that_misses_an_error_does_not_give_the_answer_away():
    problem = gym.build("products", {"min_digits": 2, "max_digits": 2}, seed=1)
    wrong = gym.corrupt(problem, random.Random(0), 1.0)
    text = gym.render(problem, wrong)
    draft = Draft("s", problem, text, tuple(wrong), False, 0)
    row = oracle.criticise(draft, "blind", oracle.Dials(miss_rate=1.0), seed=0)
    said = gym.check_steps(problem, wrong)[0].claimed
    assert row["text"] == f"#1 {text.removesuffix(' = answer')} -> {said} {said} good right"


@pytest.mark.gym
@pytest.mark.parametrize("task", QUICK)
def test_any_task_keeps_the_contract(task):
    options, rng, wrong = gym.Options(task=task), random.Random(3), 0
    words = set(gym.vocabulary(options))
    for _ in range(8):
        problem = gym.generate(options, rng)
        again = gym_tasks.drawn.__wrapped__(task, options.settings(), problem.meta["seed"])[1]
        assert pieces.read(problem.prompt) == again["question"] and problem.answer == again["answer"]
        steps, spoilt = gym.reference(problem), gym.corrupt(problem, rng, 1.0)
        assert gym.check_answer(problem, gym.parse(problem, gym.render(problem, steps)).answer)
        wrong += not gym.check_answer(problem, gym.parse(problem, gym.render(problem, spoilt)).answer)
        for given in (steps, spoilt):
            text = critique_format.render(critique_format.from_checks(gym.check_steps(problem, given)))
            assert critique_format.parse(text, 1, gym.ERRORS).parsed
            assert set(f"{problem.prompt} {gym.render(problem, given)} {text}".split()) <= words
        drill = gym.drills(options, rng)
        assert len(drill.predictable) == len(drill.completion.split()) and set(drill.completion.split()) <= words
        plain = gym.build(task, {}, problem.meta["seed"], "plain")
        assert plain.prompt.startswith(again["question"]) and plain.id == problem.id
        solution = gym.parse(plain, f"Let me see: <answer>no</answer> or so. {gym.reference(plain)[0]}")
        assert solution.answer == problem.answer.strip() and gym.check_answer(plain, problem.answer)
        units = critique_format.from_checks(gym.check_steps(plain, gym.corrupt(plain, rng, 1.0)))
        assert critique_format.parse(critique_format.render(units), 1, gym.ERRORS).parsed
    assert wrong == 8


@pytest.mark.gym
def test_plain_text_without_an_answer_is_no_solution():
    problem = gym.build("gcd", {}, 5, "plain")
    assert gym.parse(problem, "it is 3") == problems.Solution((), "", False)
    with pytest.raises(UserError, match="pretrained model"):
        gym.vocabulary(gym.Options(task="gcd", text="plain"))


@pytest.mark.gym
def test_splits_are_by_question_whatever_the_configuration():
    small = {gym.build("gcd", {"max_value": 6}, seed).id: seed for seed in range(60)}
    large = {gym.build("gcd", {"max_value": 7}, seed).id for seed in range(60)}
    assert small.keys() & large and len(small) < 60  # the same question has the same id
    rows = [gym.build("gcd", {"max_value": 6}, seed) for seed in small.values()]
    assert len({p.prompt for p in rows}) == len(rows)


@pytest.mark.gym
def test_the_same_problems_in_another_process():
    code = (
        "import random; from elenchus.problems import gym; rng = random.Random(7); o = gym.Options(task='number_sorting');"
        "p = [gym.generate(o, rng) for _ in range(3)];"
        "print([(q.prompt, gym.corrupt(q, rng, 0.5), gym.drills(o, rng)) for q in p])"
    )
    said = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in "ab"
    }
    assert len(said) == 1


@pytest.mark.gym
def test_a_verifier_that_fails_rejects(monkeypatch):
    problem = gym.build("products", {}, 12)

    def fail(answer, entry):
        raise ZeroDivisionError

    monkeypatch.setattr(gym_tasks.drawn("products", "{}", 12)[0], "score_answer", fail)
    assert gym.check_answer(problem, "an answer not asked about before") is False
    gym_tasks.right.cache_clear()


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.gym
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"task": "gdc"}, "did you mean 'gcd'"),
        ({"task": "countdown"}, "as a Python expression"),
        ({"task": "gcd", "config": {"max_valu": 9}}, "did you mean 'max_value'.*its keys: min_numbers"),
        ({"task": "gcd", "config": {"seed": 9}}, "no configuration key 'seed'"),
        ({"task": "gcd", "config": {"max_value": 0}}, "refused: max_value must be > min_value"),
        ({"task": "gcd", "config": {"max_value": "many"}}, "refused"),
        ({"task": "basic_arithmetic", "config": {"operators": 5}}, "refused: .*not iterable"),
        ({"task": "word_sorting", "config": {"transformation": "wide"}}, "refused: 'wide' is not a valid"),
        ({"task": "sudoku", "small": True}, "no small configuration of 'sudoku'"),
        ({"tusk": "gcd"}, "Extra inputs"),
    ],
)
def test_wrong_options_are_said_plainly(given, said):
    with pytest.raises(ValidationError, match=said):
        gym.Options(**given)


@pytest.mark.gym
def test_configurations_are_as_yaml_can_say_them():
    options = gym.Options(task="basic_arithmetic", config={"operators": ["+"], "max_terms": 2, "min_terms": 2})
    problem = gym.generate(options, random.Random(0))
    assert "+" in problem.prompt and json.loads(json.dumps(problem.meta)) == problem.meta
    upper = gym.Options(task="word_sorting", config={"transformation": "uppercase"})
    assert gym.generate(upper, random.Random(0)).answer.isupper()


@pytest.mark.gym
def test_tasks_without_reference_answers_are_said_plainly():
    with pytest.raises(UserError, match="'graph_color' gives no reference answers"):
        gym.generate(gym.Options(task="graph_color"), random.Random(0))


@pytest.mark.gym
def test_a_configuration_that_the_library_trips_over_is_said_plainly():
    options = gym.Options(task="complex_arithmetic", config={"operations": ["+"]})
    with pytest.raises(UserError, match=r"'complex_arithmetic' makes no entry of seed .*weights"):
        gym.generate(options, random.Random(0))


@pytest.mark.gym
def test_every_task_that_evaluates_answers_is_left_out():
    found = set()
    for name, (datasets, _) in gym_tasks.library().items():
        source = inspect.getsource(datasets.score_answer)
        if any(word in source for word in ("eval(answer", "parse_expr(answer", "exec(answer", "sympify(answer")):
            found.add(name)
    assert found == set(gym_tasks.EVALUATES)


@pytest.mark.gym
@pytest.mark.parametrize("task", gym_tasks.SMALL)
def test_small_tasks_have_problems_enough_in_every_split(task):
    options, rng = gym.Options(task=task, small=True), random.Random(1)
    ids = {gym.generate(options, rng).id for _ in range(400)}
    assert {problems.split_of(i) for i in ids} == {"train", "validation", "test"} and len(ids) >= 250
