"""A small project with finished results, in seconds: every stage runs as it is, but models are numbers.

Kinds that would train or sample a model are replaced by stand-ins: a model is a JSON file with error rates, a solution
an exact one with errors at that rate, a critique that of an oracle with its faults. Everything that measures, selects,
merges and compares is the real thing, and so are the manifests.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from elenchus import plan, problems, run_stage, stages
from elenchus.critics import oracle
from elenchus.critics.drafts import by_id, drafts
from elenchus.job import Job

ROOT = Path(__file__).resolve().parents[2]
PARAMS = """
scale: laptop
recipes: [small]
seeds: [0, 1]
problems: {train: 20, validation: 8, test: 24}
small: {rounds: 2}
"""
RECIPE = '''
"""A small recipe for tests."""
from pydantic import Field

from elenchus.config import RecipeParams
from elenchus.recipes import recipe


class Params(RecipeParams):
    """A critic and two self-trained policies."""

    rounds: int = Field(2, ge=1, description="rounds")
    learning_rate: float = Field(1.0e-3, description="of the rounds")


@recipe(title="Small: a critic <and> two policies", arxiv="2412.17256", arms=("critic", "b_star", "online_rft"))
def small(lab, p):
    """The idea of the small recipe.

    Departures
    1. Models are numbers.
    2. There is no second departure, but a list needs two.
    """
    train, test = lab.problems("train"), lab.problems("test")
    lab.disjoint(train, test)
    policy = lab.seed_model()
    before = lab.sample(policy, test, n=8, name="test-solutions")
    lab.measure(lab.evaluate("policy", test, solutions=before))
    drafts = lab.sample(policy, train, n=2, name="drafts")
    teachers = {"strict": {"false_alarm_rate": 0.2}, "blind": {"blind": ["carry"]}}
    taught = [lab.oracle_critique(name, drafts, train, **dials) for name, dials in teachers.items()]
    merged = lab.aggregate(taught, drafts, train)
    lab.publish("critiques", merged, "critiques", "Merged critiques. Known flaw: made for tests.")
    trees = lab.search(policy, train, name="trees")
    lab.publish("trees", trees, "nodes", "Search trees.")
    with lab.arm("critic"):
        warm = lab.sft(policy, [lab.examples(problems=train, solutions=drafts, critiques=merged)], name="warm-up")
        trained = lab.grpo(warm, drafts, train, name="grpo")
        held_out = lab.sample(policy, test, n=2, name="test-drafts")
        for subject, critic in {"warm-up": warm, "grpo": trained}.items():
            said = lab.critique(critic, held_out, test, label=subject, temperature=0.0)
            revised = lab.refine(policy, said, held_out, test, name=f"refinements-{subject}")
            lab.measure(lab.evaluate("critic", test, solutions=held_out, critiques=said), subject=subject)
            lab.measure(
                lab.evaluate("correction", test, solutions=held_out, critiques=said, refinements=revised), subject=subject
            )
    grid = {"temperatures": [0.5, 1.0], "thresholds": [0.0, 0.4, 0.8]}
    for arm in lab.arms("b_star", "online_rft"):
        actor, setting = policy, None
        for _ in lab.rounds(p.rounds):
            if arm == "b_star":
                pool = lab.sample(actor, train, n=4, temperature=grid["temperatures"], name="balance-pool")
                setting = lab.balance(pool, lab.score(pool, train, flip=0.1, name="balance-scores"), target=2, **grid)
            pool = lab.sample(actor, train, n=4, setting=setting, name="pool")
            chosen = lab.select(pool, train, scores=lab.score(pool, train, flip=0.1), setting=setting)
            actor = lab.sft(actor, [chosen], name="policy", learning_rate=p.learning_rate)
            lab.measure(lab.evaluate("policy", test, solutions=lab.sample(actor, test, n=8, name="test-solutions")))
    one = {"arm": "critic", "round": 0, "subject": "warm-up"}
    lab.compare("critic after RL against its warm-up", "first_error_f1", better={**one, "subject": "grpo"}, than=one)
    b, o = ({"arm": a, "round": p.rounds, "subject": "policy"} for a in ("b_star", "online_rft"))
    lab.compare("B-STaR against online RFT", "pass@8", better=b, than=o)
'''


def project(folder: Path, params: str = PARAMS) -> plan.Plan:
    """Make a project with the small recipe in `folder` and return its plan."""
    (folder / "workflow" / "recipes").mkdir(parents=True)
    (folder / "workflow" / "recipes" / "small.py").write_text(RECIPE)
    shutil.copytree(ROOT / "workflow" / "report", folder / "workflow" / "report")
    (folder / "params.yaml").write_text(params)
    return plan.load(folder)


def run_all(whole: plan.Plan, recipe: str, monkeypatch) -> None:
    """Run all stages of a recipe that are not done, with the stand-ins."""
    for kind, stand_in in STAND_INS.items():
        monkeypatch.setattr(stages.load(kind), "run", stand_in)
    monkeypatch.chdir(whole.root)
    for stage in whole.recipe(recipe).stages:
        run_stage.run(stage.spec())


def model(job: Job, errors: float, misses: float) -> None:
    """Write the model: its chance of an error in a step, and of missing one."""
    (job.out / "model").mkdir()
    (job.out / "model" / "rates.json").write_text(json.dumps({"errors": errors, "misses": misses}))


def rates(result) -> dict:
    """Return a model's rates."""
    return json.loads((result.dir("model") / "rates.json").read_text())


def history(job: Job, steps: int = 40) -> None:
    """Write a history whose loss falls."""
    rng = job.rng("history")
    losses = [
        {"step": s, "metric": "loss", "value": 2 / (1 + s / 8) + 0.05 * rng.random()} for s in range(0, steps + 1, 5)
    ]
    job.write(
        "history", [*losses, *({"step": s, "metric": "learning_rate", "value": 1e-3} for s in range(0, steps + 1, 5))]
    )
    job.cost.trained += 1000 * steps


def seed_model(job: Job) -> None:
    model(job, 0.1, 0.5)
    history(job)
    made = {"parameters": 10, "tokens_trained": 40_000, "steps": {"drill": 10, "solve": 30}, "kept_step": 40}
    job.write_json("card", {**made, "skills": {"pass@1": 0.5, "f1": 0.6, "n_wrong": 8}, "problems": {"skills": 16}})


def sft(job: Job) -> None:
    before = rates(job.inputs["model"])
    policy = "learning_rate" in job.params.model_dump() and job.inputs["examples"][0].manifest["kind"] == "select"
    model(job, before["errors"] * (0.75 if policy else 1.0), before["misses"] * (1.0 if policy else 0.8))
    history(job)
    (job.out / "optimizer.safetensors").write_bytes(b"")


def dpo(job: Job) -> None:
    before = rates(job.inputs["model"])
    model(job, before["errors"], before["misses"] * 0.9)
    history(job)


def grpo(job: Job) -> None:
    before = rates(job.inputs["critic"])
    model(job, before["errors"], before["misses"] * 0.5)
    history(job)


def process_head(job: Job) -> None:
    (job.out / "process_head").mkdir()
    (job.out / "process_head" / "head.json").write_text("{}")
    history(job)


def solution(problem: problems.Problem, steps: list[str]) -> dict:
    """Return the columns of a solutions or refinements row that follow from its steps."""
    family = problems.load(problem.family)
    text = family.render(problem, steps)
    read = family.parse(problem, text)
    checks = family.check_steps(problem, steps)
    first = problems.first_error(checks)
    return {
        "problem_id": problem.id,
        "text": text,
        "steps": steps,
        "answer": read.answer,
        "parsed": read.ok,
        "correct": family.check_answer(problem, read.answer),
        "first_error": first,
        "tokens": len(text.split()),
        "logprob": -1.0,
    }, ("" if first < 0 else checks[first].error)


def sample(job: Job) -> None:
    from elenchus.stages.sample import temperatures_of

    errors, rows = rates(job.inputs["actor"])["errors"], []
    for temperature in temperatures_of(job):
        for problem in by_id(job.inputs["problems"].table("problems")).values():
            rng = job.rng(f"{temperature} {problem.id}")
            for i in range(job.params.n):
                row, error = solution(
                    problem, problems.load(problem.family).corrupt(problem, rng, errors * (0.4 + 0.6 * temperature))
                )
                about = {"solution_id": f"{problem.id}/{job.seed % 9973}/{temperature}/{i}", "family": problem.family}
                rows.append({**row, **about, "sample": i, "temperature": temperature, "error": error, "finish": "end"})
    job.cost.sampled += sum(r["tokens"] for r in rows)
    job.write("solutions", rows)


def critique(job: Job) -> None:
    found = drafts(job.inputs["solutions"].table("solutions"), job.inputs["problems"].table("problems"))
    p = job.params
    misses = rates(job.inputs["critic"])["misses"] if "critic" in job.inputs else p.miss_rate
    dials = oracle.Dials(misses, p.false_alarm_rate or 0.02, p.wrong_fix_rate, p.blind)
    rows = [oracle.criticise(d, p.critic, dials, job.derive("said"), i) for d in found for i in range(p.n)]
    job.cost.sampled += 30 * len(rows)
    job.write("critiques", rows)


def refine(job: Job) -> None:
    of = {d.id: d for d in drafts(job.inputs["solutions"].table("solutions"), job.inputs["problems"].table("problems"))}
    rows = []
    for c in job.inputs["critiques"].table("critiques").to_dict("records"):
        draft = of[c["solution_id"]]
        steps = list(draft.steps)
        if len(c["bad_steps"]) and job.rng(c["critique_id"]).random() < 0.8:
            steps = draft.family.reference(draft.problem)
        row, _ = solution(draft.problem, steps)
        about = {"refinement_id": c["critique_id"] + ">0", "critique_id": c["critique_id"], "solution_id": draft.id}
        rows.append({**row, **about, "sample": 0, "was_correct": draft.correct})
    job.cost.sampled += sum(r["tokens"] for r in rows)
    job.write("refinements", rows)


def search(job: Job) -> None:
    rows = []
    for problem in by_id(job.inputs["problems"].table("problems")).values():
        family, rng = problems.load(problem.family), job.rng(problem.id)
        tree = [
            {
                "node": 0,
                "parent": -1,
                "depth": 0,
                "step": "",
                "visits": 1,
                "value": 0.0,
                "terminal": False,
                "correct": None,
            }
        ]
        below: dict[tuple, int] = {(): 0}
        for _ in range(16):
            steps = family.corrupt(problem, rng, 0.15)
            right = solution(problem, steps)[0]["correct"]
            for depth in range(len(steps) + 1):
                prefix = tuple(steps[:depth])
                if prefix not in below:
                    below[prefix] = len(tree)
                    end = depth == len(steps)
                    node = {"node": len(tree), "parent": below[prefix[:-1]], "depth": depth, "step": steps[depth - 1]}
                    tree.append({**node, "visits": 0, "value": 0.0, "terminal": end, "correct": right if end else None})
                node = tree[below[prefix]]
                node["value"] = (node["value"] * node["visits"] + right) / (node["visits"] + 1)
                node["visits"] += 1
        common = {"problem_id": problem.id, "prior": 0.5, "model_value": None, "tokens": 6}
        rows += [{**common, **node} for node in tree]
    job.cost.sampled += 6 * len(rows)
    job.write("nodes", rows)
    job.write("solutions", [])


STAND_INS = {f.__name__: f for f in (seed_model, sft, dpo, grpo, process_head, sample, critique, refine, search)}
