# What all rules share: the plan, and the functions that look a stage up by its digest.

from functools import partial
from pathlib import Path

from elenchus import requeue, resources, slurm_status, stages
from elenchus.environment import quiet
from elenchus.workflow import checked_plan, exclusive, refuse

quiet()
plan = checked_plan(Path(workflow.basedir), config)
if workflow.is_main_process and not workflow.output_settings.dryrun:
    exclusive(Path(workflow.basedir))


# The first block of the Slurm profile, which each job gets too; empty on a laptop.
given = workflow.resource_settings.default_resources or {}
site = {name: given[name].raw for name in resources.SITE if name in given}


onstart:
    if workflow.non_local_exec:
        requeue.watch(Path(workflow.basedir))
        slurm_status.wait_for_answers()


wildcard_constraints:
    digest="[0-9a-f]{16}",
    kind="[a-z_]+",
    shard="[0-9]+",
    shards="[0-9]+",


def recipe_target(name):
    """Return the file whose existence means that everything of a recipe is done and filed."""
    return str(plan.recipe(name).record("view"))


def parents(wildcards):
    """Return the manifests of a stage's inputs. `ancient`: content-addressed, so never out of date."""
    return [ancient(str(parent.manifest)) for parent in plan.stage(wildcards.digest).parents]


def stage_inputs(wildcards):
    """Return the manifests of a stage's inputs, and the markers of its shards.

    Of a stage that is done, the markers that are there: with them it was made, and Snakemake remembers inputs.
    """
    stage, shards = plan.stage(wildcards.digest), plan.shards(wildcards.digest)
    folder = Path("results/shards", stage.kind, stage.digest)
    if stage.manifest.exists():
        markers = sorted(map(str, folder.glob("*.json")))
    else:
        markers = [str(folder / f"{i}-of-{shards}.json") for i in range(shards)] if shards > 1 else []
    return parents(wildcards) + [ancient(m) for m in markers]


def stage_label(wildcards):
    """Return the name under which people know a stage."""
    return plan.label(wildcards.digest)


def stage_spec(wildcards):
    """Return all that a job needs to run its stage."""
    return plan.job(wildcards.digest)


def shard_spec(wildcards):
    """Return all that a job needs to make its share of a stage's parts."""
    return plan.job(wildcards.digest, (int(wildcards.shard), int(wildcards.shards)))


def stage_resource(what, wildcards, attempt):
    """Return a resource of the job of a stage or of one of its shards, more of it at each attempt."""
    joins = plan.shards(wildcards.digest) > 1 and not hasattr(wildcards, "shard")
    return resources.asked(plan.stage(wildcards.digest), what, attempt, site, plan.config.training, joins)


def stage_threads(wildcards):
    """Return the cores that a stage keeps busy: its threads, in each of its processes on a node."""
    return resources.threads(plan.stage(wildcards.digest), plan.config.training)


def nothing_to_evaluate(wildcards):
    """End with one plain message: `bench` is asked for, and its section names no model."""
    refuse(
        "bench: name what is evaluated, for example\n"
        "  snakemake bench --config model=<folder, hub id or result> 'benchmarks=[gsm8k]'\n"
        "or in the section bench of params.yaml"
    )


def evidence_stamp(recipe_id, wildcards):
    """Return the file whose existence means that a recipe's evidence is made."""
    return str(plan.evidence(recipe_id).record("evidence"))


def evidence_stages(wildcards):
    """Return the manifests of all stages that the evidence of a digest needs."""
    return [ancient(str(s.manifest)) for s in plan.evidence_of(wildcards.digest).stages]
