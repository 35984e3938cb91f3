"""What a model writes when a benchmark asks it: as solver, as critic of solutions, as corrector of them.

A critic writes (mode `written`), or is read at one word after each step (`verdict`: the share of the good word's
probability, as generative verifiers are read), or is a process head (`head`). Source of the roles: RealCritic
(2501.14492), ProcessBench (2412.06559).

Departures
1. A prompt that leaves no room for a reply in the model's context is not asked: its reply is empty, and says so.
2. At most half of the context is left for a reply, so that which prompts fit does not depend on the others.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from elenchus.engines.settings import Sampler
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PromptFile(_Part):
    """A prompt file, whole: its text is part of the stage's digest."""

    name: str = Field(description="the file's name")
    text: str = Field(description="the file's text")


class Shot(_Part):
    """A worked example that stands before the question."""

    prompt: str = Field(description="what is asked")
    reply: str = Field(description="the reply to it")


class Params(Sampler):
    """Who is asked what, and how replies are sampled."""

    role: Literal["solver", "critic", "corrector"] = Field("solver", description="what the model is asked to be")
    mode: Literal["written", "verdict", "head"] = Field("written", description="critic: how it judges")
    prompt: PromptFile = Field(description="the prompt")
    shots: tuple[Shot, ...] = Field((), description="worked examples, from a file")
    draw: int = Field(0, ge=0, description="worked examples drawn of the input `examples`, by a digest")
    n: int = Field(1, ge=1, description="replies to each prompt")
    temperature: float = Field(0.0, ge=0, description="sampling temperature; 0 is greedy")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus of the sampling distribution")
    max_tokens: int = Field(512, ge=1, description="tokens of a reply at most (and half of the model's context)")
    batch_size: int = Field(256, ge=1, description="sequences in flight; bounds memory")


INPUTS = {
    "model?": "model",
    "head?": "process_head",
    "problems": "problems",
    "attempts?": "attempts",
    "critiques?": "replies",
    "examples?": "problems",
    "references?": "attempts",
}
OUTPUTS = ("replies", "prompt.json")
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Write the replies in the order of what is asked, and prompt.json: the prompt as it was and what is to be said of it."""
    from elenchus import environment

    environment.torch_setup(THREADS)
    from elenchus.benchmarks import interviews

    p = job.params
    needed = "head" if p.mode == "head" else "model"
    if needed not in job.inputs:
        raise UserError(f"mode {p.mode!r} needs the input `{needed}`")
    if (p.role != "solver") != ("attempts" in job.inputs):
        raise UserError(f"role {p.role!r} {'takes no' if p.role == 'solver' else 'needs the'} input `attempts`")
    interviews.hold(job)


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the estimate: replies of a solution's or a critique's length, after prompts that are read once for all of them."""
    asked = rows.get("attempts", 0) or rows.get("problems", 0)
    if params.role == "solver":
        read, written = tokens.problem, tokens.solution
    elif params.role == "critic":
        read, written = tokens.solved, tokens.critique
    else:
        read, written = tokens.criticised, tokens.refinement
    if params.mode != "written":  # after every step, all that stands before it
        return Estimate(rows=asked, prompt=tokens.steps * read * asked)
    return Estimate(
        rows=asked * params.n, sampled=min(written, params.max_tokens) * asked * params.n, prompt=read * asked
    )


def shares(params: Params, rows: dict[str, int]) -> int:
    """Return the parts that shards can share."""
    from elenchus.benchmarks.interviews import CHUNK

    return -(-(rows.get("attempts", 0) or rows.get("problems", 0)) // CHUNK)
