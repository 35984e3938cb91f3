"""What the orchestration costs: wall time of the main job over its stages' own work on the same cores, in one run.

    python benchmarks/orchestration.py [params.yaml to lay over]

The stages' own work is the sum of each stage's seconds times its threads, spread over all cores: what a perfect schedule
without processes, hashing or file system would take if nothing had to wait for anything. A stage's seconds include its
imports. Goal: under 1.25.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from elenchus import stages

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Run the main job in a fresh folder and print the ratio and where the rest went."""
    cores = os.cpu_count()
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp)
        for name in ("Snakefile", "params.yaml"):
            shutil.copy(ROOT / name, folder / name)
        shutil.copytree(ROOT / "workflow", folder / "workflow")
        os.symlink("workflow/profiles", folder / "profiles")
        overlay = {"ELENCHUS_PARAMS": str(Path(sys.argv[1]).resolve())} if len(sys.argv) > 1 else {}
        start = time.monotonic()
        subprocess.run(["snakemake", "--quiet", "all"], cwd=folder, env={**os.environ, **overlay}, check=True)
        wall = time.monotonic() - start
        start = time.monotonic()
        subprocess.run(["snakemake", "--quiet", "all"], cwd=folder, env={**os.environ, **overlay}, check=True)
        again = time.monotonic() - start
        own, count = 0.0, 0
        for path in folder.glob("results/*/*/cost.json"):
            kind = path.parent.parent.name
            own += json.loads(path.read_text())["seconds"] * min(stages.load(kind).THREADS, cores)
            count += 1
    print(f"{count} stages on {cores} cores: wall {wall:.0f} s, stages' own work {own:.0f} core-seconds")
    print(f"wall / (own work / cores): {wall / (own / cores):.2f} (goal: under 1.25)")
    print(f"a second run with nothing to do: {again:.1f} s (goal: under 10)")


if __name__ == "__main__":
    main()
