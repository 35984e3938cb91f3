"""Every stage kind around critics, rounds and evaluation, run on small tables as a job would run it."""

import json
import random

import pytest

from elenchus import graph, schemas, stages, tables
from elenchus.errors import UserError
from elenchus.job import Job, Result, file_entries
from elenchus.problems import chain, first_error

KINDS = ("critique", "refine", "aggregate", "pairs", "score", "balance", "select", "examples", "evaluate", "summary")
OPTIONS = chain.Options(max_length=4)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    return Workshop(tmp_path_factory.mktemp("stages"))


class Workshop:
    """Runs kinds on results of each other."""

    def __init__(self, folder):
        self.folder, self.count = folder, 0

    def result(self, **content):
        """Return a result that holds the given tables."""
        out = self.new()
        for name, rows in content.items():
            tables.write(name, rows, out / f"{name}.parquet")
        return self.close(out)

    def new(self):
        self.count += 1
        out = self.folder / str(self.count)
        out.mkdir()
        return out

    def close(self, out):
        (out / "stage.json").write_text(json.dumps({"files": file_entries(out)}))
        return Result(out)

    def run(self, kind, params=None, seed=7, **inputs):
        """Return (result, job) of one run."""
        out = self.new()
        module = stages.load(kind)
        job = Job(kind, module.Params.model_validate(params or {}), seed, inputs, out, out.with_suffix(".work"))
        module.run(job)
        for name in module.OUTPUTS:
            assert any(p.name in (name, f"{name}.parquet") for p in out.iterdir()), (kind, name)
        return self.close(out), job

    def model(self):
        from elenchus import models

        out = self.new()
        tokenizer = models.new_tokenizer(chain.vocabulary(OPTIONS))
        network = models.new_model(len(tokenizer), width=32, layers=1, heads=2, context=192, seed=0)
        models.save(network, tokenizer, out / "model")
        return self.close(out)


def solution_row(problem, steps, sample, temperature=1.0):
    text = chain.render(problem, steps)
    checks = chain.check_steps(problem, steps)
    first = first_error(checks)
    return {
        "solution_id": f"{problem.id}-{temperature}.{sample}",
        "problem_id": problem.id,
        "family": "chain",
        "sample": sample,
        "temperature": temperature,
        "text": text,
        "steps": steps,
        "answer": text.split()[-1],
        "parsed": True,
        "correct": text.split()[-1] == problem.answer,
        "first_error": first,
        "error": "" if first < 0 else checks[first].error,
        "finish": "end",
        "tokens": len(text.split()),
        "logprob": -1.0,
    }


def drawn_problems(n=12):
    rng = random.Random(1)
    return list({p.id: p for p in (chain.generate(OPTIONS, rng) for _ in range(n))}.values())


@pytest.fixture(scope="module")
def base(workshop):
    """Problems, and four solutions each: sample 0 exact, the others with errors; the last of all is unparsed."""
    rng = random.Random(2)
    problems = drawn_problems()
    rows = [
        solution_row(p, chain.reference(p) if i == 0 else chain.corrupt(p, rng, 0.3), i)
        for p in problems
        for i in range(4)
    ]
    rows[-1] |= {
        "text": "8 #1",
        "steps": [],
        "answer": "",
        "parsed": False,
        "correct": False,
        "first_error": -1,
        "error": "",
    }
    frame = [
        {
            "problem_id": p.id,
            "family": "chain",
            "split": "test",
            "prompt": p.prompt,
            "answer": p.answer,
            "meta": json.dumps(p.meta),
        }
        for p in problems
    ]
    return {"problems": workshop.result(problems=frame), "solutions": workshop.result(solutions=rows)}


DIALS = {
    "exact": {},
    "blind": {"blind": ["result"]},
    "nervous": {"false_alarm_rate": 0.3, "wrong_fix_rate": 0.3},
    "sleepy": {"miss_rate": 0.6},
}


@pytest.fixture(scope="module")
def taught(workshop, base):
    return {
        name: workshop.run("critique", {"source": "oracle", "critic": name, **dials}, **base)[0]
        for name, dials in DIALS.items()
    }


def metric(result, name):
    frame = result.table("metrics").set_index("metric")
    return frame.loc[name, "value"]


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_keep_to_the_contract(kind):
    module = stages.load(kind)
    assert all(f.description for f in module.Params.model_fields.values())
    assert set(module.OUTPUTS) <= set(schemas.SCHEMAS) | {o for o in module.OUTPUTS if o.endswith(".json")}
    params = {"labels": [{"arm": "a", "seed": 0}]} if kind == "summary" else {}
    filled = module.Params.model_validate(params)
    estimate = module.estimate(filled, {"solutions": 10, "critiques": 10})
    assert estimate.rows >= 1 and estimate.trained == 0
    graph.canonical(filled.model_dump(mode="json"))


def test_oracle_critiques_are_as_good_as_their_dials(workshop, base, taught):
    frame = taught["exact"].table("critiques")
    assert len(frame) == len(base["solutions"].table("solutions")) - 1  # not of the unparsed one
    scores = {n: workshop.run("evaluate", {"which": "critic"}, critiques=c, **base)[0] for n, c in taught.items()}
    for name in ("first_error_f1", "unit_precision", "unit_recall", "fix_accuracy", "verdict_accuracy_right"):
        assert metric(scores["exact"], name) == 1.0
    assert metric(scores["exact"], "ece") == metric(scores["exact"], "brier") == 0.0
    assert metric(scores["blind"], "unit_precision") == 1.0 > metric(scores["blind"], "unit_recall")
    assert metric(scores["nervous"], "unit_recall") == 1.0 > metric(scores["nervous"], "unit_precision")
    assert metric(scores["nervous"], "fix_accuracy") < 1.0
    assert 0 < metric(scores["sleepy"], "acc_error") < 1.0 == metric(scores["sleepy"], "acc_correct")


def test_source_and_input_must_fit(workshop, base):
    with pytest.raises(UserError, match="needs input `critic`"):
        workshop.run("critique", {"source": "model"}, **base)
    with pytest.raises(UserError, match="did you mean 'carry'"):
        workshop.run("critique", {"source": "oracle", "blind": ["cary"]}, **base)


def test_runs_repeat_and_seeds_differ(workshop, base):
    params = {"source": "oracle", "miss_rate": 0.5}
    texts = [list(workshop.run("critique", params, seed=s, **base)[0].table("critiques")["text"]) for s in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_aggregation_by_units_beats_every_single_teacher_and_the_union(workshop, base, taught):
    # without the exact teacher: each of the rest misses or invents something
    rest = [taught[n] for n in ("blind", "nervous", "sleepy")]
    merged, job = workshop.run("aggregate", {}, critiques=rest, **base)
    f1 = {}
    for method in ("units", "union", "majority"):
        made, _ = workshop.run("aggregate", {"method": method}, critiques=rest, **base)
        assert made.table("critiques")["parsed"].all()
        f1[method] = metric(workshop.run("evaluate", {"which": "critic"}, critiques=made, **base)[0], "unit_f1")
    assert f1["units"] > max(f1["union"], f1["majority"])
    units = merged.table("units")
    steps = base["solutions"].table("solutions").query("parsed")["steps"].map(len).sum()
    assert job.cost.oracle_calls == len(units) == 3 * steps
    assert set(units.loc[~units["kept"], "severity"]) <= {2.0, 3.0, 4.0}
    with pytest.raises(UserError, match="no critic 'nobody'; critics: blind, nervous, sleepy"):
        workshop.run("aggregate", {"method": "single", "single": "nobody"}, critiques=rest, **base)
    single, _ = workshop.run("aggregate", {"method": "single", "single": "blind"}, critiques=rest, **base)
    assert list(single.table("critiques")["text"]) == list(taught["blind"].table("critiques")["text"])
    with pytest.raises(UserError, match="give each critic a name of its own"):
        workshop.run("aggregate", {}, critiques=[rest[0], rest[0]], **base)


def test_pairs_by_severity_are_right_with_an_exact_judge_and_less_so_with_a_noisy_one(workshop, base, taught):
    critiques = list(taught.values())
    accuracy = {}
    for noise in (0.0, 0.5):
        units, _ = workshop.run("aggregate", {"judge_noise": noise}, critiques=critiques, **base)
        made, _ = workshop.run("pairs", {}, critiques=critiques, units=units, **base)
        said = json.loads(made.file("pairs.json").read_text())
        frame = made.table("pairs")
        assert said["pairs"] == len(frame) > 20 and not said["filtered"] and frame["kept"].all()
        assert (frame["margin"] > 0).all() and (frame["chosen"] != frame["rejected"]).all()
        accuracy[noise] = said["labels_before"]["accuracy"]
    assert accuracy[0.0] == 1.0 > accuracy[0.5]
    ruled, _ = workshop.run("pairs", {"rule": "jaccard", "judge_noise": 0.0, "most": 1}, critiques=critiques, **base)
    assert ruled.table("pairs")["solution_id"].is_unique
    assert json.loads(ruled.file("pairs.json").read_text())["labels_before"]["accuracy"] > 0.8
    with pytest.raises(UserError, match="needs the input `units`"):
        workshop.run("pairs", {}, critiques=critiques, **base)


def test_model_stages_run_and_repeat(workshop, base, taught):
    model = workshop.model()
    sampling = {"max_tokens": 20, "batch_size": 16}
    written, job = workshop.run("critique", {"critic": "m", "n": 2, **sampling}, critic=model, **base)
    again, _ = workshop.run("critique", {"critic": "m", "n": 2, **sampling}, critic=model, **base)
    frame = written.table("critiques")
    assert frame["text"].tolist() == again.table("critiques")["text"].tolist()
    assert frame["critique_id"].is_unique and not frame["parsed"].any()  # an untrained model
    assert job.cost.sampled >= frame["tokens"].sum() > 0 and job.cost.prompt > 0
    scores, _ = workshop.run("evaluate", {"which": "critic"}, critiques=written, **base)
    assert (
        metric(scores, "first_error_f1")
        == metric(scores, "critiques_parsed")
        == metric(scores, "vote_first_error_f1")
        == 0
    )
    assert "brier" not in set(scores.table("metrics")["metric"])

    kept, job = workshop.run("refine", sampling, reviser=model, critiques=written, **base)
    assert job.cost.sampled == 0  # nothing readable to follow
    revised, job = workshop.run(
        "refine", {"n": 2, "temperature": 1.0, **sampling}, reviser=model, critiques=taught["exact"], **base
    )
    frame = revised.table("refinements")
    assert len(frame) == 2 * len(taught["exact"].table("critiques")) and frame["refinement_id"].is_unique
    assert job.cost.sampled > 0
    scores, _ = workshop.run("evaluate", {"which": "correction"}, refinements=kept, **base)
    assert (
        metric(scores, "acc1") == metric(scores, "acc2") and metric(scores, "cl") == 1.0 and metric(scores, "cs") == 0.0
    )

    units, _ = workshop.run("aggregate", {}, critiques=list(taught.values()), **base)
    made, job = workshop.run(
        "pairs",
        {"samples": 2, "most": 1, **sampling},
        critiques=list(taught.values()),
        units=units,
        revisers=[model],
        **base,
    )
    said = json.loads(made.file("pairs.json").read_text())
    assert said["filtered"] and said["kept"] == made.table("pairs")["kept"].sum()
    assert job.cost.oracle_calls > 0

    scored, _ = workshop.run("score", sampling, critic=model, **base)
    assert set(scored.table("scores")["score"]) == {0.0, 0.5}


def test_refine_when_wrong_keeps_what_the_critic_calls_right(workshop, base, taught):
    model = workshop.model()
    revised, _ = workshop.run(
        "refine", {"when": "wrong", "max_tokens": 8}, reviser=model, critiques=taught["exact"], **base
    )
    frame = revised.table("refinements")
    sound = base["solutions"].table("solutions").query("parsed and first_error == -1")["solution_id"]
    kept = frame[frame["solution_id"].isin(sound)]
    assert kept["correct"].all() and (kept["tokens"] == 0).all()
    assert (frame.loc[~frame["solution_id"].isin(sound), "tokens"] > 0).all()


@pytest.fixture(scope="module")
def scores(workshop, base):
    return workshop.run("score", {}, **base)[0]


def test_exact_scores_and_their_noise(workshop, base, scores):
    exact = scores.table("scores").merge(base["solutions"].table("solutions"), on="solution_id")
    sound = exact["parsed"] & (exact["first_error"] == -1)
    assert (exact["score"] == sound).all()
    turned = workshop.run("score", {"flip": 1.0, "aggregate": "mean"}, **base)[0].table("scores")
    assert all(sum(a) + sum(b) == len(a) for a, b in zip(exact["step_scores"], turned["step_scores"], strict=True))
    blurred = workshop.run("score", {"blur": 0.5}, **base)[0].table("scores")
    assert blurred["score"].between(0, 1).all() and blurred["score"].nunique() > 5


def test_selection_by_answer_and_process_score(workshop, base, scores):
    chosen, _ = workshop.run("select", {"threshold": 1.0}, scores=scores, **base)
    said = json.loads(chosen.file("selection.json").read_text())
    assert said["share_right_answers"] == 1.0 and said["share_wrong_steps"] == said["share_with_wrong_step"] == 0.0
    assert said["problems_kept"] == said["problems"] == len(base["problems"].table("problems"))
    loose = json.loads(workshop.run("select", {"threshold": -2.0}, **base)[0].file("selection.json").read_text())
    assert loose["share_with_wrong_step"] > 0 and loose["candidates"] == 4 * loose["problems"] - 1
    frame = chosen.table("examples")
    assert set(frame["reply"]) == {"assistant"} and json.loads(frame["prompt"][0])[0]["role"] == "user"
    with_reference = workshop.run("select", {"threshold": 0.5, "reference": True, "wanted": 5}, **base)[0].table(
        "examples"
    )
    assert len(with_reference) == 5


def test_a_setting_overrides_the_threshold(workshop, base, scores):
    out = workshop.new()
    (out / "settings.json").write_text(json.dumps({"temperature": 0.7, "threshold": 99.0}))
    chosen, _ = workshop.run("select", {"threshold": -5.0}, scores=scores, setting=workshop.close(out), **base)
    assert len(chosen.table("examples")) == 0
    assert json.loads(chosen.file("selection.json").read_text())["threshold"] == 99.0


def test_balance_takes_the_temperature_whose_samples_are_right_and_different(workshop, base):
    problems = drawn_problems()
    rng = random.Random(0)
    rows = []
    for p in problems:
        for i in range(4):
            rows.append(solution_row(p, chain.reference(p), i, 0.5))  # right, always the same
            rows.append(solution_row(p, chain.corrupt(p, rng, 0.9), i, 1.5))  # different, mostly wrong
    pool = workshop.result(solutions=rows)
    scored, _ = workshop.run("score", {}, solutions=pool, problems=base["problems"])
    grid = {"temperatures": [0.5, 1.5], "thresholds": [-1.5, 0.0], "target": 2}
    made, _ = workshop.run("balance", grid, solutions=pool, scores=scored)
    said = json.loads(made.file("settings.json").read_text())
    # four equal right ones a problem are one: min(1 / 2, 1) * 1 / 1
    assert (said["temperature"], said["threshold"]) == (0.5, 0.0)
    assert said["balance_score"] == pytest.approx(0.5)
    assert len(said["grid"]) == 4
    more = json.loads(
        workshop.run("balance", {**grid, "samples": 8, "target": 4}, solutions=pool, scores=scored)[0]
        .file("settings.json")
        .read_text()
    )
    assert more["target"] == 2
    with pytest.raises(UserError, match=r"sampled at temperatures \[0.5, 1.5\]"):
        workshop.run("balance", {**grid, "temperatures": [0.5]}, solutions=pool, scores=scored)
    with pytest.raises(UserError, match="scores are of other solutions"):
        workshop.run("balance", grid, solutions=pool, scores=workshop.run("score", {}, **base)[0])


def test_examples_of_every_kind(workshop, base, taught):
    problems = base["problems"]
    of_references, _ = workshop.run("examples", {}, problems=problems)
    assert len(of_references.table("examples")) == len(problems.table("problems"))
    right, _ = workshop.run("examples", {"keep": "right"}, **base)
    assert len(right.table("examples")) == base["solutions"].table("solutions")["correct"].sum()
    sleepy = taught["sleepy"]
    every, _ = workshop.run("examples", {}, critiques=sleepy, **base)
    exact, _ = workshop.run("examples", {"keep": "exact"}, critiques=sleepy, **base)
    verdict, _ = workshop.run("examples", {"keep": "verdict"}, critiques=sleepy, **base)
    assert len(every.table("examples")) > len(verdict.table("examples")) >= len(exact.table("examples")) > 0
    first = json.loads(every.table("examples")["prompt"][0])
    assert [m["role"] for m in first] == ["user", "assistant"] and set(every.table("examples")["reply"]) == {"critic"}
    few, _ = workshop.run("examples", {"limit": 3}, critiques=sleepy, **base)
    assert len(few.table("examples")) == 3
    with pytest.raises(UserError, match="keep 'mended' says nothing of critiques; rules for them: all, exact"):
        workshop.run("examples", {"keep": "mended"}, critiques=sleepy, **base)

    model = workshop.model()
    revised, _ = workshop.run("refine", {"when": "wrong", "max_tokens": 8}, reviser=model, critiques=sleepy, **base)
    made, _ = workshop.run("examples", {"keep": "kept_right"}, critiques=sleepy, refinements=revised, **base)
    assert [m["role"] for m in json.loads(made.table("examples")["prompt"][0])] == ["user", "assistant", "critic"]
    mends, _ = workshop.run(
        "examples", {"of": "critiques", "keep": "mends"}, critiques=sleepy, refinements=revised, **base
    )
    assert len(mends.table("examples")) == revised.table("refinements")["correct"].sum()
    both, _ = workshop.run(
        "examples", {"of": "critiques", "keep": "verdict_and_mends"}, critiques=sleepy, refinements=revised, **base
    )
    kept = [set(e.table("examples")["example_id"]) for e in (verdict, mends, both)]
    assert kept[2] == kept[0] & kept[1] != kept[0]


def test_policy_metrics_by_hand(workshop, base):
    got, _ = workshop.run("evaluate", {"s": [2]}, **base)
    frame = base["solutions"].table("solutions")
    assert metric(got, "pass@1") == pytest.approx(frame["correct"].mean())
    assert metric(got, "accuracy") == pytest.approx(frame["correct"].mean())
    assert metric(got, "pass@4") == 1.0  # sample 0 is the exact solution
    different = frame[frame["correct"]].groupby("problem_id")["text"].nunique()
    assert metric(got, "pass@4-2") == pytest.approx((different >= 2).mean())
    rows = got.table("metrics").set_index("metric")
    assert set(rows.index) >= {"pass@1", "pass@2", "pass@4", "majority@4", "diversity", "sound", "parsed", "tokens"}
    assert (rows["low"] <= rows["value"]).all() and (rows["value"] <= rows["high"]).all()
    with pytest.raises(UserError, match="ks holds 32, but a problem has 4 solutions"):
        workshop.run("evaluate", {"ks": [1, 32]}, **base)
    with pytest.raises(UserError, match="needs the input `critiques`"):
        workshop.run("evaluate", {"which": "critic"}, **base)


def test_scores_rank_the_best_first(workshop, base, scores):
    got, _ = workshop.run("evaluate", {}, scores=scores, **base)
    assert metric(got, "best@4") == 1.0 > metric(got, "pass@1")


def test_summary_pairs_arms_over_seeds(workshop, base, taught):
    def evaluations(dials):
        critiques = [workshop.run("critique", {"source": "oracle", **dials}, seed=s, **base)[0] for s in range(3)]
        return [workshop.run("evaluate", {"which": "critic"}, critiques=c, **base)[0] for c in critiques]

    policy = [workshop.run("evaluate", {}, **base)[0]] * 3
    given = evaluations({"miss_rate": 0.1}) + evaluations({"miss_rate": 0.8}) + policy
    labels = [{"arm": a, "round": 1, "seed": s, "subject": "critic"} for a in ("good", "bad") for s in range(3)]
    labels += [{"arm": "good", "round": 1, "seed": s, "subject": "critic"} for s in range(3)]  # joined: other metrics
    better, than = ({"arm": a, "round": 1, "subject": "critic"} for a in ("good", "bad"))
    asked = [{"name": "misses hurt", "metric": "first_error_f1", "better": better, "than": than}]
    made, _ = workshop.run("summary", {"labels": labels, "comparisons": asked}, evaluations=given)
    (found,) = json.loads(made.file("summary.json").read_text())["comparisons"]
    assert found["value"] == pytest.approx(found["better_value"] - found["than_value"]) and found["low"] > 0.1
    assert (found["seeds"], found["paired_seeds"], found["wanted"]) == (3, [0, 1, 2], "higher")
    assert found["effect"] > 0 and found["mdd"] > 0
    frame = made.table("summary")
    over = frame[frame["seed"].isna()].set_index(["arm", "metric"])
    assert over.loc[("good", "first_error_f1"), "value"] == pytest.approx(found["better_value"])
    assert ("good", "pass@1") in over.index and ("bad", "pass@1") not in over.index
    assert len(frame[(frame["metric"] == "first_error_f1")]) == 2 * 4

    alone = [{"name": "finds errors at all", "metric": "acc_error", "better": better, "than": None}]
    made, _ = workshop.run("summary", {"labels": labels, "comparisons": alone}, evaluations=given)
    (found,) = json.loads(made.file("summary.json").read_text())["comparisons"]
    assert found["value"] == found["better_value"] > 0.5 and found["than_value"] == 0.0 and found["mdd"] > 0

    silent = evaluations({"miss_rate": 1.0})  # flags no step, so that of its precision there is no number
    precision = [{**asked[0], "metric": "unit_precision"}]
    made, _ = workshop.run("summary", {"labels": labels[:6], "comparisons": precision}, evaluations=given[:3] + silent)
    (found,) = json.loads(made.file("summary.json").read_text())["comparisons"]
    assert found["better_value"] == 1.0 and found["than_value"] is found["value"] is found["low"] is None

    for wrong, message in (
        ({**asked[0], "than": {**than, "arm": "ugly"}}, "nothing was measured of critic of ugly, round 1"),
        ({**asked[0], "metric": "delta"}, "has no delta; it has"),
        ({**asked[0], "metric": "first_error"}, "did you mean 'first_error_f1'"),
    ):
        with pytest.raises(UserError, match=message):
            workshop.run("summary", {"labels": labels, "comparisons": [wrong]}, evaluations=given)
    with pytest.raises(UserError, match="give evaluations of different things different subjects"):
        workshop.run("summary", {"labels": [labels[0], labels[0]]}, evaluations=given[:2])
