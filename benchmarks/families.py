"""How far the seed model gets on each family: pass@1 on test problems before and after a short training, and what it takes.

    python benchmarks/families.py [--only gcd,coloring] [--steps 300] [--seed 0] [--threads 1]

The families of this project, and every task of the family gym that has a small configuration (`worlds.gym_tasks.SMALL`; needs
`make gym`). A model of width 96 is trained from scratch by the seed model's trainer, on solving alone, until its pass@1 on
128 validation problems passes 0.6 or the steps are used up, and is then measured on 256 draws from the test split, which
training never sees. Where critiques are asked for, it learns these too for as many steps again: first-error F1 of greedy
critiques of its own solutions. Prints the rows of the table in docs/families.md; commonest answer: what always saying it
would reach. Seconds are of processor time: what other processes take does not count. Same seed and threads on the same
machine, same numbers.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

import torch

from elenchus import problems, seeds
from elenchus.errors import UserError, did_you_mean
from elenchus.job import Cost
from elenchus.stages.seed_model import Params
from elenchus.training import pretrain, skills
from elenchus.training.loop import Run
from elenchus.worlds import gym_tasks

GATE, TESTED, CHECK_EVERY = 0.6, 256, 50
OWN = ("chain", "coloring", "countdown", "crafting")
SOLVE, CRITIQUE = {"solve": 1.0}, {"solve": 0.3, "critique": 0.7}


def reach(family: str, options: dict, most: int, seed: int, criticise: bool) -> dict:
    """Return pass@1 before and after, steps, processor seconds, and where asked for the F1 of critiques and its steps."""
    began = time.process_time()
    p = Params(
        family=family, options=options, width=96, context=384, max_tokens=128, check_problems=128, card_problems=128
    )
    pupil, run = pretrain.Pupil(p, seed), Run(Cost())
    given, rng = pupil.family.Options.model_validate(p.options), seeds.rng("families", family, options)
    tested = [problems.draw(pupil.family, given, "test", rng) for _ in range(TESTED)]

    def solving(asked) -> float:
        return skills.solving(pupil.engine, pupil.family, asked, seeds.derive(seed, run.step), p.max_tokens)[0][
            "pass@1"
        ]

    def train(steps: int, shares: dict) -> None:
        for _ in range(steps):
            pupil.step(run, shares)
            run.step += 1

    answers = Counter(problem.answer for problem in tested)
    found = {"guess": 0.0 if "" in answers else max(answers.values()) / TESTED, "before": solving(tested)}
    while run.step < most:
        train(min(CHECK_EVERY, most - run.step), SOLVE)
        now = solving(pupil.few)
        print(f"{family} {options.get('task', '')} {run.step} {now:.2f}", file=sys.stderr)
        if now >= GATE:
            break
    found |= {"after": solving(tested), "steps": run.step, "seconds": time.process_time() - began}
    if criticise:
        train(most, CRITIQUE)
        skill = skills.measure(pupil.engine, pupil.family, tested, seeds.derive(seed, "last"), p.max_tokens)
        found |= {"f1": skill["f1"], "more": time.process_time() - began - found["seconds"]}
    return found


def cases() -> dict[str, tuple[str, dict]]:
    """Return {name: (family, options)} of all that is measured."""
    small = {task: ("gym", {"task": task, "small": True}) for task in gym_tasks.SMALL}
    return {**{name: (name, {}) for name in OWN}, **small}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument("--criticise", default="coloring", help="names of those that learn to criticise too")
    parser.add_argument("--steps", type=int, default=300, help="most steps of training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    known = cases()
    asked = args.only.split(",") if args.only else list(known)
    for name in asked:
        if name not in known:
            raise UserError(f"no case {name!r}{did_you_mean(name, known)}; cases: {', '.join(known)}")
    print("| family or task | commonest answer | pass@1 before | after | steps | seconds | F1 | seconds more |")
    print("|---|---|---|---|---|---|---|---|")
    for name in asked:
        r = reach(*known[name], args.steps, args.seed, name in args.criticise.split(","))
        own = f"{r['f1']:.2f} | {r['more']:.0f}" if "f1" in r else "- | -"
        guess = f"{r['guess']:.2f}" if r["guess"] else "-"
        row = f"{guess} | {r['before']:.2f} | {r['after']:.2f} | {r['steps']} | {r['seconds']:.0f} | {own}"
        print(f"| {name} | {row} |", flush=True)


if __name__ == "__main__":
    try:
        main()
    except UserError as e:
        sys.exit(f"families: {e}")
