"""Collect the measured times of the evidence's stages into evidence/stage-times.csv, which docs/full-reproduction.md is made of.

    python benchmarks/stage_times.py [results]

Stages of the evidence ran in forks of one process that had imported everything, so what a Slurm job's process takes to start
is measured here, in processor seconds (median of three): imports by what a stage does, and Snakemake itself, which each Slurm
job starts anew.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

from elenchus import config, plan, stage_times

IMPORTS = {
    "tables": "import elenchus.run_stage, pandas, pyarrow",
    "writes": "import elenchus.run_stage, pandas, pyarrow; from transformers import AutoModelForCausalLM",
    "trains": "import elenchus.run_stage, pandas, pyarrow; from trl import SFTTrainer",
}


def processor_seconds(command: list[str], cwd: Path) -> float:
    """Return the median processor seconds of three runs of a command."""
    found = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=cwd, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(found)


def main() -> None:
    """Measure what starting takes, collect, write the file."""
    root = config.project_root()
    whole = plan.load(root)
    starts = {work: processor_seconds([sys.executable, "-c", code], root) for work, code in IMPORTS.items()}
    target = str(stage_times.stages_of_evidence(whole)[0].manifest)
    bare = ["snakemake", "-n", "--quiet", "all", "--cores", "1", "--workflow-profile", "none", target]
    starts["job"] = processor_seconds(bare, root)
    results = Path(sys.argv[1]) if len(sys.argv) > 1 else root / "results"
    (root / stage_times.FILE).write_text(stage_times.collect(whole, results, starts))
    print(f"{stage_times.FILE}: {stage_times.read(root / stage_times.FILE).about}")


if __name__ == "__main__":
    main()
