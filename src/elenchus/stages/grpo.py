"""A critic trained by group-relative policy optimisation (TRL's GRPOTrainer) on composed rewards.

Source: Critique-RL (2510.24320). Stage I: terms {verdict: 1}. Stage II, from the stage-I critic: terms {refinement: 1,
verdict: 0.2}, beta 0.01, with the frozen actor; the KL reference is the model that the stage starts from.
RefCritic (2507.15024): terms {verdict: 0.5, refinement_wrong_only: 0.5}, several sampled refinements a critique.

Departures
1. GRPO in place of RLOO: the mean of a group includes the sample itself; scale_rewards none leaves its spread alone.
2. An unreadable critique is a failed refinement: the actor is not asked.
3. Of the weights along the way, those that validate best are kept where `validation` is given; the paper reports the
   best of 500 steps on test data.
4. Solutions that break the format are not criticised.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths
from elenchus.training.rewards import REFINING, TERMS
from elenchus.training.settings import Training


class Params(Training):
    """Parameters of the critic's reinforcement learning. `batch` counts critiques: prompts times num_generations."""

    batch: int = Field(64, ge=2, description="critiques in one optimizer step: prompts times num_generations")
    learning_rate: float = Field(3.0e-5, gt=0, description="peak learning rate")
    num_generations: int = Field(4, ge=2, description="critiques of one solution (Critique-RL: 4)")
    num_iterations: int = Field(1, ge=1, description="optimizer steps on each batch of critiques (Critique-RL: 2)")
    terms: dict[Literal[TERMS], float] = Field({"verdict": 1.0}, min_length=1, description="reward terms and weights")
    reward_form: Literal["paper", "repo"] = Field("paper", description="repo: -1 where the verdict is wrong or missing")
    beta: float = Field(0.0, ge=0, description="weight of the KL to the model at the start (Critique-RL: 0.01)")
    temperature: float = Field(1.0, gt=0, description="of the sampled critiques (Critique-RL: 0.7)")
    max_tokens: int = Field(96, ge=1, description="tokens of a critique at most")
    actor_max_tokens: int = Field(64, ge=1, description="tokens of a refinement at most")
    actor_temperature: float = Field(0.0, ge=0, description="of the refinements; 0 is greedy (Critique-RL: 0)")
    refinements: int = Field(1, ge=1, description="refinements under each critique, whose mean is paid (RefCritic: m)")
    loss_type: Literal["grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo"] = Field("dapo", description="TRL's name")
    scale_rewards: Literal["group", "batch", "none"] = Field("group", description="what divides the advantages")
    epsilon: float = Field(0.2, gt=0, description="clipping of the importance ratio")
    balance: float | None = Field(None, ge=0, le=1, description="share of wrong solutions in a step; null: as sampled")
    validate_every: int = Field(10, ge=1, description="steps between validations, where `validation` is given")
    best_by: Literal["first_error_f1", "verdict"] = Field("first_error_f1", description="validation metric to keep by")

    @model_validator(mode="after")
    def _whole_groups(self) -> Params:
        for name, size in (("batch", self.batch), ("micro_batch", self.micro_batch)):
            if size % self.num_generations:
                raise ValueError(f"{name} {size} is not a multiple of num_generations {self.num_generations}")
        if self.refinements > 1 and not self.actor_temperature:
            raise ValueError(f"{self.refinements} refinements at actor_temperature 0 are all the same")
        return self


INPUTS = {
    "critic": "model",
    "actor?": "model",
    "solutions": "solutions",
    "problems": "problems",
    "validation?": "solutions",
    "validation_problems?": "problems",
}
OUTPUTS = ("model", "history")
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Train and write the critic and its history."""
    from elenchus import environment

    environment.torch_setup(THREADS)
    from elenchus import models
    from elenchus.training import grpo, sharding

    p = job.params
    pool = grpo.pool(job.work, job.inputs["solutions"], job.inputs["problems"])
    groups = -(-p.steps // p.num_iterations)
    prompts = grpo.prompts_in_order(
        pool.correct, p.batch // p.num_generations, groups, p.balance, job.derive("prompts")
    )
    rewarder = grpo.Rewarder(pool, p.terms, p.reward_form, job.cost, max_tokens=p.actor_max_tokens)
    rewarder.refinements, rewarder.temperature = p.refinements, p.actor_temperature
    rewarder.seed = job.derive("refinements")
    _add_actor(job, rewarder)
    model, tokenizer = sharding.load(job.inputs["critic"].dir("model"))
    trained = grpo.train(
        model,
        tokenizer,
        rewarder,
        prompts,
        p,
        num_generations=p.num_generations,
        num_iterations=p.num_iterations,
        beta=p.beta,
        loss_type=p.loss_type,
        scale_rewards=p.scale_rewards,
        epsilon=p.epsilon,
        temperature=p.temperature,
        max_tokens=p.max_tokens,
        validation=_validation(job, model, tokenizer),
        validate_every=p.validate_every,
        best_by=p.best_by,
        work=job.work,
        seed=job.derive("train"),
        cost=job.cost,
        progress=job.progress,
    )
    models.save(model, tokenizer, job.out / "model")
    job.write("history", trained.rows())


def _add_actor(job: Job, rewarder) -> None:
    """Give the rewarder its frozen actor where a term needs one; UserError where there is none."""
    needed = REFINING & job.params.terms.keys()
    if not needed:
        return
    if "actor" not in job.inputs:
        raise UserError(f"reward term {min(needed)!r} needs the input `actor`: the model whose refinements are checked")
    from elenchus.engines.transformers_engine import TransformersEngine

    rewarder.actor = TransformersEngine(job.inputs["actor"].dir("model"))
    rewarder.tokenizer = rewarder.actor.tokenizer


def _validation(job: Job, model, tokenizer):
    """Return the function that measures the critic on the validation solutions, None where there are none."""
    from elenchus.critics.drafts import drafts
    from elenchus.training import grpo

    if "validation" not in job.inputs:
        return None
    if "validation_problems" not in job.inputs:
        raise UserError("the input `validation` (solutions) needs the input `validation_problems`: their problems")
    frames = job.inputs["validation"].table("solutions"), job.inputs["validation_problems"].table("problems")
    return grpo.validator(model, tokenizer, drafts(*frames), job.params.max_tokens, job.cost)


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the estimate: critiques after prompts with the solution, and refinements of it where a term pays them."""
    written = min(tokens.critique, params.max_tokens)
    critiques = params.batch * -(-params.steps // params.num_iterations)
    refined = min(tokens.refinement, params.actor_max_tokens) * params.refinements
    refining = refined if REFINING & params.terms.keys() else 0
    return Estimate(
        rows=0,
        sampled=(written + refining) * critiques,
        prompt=tokens.solved * critiques // params.num_generations + (tokens.criticised * critiques if refining else 0),
        trained=(tokens.solved + written) * params.batch * params.steps,
    )
