import hashlib
import random

import pytest
import torch

from elenchus import conversation, models, problems
from elenchus.critics import format as critique_format
from elenchus.engines import Completion
from elenchus.job import Cost
from elenchus.problems import chain
from elenchus.stages.seed_model import Params
from elenchus.training import pretrain, skills
from elenchus.training.curriculum import TASKS, Curriculum, prompt

TINY = {
    "options": {"modulus": 5, "min_length": 1, "max_length": 2},
    "width": 16,
    "layers": 1,
    "heads": 2,
    "context": 128,
    "batch": 8,
    "warmup_steps": 2,
    "drill_steps": 4,
    "solve_steps": 3,
    "mixture_steps": 5,
    "check_every": 2,
    "check_problems": 4,
    "card_problems": 8,
    "max_tokens": 24,
    "save_steps": 2,
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def curriculum(weight=10.0):
    options = chain.Options()
    vocab = models.new_tokenizer(chain.vocabulary(options)).get_vocab()
    return Curriculum(chain, options, vocab, (0.0, 0.5), weight)


# -- the data ---------------------------------------------------------------------------------------------------------


def test_prompts_are_those_of_the_chat_template():
    tokenizer = models.new_tokenizer(chain.vocabulary(chain.Options()))
    for messages, reply in [
        (conversation.solve("8 #1 - 7"), "assistant"),
        (conversation.critique("8 #1 - 7", "#1 8 - 7 = 1 answer 1"), "critic"),
        (conversation.refine("8 #1 - 7", "#1 8 - 7 = 2 answer 2", "#1 8 - 7 -> 1 2 bad result wrong"), "assistant"),
    ]:
        rendered = conversation.render(tokenizer, messages, reply)
        assert tokenizer(prompt(messages, reply))["input_ids"] == tokenizer(rendered)["input_ids"]


def test_only_completions_count_and_verdicts_count_more():
    example = curriculum().encode("<user> 8 #1 - 7 <critic>", "#1 8 - 7 -> 1 2 bad result wrong <end>")
    assert example.weights == (0,) * 6 + (1, 1, 1, 1, 1, 1, 1, 10, 1, 10, 1)
    assert len(example.ids) == len(example.weights)


def test_drills_count_what_can_be_predicted_alike():
    words = chain.drills(chain.Options(), random.Random(1)).completion.split()
    example = curriculum().example("drill", random.Random(1))
    assert set(example.weights) == {0.0, 1.0}
    assert all(example.weights[i] for i, word in enumerate(words) if word in ("good", "bad"))
    assert not any(example.weights[i] for i, word in enumerate(words) if word.startswith("#"))


def test_a_batch_depends_on_seed_and_step_only():
    shares = dict.fromkeys(TASKS, 1.0)
    one, again, later = (curriculum().batch(0, step, shares, 32) for step in (5, 5, 6))
    assert one == again != later
    assert sum(map(len, one.values())) == 32 and set(one) == set(TASKS)
    assert set(curriculum().batch(0, 5, {"drill": 1.0, "solve": 0.0}, 32)) == {"drill"}


@pytest.mark.parametrize("task", ["solve", "critique", "refine"])
def test_examples_are_right_and_of_the_train_split(task):
    made = curriculum()
    word = {i: w for w, i in made.vocab.items()}
    for seed in range(40):
        example = made.example(task, random.Random(seed))
        text = " ".join(word[i] for i in example.ids)
        question = text.split(" <assistant>")[0].removeprefix("<user> ")
        start, *links = question.split()
        problem = chain.build(int(start), [(op, int(b)) for op, b in zip(links[1::3], links[2::3])], 11)
        assert problem.prompt == question and problems.split_of(problem.id) == "train"
        completion = " ".join(word[i] for i, w in zip(example.ids, example.weights) if w).removesuffix(" <end>")
        if task == "critique":
            solution = chain.parse(problem, text.split("<assistant> ")[1].split(" <critic>")[0])
            said = critique_format.parse(completion, len(solution.steps), chain.error_types())
            assert said.first_error == problems.first_error(chain.check_steps(problem, list(solution.steps)))
        else:
            assert chain.check_answer(problem, chain.parse(problem, completion).answer)


# -- the skills -------------------------------------------------------------------------------------------------------


class Scripted:
    """An engine whose replies come from a function of the prompt."""

    def __init__(self, reply):
        self.reply = reply

    def sample(self, prompts, sampling, seed, n=1):
        return [[Completion((), self.reply(p, sampling, k), (), "end") for k in range(n)] for p in prompts]


def given(count):
    rng = random.Random(0)
    return [chain.generate(chain.Options(), rng) for _ in range(count)]


def solutions_of(drawn):
    """Of every four problems: two right solutions, one with a wrong step, one malformed."""
    texts = {}
    for i, problem in enumerate(drawn):
        steps = chain.reference(problem)
        if i % 4 == 2:
            *body, result = steps[-1].split()
            steps[-1] = " ".join([*body, str((int(result) + 1) % 11)])
        texts[problem.prompt] = "answer" if i % 4 == 3 else chain.render(problem, steps)
    return texts


def test_skills_by_hand():
    drawn = given(8)
    by_prompt, texts = {p.prompt: p for p in drawn}, solutions_of(drawn)

    def reply(asked, sampling, k):
        question = asked.split(" <assistant>")[0].removeprefix("<user> ")
        problem = by_prompt[question]
        if asked.endswith("<critic>"):
            assert sampling.temperature == 0
            steps = chain.parse(problem, texts[question]).steps
            checks = chain.check_steps(problem, list(steps))
            units = critique_format.from_checks(checks)
            # finds every error, and doubts the first problem's right solution
            if problem is drawn[0]:
                units[0] = critique_format.Unit(0, False, "result", "1 + 1", "2", "3")
            return critique_format.render(units)
        if "<critic>" in asked:
            return chain.render(problem, chain.reference(problem)) if problem is drawn[2] else texts[question]
        return texts[question] if k == 0 else chain.render(problem, chain.reference(problem))

    got = skills.measure(Scripted(reply), chain, drawn, seed=0, max_tokens=64)
    # right solutions: 0, 1, 4, 5, one of them doubted; wrong ones: 2, 6, both found, one mended
    assert got == {
        "pass@1": 0.5,
        "formed": 0.75,
        "f1": pytest.approx(2 * 1 * 0.75 / 1.75),
        "f1_wrong": 1.0,
        "f1_right": 0.75,
        "n_wrong": 2,
        "refine": 0.5,
    }
    assert skills.measure(Scripted(reply), chain, drawn, 0, 64, n=2)["pass@2"] == 1.0
    assert skills.solving(Scripted(reply), chain, drawn, 0, 64, n=2)[0]["pass@1"] == 0.75


def test_a_critic_that_never_says_bad_has_no_f1():
    drawn = given(8)
    texts = solutions_of(drawn)

    def reply(asked, sampling, k):
        question = asked.split(" <assistant>")[0].removeprefix("<user> ")
        if asked.endswith("<critic>"):
            problem = next(p for p in drawn if p.prompt == question)
            count = len(chain.parse(problem, texts[question]).steps)
            units = [critique_format.Unit(i, True, "", "1 + 1", "2", "2") for i in range(count)]
            return critique_format.render(units)
        return texts[question]

    got = skills.measure(Scripted(reply), chain, drawn, 0, 64)
    assert (got["f1"], got["f1_wrong"], got["f1_right"], got["refine"]) == (0.0, 0.0, 1.0, 0.0)


# -- the steering -----------------------------------------------------------------------------------------------------


def test_the_mixture_leans_away_from_what_is_good_enough():
    p = Params(windows={"solve": (0.4, 0.6), "critique": (0.4, 0.6), "refine": (0.5, 0.9)}, least_share=0.1)
    leaned = pretrain.lean(p, {"pass@1": 0.5, "f1": 0.2, "refine": 0.95})
    assert leaned == pytest.approx({"drill": 0.2, "solve": 0.17 * 0.5, "critique": 0.35, "refine": 0.028})


def test_phases_end_at_their_gates_and_windows():
    p = Params(windows={"solve": (0.4, 0.6), "critique": (0.4, 0.6), "refine": (0.5, 0.9)})
    assert pretrain.passed(p, "drill", {"drill": 0.9}) and not pretrain.passed(p, "drill", {"drill": 0.89})
    assert pretrain.passed(p, "solve", {"pass@1": 0.35}) and not pretrain.passed(p, "solve", {"pass@1": 0.34})
    inside = {"pass@1": 0.5, "f1": 0.5, "refine": 0.7, "formed": 0.9}
    assert pretrain.passed(p, "mixture", inside)
    for outside in ({"pass@1": 0.61}, {"f1": 0.39}, {"refine": 0.95}, {"formed": 0.7}):
        assert not pretrain.passed(p, "mixture", inside | outside)


def test_the_nearest_check_is_kept():
    p = Params(windows={"solve": (0.4, 0.6), "critique": (0.4, 0.6), "refine": (0.5, 0.9)}, least_formed=0.8)
    inside = {"pass@1": 0.5, "f1": 0.5, "refine": 0.7, "formed": 0.9}
    assert pretrain.miss(p, inside) == 0
    assert pretrain.miss(p, inside | {"pass@1": 0.7, "f1": 0.1, "formed": 0.75}) == pytest.approx(0.1 + 0.3 + 0.05)
    run, model = pretrain.Run(Cost()), torch.nn.Linear(1, 1)
    for step, missed in enumerate([0.5, 0.2, 0.3, 0.2]):
        run.step = step
        model.weight.data.fill_(step)
        pretrain.keep_nearest(run, model, missed)
    assert run.extra == {"miss": 0.2, "kept_step": 1} and run.best["weight"].item() == 1


def test_params_are_complete_and_known():
    assert Params().options == chain.Options().model_dump(mode="json")
    assert Params(options={"modulus": 7}).options["modulus"] == 7
    for wrong in ({"options": {"modulo": 7}}, {"shares": {"solve": 1.0}}, {"width": 20, "heads": 4}, {"phases": 3}):
        with pytest.raises(ValueError):
            Params(**wrong)


# -- the training -----------------------------------------------------------------------------------------------------


def trained(folder, seed=0, stop_at=None, **params):
    """Train a tiny seed model; return (digest of its weights, history, card), or stop as a kill would."""
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)

    def progress(done, total, told):
        if done == stop_at:
            raise KeyboardInterrupt

    pupil, run, card = pretrain.train(Params(**{**TINY, **params}), seed, work, Cost(), progress)
    weights = [tensor.numpy().tobytes() for _, tensor in sorted(pupil.model.state_dict().items())]
    return hashlib.sha256(b"".join(weights)).hexdigest(), run.rows(), card


@pytest.mark.parametrize("stop_at", [5, 8, 11])
def test_a_killed_training_resumes_to_the_same_bytes(tmp_path, stop_at):
    straight = trained(tmp_path / "straight")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed", stop_at=stop_at)
    assert list((tmp_path / "killed" / "work").glob("checkpoint-*"))
    assert trained(tmp_path / "killed") == straight
    assert straight[2]["steps"] == {"drill": 4, "solve": 3, "mixture": 5}


def test_another_seed_is_another_model(tmp_path):
    assert trained(tmp_path / "a", seed=1)[0] != trained(tmp_path / "b", seed=2)[0]


def test_history_and_card_say_what_was_measured(tmp_path):
    _, rows, card = trained(tmp_path)
    assert [row["step"] for row in rows if row["metric"] == "loss"] == list(range(1, 13))
    assert [row["step"] for row in rows if row["metric"] == "drill"] == [2, 4]
    assert [row["step"] for row in rows if row["metric"] == "f1"] == [8, 10, 12]
    assert set(card["skills"]) >= {"pass@1", "pass@32", "formed", "f1", "f1_wrong", "f1_right", "refine"}
    assert card["problems"] == {"skills": 8, "pass@32": 2} and card["kept_step"] in (8, 10, 12) and card["miss"] > 0


def test_drills_teach(tmp_path):
    params = {
        "drill_steps": 200,
        "drill_gate": 2.0,
        "solve_steps": 1,
        "mixture_steps": 1,
        "batch": 16,
        "muon_rate": 0.02,
        "check_every": 40,
        "width": 32,
    }
    _, rows, _ = trained(tmp_path, **params, options={"modulus": 3, "min_length": 1, "max_length": 1})
    skill = [row["value"] for row in rows if row["metric"] == "drill"]
    assert skill[-1] > skill[0] + 0.2 and skill[-1] > 0.6


def test_countdown_trains_by_the_same_path(tmp_path):
    options = {"min_numbers": 3, "max_numbers": 3, "max_number": 5, "max_value": 12}
    _, rows, card = trained(tmp_path, family="countdown", options=options)
    assert card["family"] == "countdown" and all(row["value"] == row["value"] for row in rows)


def test_training_and_validation_problems_do_not_meet():
    pupil = pretrain.Pupil(Params(**TINY), seed=0)
    assert {problems.split_of(p.id) for p in [*pupil.few, *pupil.many, *pupil.fresh]} == {"validation"}
    assert pupil.many != pupil.fresh


def test_the_end_is_confirmed_on_many_problems(monkeypatch):
    p = Params(**TINY)
    pupil, asked = pretrain.Pupil(p, seed=0), []

    def measure(engine, family, given, seed, limit):
        asked.append(given)
        return {"pass@1": 0.5, "f1": 0.5 if given == pupil.few else 0.1, "refine": 0.7, "formed": 0.9}

    monkeypatch.setattr(skills, "measure", measure)
    measured = pupil.check(pretrain.Run(Cost()), "mixture")
    assert asked == [pupil.few, pupil.many] and not pretrain.passed(p, "mixture", measured)
