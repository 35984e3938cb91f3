# The form of every stage's rule: `use rule stage as <kind> with:` gives it its folder and threads; src/elenchus/resources.py
# says what each asks a cluster for.
rule stage:
    input:
        stage_inputs,
    output:
        "results/_stage/{digest}/stage.json",
    log:
        "results/log/_stage/{digest}.log",
    threads: 1
    resources:
        mem_mb=partial(stage_resource, "mem_mb"),
        runtime=partial(stage_resource, "runtime"),
        gpu=partial(stage_resource, "gpu"),
        gpu_model=partial(stage_resource, "gpu_model"),
        slurm_partition=partial(stage_resource, "slurm_partition"),
        gres=partial(stage_resource, "gres"),
        tasks_per_gpu=partial(stage_resource, "tasks_per_gpu"),
        nodes=partial(stage_resource, "nodes"),
        tasks=partial(stage_resource, "tasks"),
        mpi=partial(stage_resource, "mpi"),
        light=partial(stage_resource, "light"),
    params:
        spec=stage_spec,
        label=stage_label,
    message:
        "{params.label} ({rule} {wildcards.digest})"
    script:
        "../scripts/stage.py"


# Several jobs share the parts of a stage where params.yaml says `shards`; the stage's own job then joins them.
use rule stage as shard with:
    input:
        parents,
    output:
        "results/shards/{kind}/{digest}/{shard}-of-{shards}.json",
    log:
        "results/log/{kind}/{digest}.{shard}-of-{shards}.log",
    threads: lambda wildcards: stages.load(wildcards.kind).THREADS
    params:
        spec=shard_spec,
        label=stage_label,
