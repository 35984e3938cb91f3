"""Snakemake's linter, less one finding: all rules share one environment, requirements/laptop.txt, which make installs."""

import subprocess
import sys

SHARED = "* Specify a conda environment or container for each rule.:"

done = subprocess.run(["snakemake", "--lint"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
lines = done.stdout.splitlines()
found = [line.strip() for line in lines if line.startswith("    * ")]
if done.returncode and not found:
    sys.exit(done.stdout)
left = [line for line in found if line != SHARED]
if left:
    print(done.stdout)
print(f"snakemake --lint: {len(left)} findings, {len(found) - len(left)} about environments set aside")
sys.exit(1 if left else 0)
