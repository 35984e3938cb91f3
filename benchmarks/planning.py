"""Planning speed: a dry run of 20,000 of our stages against bare Snakemake with as many jobs of the same shape, side by
side in one run. Goals: under 60 s, within 1.5 times of bare Snakemake, and linear (5,000 stages take a quarter).

    python benchmarks/planning.py [stages]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent

RECIPE = '''
from pydantic import Field
from elenchus.config import Section
from elenchus.recipes import recipe


class Params(Section):
    """A wide synthetic recipe."""

    chains: int = Field(10, description="independent self-training chains")
    rounds: int = Field(10, description="rounds of each")


@recipe(title="Planning benchmark", arms=("a",))
def wide(lab, p):
    """Many chains of sample -> select -> sft, as a big study has them."""
    train = lab.problems("train", 10)
    base = lab.seed_model()
    with lab.arm("a"):
        for chain in range(p.chains):
            policy = base
            for r in lab.rounds(p.rounds):
                pool = lab.sample(policy, train, n=4, temperature=0.5 + chain / 1000)
                policy = lab.sft(policy, [lab.select(pool, train)], steps=1)
        lab.measure(lab.evaluate("policy", train, solutions=lab.sample(policy, train, n=2)))
'''

BARE = """
chains, rounds = {chains}, {rounds}
rule all:
    input: [f"out/sft/{{c}}-{{rounds - 1}}" for c in range(chains)]
def before(w):
    return f"out/sft/{{w.c}}-{{int(w.r) - 1}}" if int(w.r) else []
rule sample:
    input: before
    output: "out/sample/{{c}}-{{r}}"
    shell: "touch {{output}}"
rule select:
    input: "out/sample/{{c}}-{{r}}"
    output: "out/select/{{c}}-{{r}}"
    shell: "touch {{output}}"
rule sft:
    input: "out/select/{{c}}-{{r}}", before
    output: "out/sft/{{c}}-{{r}}"
    shell: "touch {{output}}"
"""


def dry_run(folder: Path) -> float:
    """Return the seconds of `snakemake -n` in `folder`."""
    start = time.monotonic()
    # no profile: ours asks for job messages, which bare Snakemake would not print
    command = ["snakemake", "-n", "--quiet", "all", "--cores", "2", "--workflow-profile", "none"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    return time.monotonic() - start


def ours(folder: Path, chains: int, rounds: int) -> float:
    """Return the seconds of our dry run with chains x rounds x 3 stages."""
    shutil.copytree(ROOT / "workflow", folder / "workflow", symlinks=True)
    shutil.rmtree(folder / "workflow" / "recipes")
    (folder / "workflow" / "recipes").mkdir()
    (folder / "workflow" / "recipes" / "wide.py").write_text(RECIPE)
    (folder / "Snakefile").write_text((ROOT / "Snakefile").read_text())
    os.symlink("workflow/profiles", folder / "profiles")
    (folder / "params.yaml").write_text(f"recipes: [wide]\nwide: {{chains: {chains}, rounds: {rounds}}}\n")
    return dry_run(folder)


def bare(folder: Path, chains: int, rounds: int) -> float:
    """Return the seconds of bare Snakemake's dry run with as many jobs."""
    (folder / "Snakefile").write_text(BARE.format(chains=chains, rounds=rounds))
    return dry_run(folder)


def main() -> None:
    """Measure both at a quarter and at the full number of stages, and print the ratios."""
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    rounds = 10
    seconds = {}
    for stages in (total // 4, total):
        for name, measure in (("bare", bare), ("elenchus", ours)):
            with tempfile.TemporaryDirectory() as tmp:
                seconds[name, stages] = measure(Path(tmp), max(1, stages // (3 * rounds)), rounds)
            print(f"{name:9} {stages:6} stages  {seconds[name, stages]:6.1f} s", flush=True)
    print(
        f"elenchus / bare at {total} stages: {seconds['elenchus', total] / seconds['bare', total]:.2f} (goal: at most 1.5)"
    )
    print(
        f"four times the stages: {seconds['elenchus', total] / seconds['elenchus', total // 4]:.1f} times the time (linear: 4)"
    )


if __name__ == "__main__":
    main()
