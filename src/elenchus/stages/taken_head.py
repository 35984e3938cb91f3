"""A process head that was trained elsewhere: a folder as the stage kind `process_head` writes it, taken as it is."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths, StageParams


class Params(StageParams):
    """Which head."""

    name: str = Field(min_length=1, description="the folder's path")
    revision: str = Field("", description="digest of the folder's files, so that another head is another result")


INPUTS: dict[str, str] = {}
OUTPUTS = ("process_head",)
SEEDED = False
THREADS = 1


def run(job: Job) -> None:
    """Write the head's files."""
    from elenchus.stages.pretrained import WANTED, take

    source = Path(job.params.name).expanduser()
    if not (source / "head.safetensors").is_file():
        raise UserError(f"{source}: no process head (head.safetensors) any more")
    (job.out / "process_head").mkdir()
    for file in sorted(f for f in source.iterdir() if f.is_file() and f.suffix in WANTED):
        take(file.resolve(), job.out / "process_head" / file.name)


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return nothing but time: no tokens."""
    return Estimate()
