"""A pretrained model: one revision of a hub model from the local cache, or a folder on this machine.

Never touches the network: what is not here yet is fetched by the command that the error names. Weights are hard links or
copies of the snapshot's safetensors files; nothing pickled is taken.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pydantic import Field

from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths, StageParams


class Params(StageParams):
    """Which model."""

    name: str = Field(min_length=1, description="hub id, such as Qwen/Qwen2.5-3B-Instruct, or a folder's path")
    revision: str = Field("main", description="commit, tag or branch on the hub; pin a commit to know what you ran")


INPUTS: dict[str, str] = {}
OUTPUTS = ("model", "card.json")
SEEDED = False
THREADS = 1
SCRATCH = False  # weights are linked, or copied once: written on scratch they would be copied twice
WANTED = (".safetensors", ".json", ".txt", ".model", ".jinja")
FILES = {"allow_patterns": [f"*{ending}" for ending in WANTED], "ignore_patterns": ["*/*"]}  # of a hub repository


def run(job: Job) -> None:
    """Write the model's files and a card that says where they came from."""
    p = job.params
    source, commit = locate(p.name, p.revision)
    files = sorted(f for f in source.iterdir() if f.is_file() and f.suffix in WANTED)
    if not any(f.suffix == ".safetensors" for f in files) or not (source / "config.json").is_file():
        raise UserError(
            f"{source}: not a model that can be used: config.json and weights as .safetensors are needed; it holds "
            f"{', '.join(sorted(f.name for f in source.iterdir())) or 'nothing'}"
        )
    (job.out / "model").mkdir()
    for done, file in enumerate(files, 1):
        take(file.resolve(), job.out / "model" / file.name)
        job.progress(done, len(files), "files")
    job.write_json("card", {"name": p.name, "revision": p.revision, "commit": commit})


def locate(name: str, revision: str) -> tuple[Path, str]:
    """Return (folder, commit) of a model on this machine; UserError with the command that fetches it."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder, ""
    if folder.is_absolute() or name.startswith((".", "~")):
        raise UserError(f"base_model.name: {name!r} is no folder on this machine")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        found = Path(snapshot_download(name, revision=revision, local_files_only=True, **FILES))
    except (LocalEntryNotFoundError, HFValidationError):
        raise UserError(
            f"base_model.name: {name!r} at revision {revision!r} is not in the local hub cache, and jobs never download. "
            f"Fetch it where there is a network:\n  elenchus fetch --model {name} --revision {revision}"
        ) from None
    return found, found.name


def take(source: Path, target: Path) -> None:
    """Link a file where the file system allows it, copy it otherwise."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return nothing but time: no tokens."""
    return Estimate()
