"""A pretrained model: one revision of a hub model from the local cache, or a folder on this machine.

Never touches the network: what is not here yet is fetched by the command that the error names. At `scale: cluster` a revision
that can move is refused: results bear the name of a model that would not be known. Weights are hard links or copies of the
snapshot's safetensors files; nothing pickled is taken, and no code.

A model that a recipe starts from gets the workflow's chat template (`template: roles`), in which the critic is a speaker of its
own: one form for every model, those included that have no template. Benchmarks ask a model in its own.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Literal

from pydantic import Field

from elenchus import hub
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths, StageParams


class Params(StageParams):
    """Which model."""

    name: str = Field(min_length=1, description="hub id, such as Qwen/Qwen2.5-3B-Instruct, or a folder's path")
    revision: str = Field("main", description="commit, tag or branch on the hub; pin a commit to know what you ran")
    template: Literal["own", "roles"] = Field("own", description="its own chat template, or the workflow's")


INPUTS: dict[str, str] = {}
OUTPUTS = ("model", "card.json")
SEEDED = False
THREADS = 1
SCRATCH = False  # weights are linked, or copied once: written on scratch they would be copied twice
WANTED = (".safetensors", ".json", ".txt", ".model", ".jinja")


def run(job: Job) -> None:
    """Write the model's files and a card that says where they came from."""
    p = job.params
    source, commit = locate(p.name, p.revision)
    if commit and not hub.pinned(p.revision) and job.machine.get("scale") == "cluster":
        raise UserError(
            f"base_model.revision: {p.revision!r} of {p.name} can come to mean another model, and `scale: cluster` takes none "
            f"that can. Pin the commit that is here ({commit}) in params.yaml, then run again:\n  {pin_command(p.name)}"
        )
    if wrong := unusable(source):
        raise UserError(f"{source}: not a model that can be used: {wrong}")
    (job.out / "model").mkdir()
    if p.template == "roles":
        speak_in_roles(source, job.out / "model")
    files = sorted(f for f in source.iterdir() if f.is_file() and f.suffix in WANTED)
    for done, file in enumerate(files, 1):
        if not (job.out / "model" / file.name).exists():
            take(file.resolve(), job.out / "model" / file.name)
        job.progress(done, len(files), "files")
    job.write_json("card", {"name": p.name, "revision": p.revision, "commit": commit})


def speak_in_roles(source: Path, folder: Path) -> None:
    """Write the source's tokenizer to `folder` with the workflow's chat template, and a padding token where it has none."""
    from elenchus import models

    tokenizer = models.load_tokenizer(source)
    if tokenizer.eos_token is None:
        raise UserError(f"{source}: its tokenizer names no end token, with which a reply ends")
    tokenizer.chat_template = models.CHAT_TEMPLATE
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(folder)


def repository(name: str) -> hub.Repository:
    """Return a model's repository on the hub, and which of its files are taken: no folders, nothing pickled, no code."""
    wanted = tuple(f"*{ending}" for ending in WANTED)
    return hub.Repository("model", name, f"elenchus fetch --model {name}", wanted, unwanted=("*/*",))


def pin_command(name: str) -> str:
    """Return the command that writes a model's commit into params.yaml."""
    return f"elenchus fetch --model {name} --pin"


def is_folder(name: str) -> bool:
    """Return whether a name is a folder's path, there or not, and no hub id."""
    return Path(name).expanduser().is_dir() or name.startswith((".", "~", "/"))


def locate(name: str, revision: str) -> tuple[Path, str]:
    """Return (folder, commit) of a model on this machine, the commit "" of a folder; UserError with the command that fetches it."""
    if is_folder(name):
        folder = Path(name).expanduser()
        if not folder.is_dir():
            raise UserError(f"base_model.name: {name!r} is no folder on this machine")
        return folder, ""
    found = hub.here(repository(name), revision)
    if found is None:
        raise UserError(
            f"base_model.name: {name!r} at revision {revision!r} is not in the local hub cache, and jobs never download. "
            f"Fetch it where there is a network:\n  {repository(name).command(revision)}"
        )
    return found, found.name


def unusable(folder: Path) -> str:
    """Return why a folder's model cannot be used, "" where it can: no safetensors, or code from the hub would be needed."""
    if not any(folder.glob("*.safetensors")) or not (folder / "config.json").is_file():
        held = ", ".join(sorted(f.name for f in folder.iterdir())) or "nothing"
        return f"config.json and weights as .safetensors are needed; it holds {held}"
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    try:
        kind = json.loads((folder / "config.json").read_text())["model_type"]
    except (ValueError, KeyError, TypeError):
        return "its config.json names no model_type"
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return (
            f"its config.json says model_type {kind!r}, of which transformers has no causal language model; code from the hub is "
            "never run. Name a model of another type in base_model"
        )
    return ""


def take(source: Path, target: Path) -> None:
    """Link a file where the file system allows it, copy it otherwise."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return nothing but time: no tokens."""
    return Estimate()
