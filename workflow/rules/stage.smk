# The form of every stage's rule: `use rule stage as <kind> with:` gives it its folder, threads and resources.
rule stage:
    input:
        stage_inputs,
    output:
        "results/_stage/{digest}/stage.json",
    log:
        "results/log/_stage/{digest}.log",
    threads: 1
    resources:
        mem_mb=2000,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        spec=stage_spec,
        label=stage_label,
    message:
        "{params.label} ({rule} {wildcards.digest})"
    script:
        "../scripts/stage.py"
