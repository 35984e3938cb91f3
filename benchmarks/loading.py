"""Memory of loading: a JSONL of 500 MB (or as many as named) is generated, read to its end and written as tables.
Goal: under 500 MB of memory for 5 GB, that is, memory that hardly grows with the file; two sizes show the growth.

    python benchmarks/loading.py [megabytes]
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CODE = """
import resource, sys
from pathlib import Path
from elenchus.benchmarks import mapped, store
file, root = Path(sys.argv[1]), Path(sys.argv[2])
module = mapped.source("wide", file, mapped.mapping(("id=id", "prompt=q", "answer=a", "solution=s")))
store.get("wide", module, file.parent, root, None, lambda line: None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def measure(megabytes: int) -> tuple[int, float]:
    """Return (memory in MiB, seconds) of loading a generated file of that size."""
    with tempfile.TemporaryDirectory() as tmp:
        file = Path(tmp) / "wide.jsonl"
        text = " ".join(f"word{i % 97}" for i in range(80))
        size = 0
        with file.open("w") as out:
            for i in range(1 << 40):
                size += out.write(
                    json.dumps({"id": f"r{i}", "q": f"{i} {text}", "a": str(i), "s": f"{text} {i}"}) + "\n"
                )
                if size >= megabytes << 20:
                    break
        began = time.monotonic()
        done = subprocess.run([sys.executable, "-c", CODE, file, tmp], capture_output=True, text=True, check=True)
        return int(done.stdout), time.monotonic() - began


def main() -> None:
    """Measure at a tenth and at the full size."""
    full = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    small, large = measure(max(1, full // 10)), measure(full)
    for megabytes, (memory, seconds) in ((full // 10, small), (full, large)):
        print(f"{megabytes:6} MB of JSONL: {memory} MiB of memory, {seconds:.0f} s")
    growth = (large[0] - small[0]) / (0.9 * full)
    at_5_gb = f"; at 5 GB about {large[0] + growth * (5000 - full):.0f} MiB" if full < 5000 else ""
    print(f"growth: {growth:.3f} MiB for each MB{at_5_gb} (goal: below 500 at 5 GB)")


if __name__ == "__main__":
    main()
