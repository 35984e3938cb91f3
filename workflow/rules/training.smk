# Training through TRL, and our own process head.


use rule stage as examples with:
    output:
        "results/examples/{digest}/stage.json",
    log:
        "results/log/examples/{digest}.log",
    threads: stages.load("examples").THREADS


use rule stage as sft with:
    output:
        "results/sft/{digest}/stage.json",
    log:
        "results/log/sft/{digest}.log",
    threads: stage_threads


use rule stage as splice with:
    output:
        "results/splice/{digest}/stage.json",
    log:
        "results/log/splice/{digest}.log",
    threads: stages.load("splice").THREADS


use rule stage as sft_turns with:
    output:
        "results/sft_turns/{digest}/stage.json",
    log:
        "results/log/sft_turns/{digest}.log",
    threads: stage_threads


use rule stage as dpo with:
    output:
        "results/dpo/{digest}/stage.json",
    log:
        "results/log/dpo/{digest}.log",
    threads: stage_threads


use rule stage as step_dpo with:
    output:
        "results/step_dpo/{digest}/stage.json",
    log:
        "results/log/step_dpo/{digest}.log",
    threads: stage_threads


use rule stage as grpo with:
    output:
        "results/grpo/{digest}/stage.json",
    log:
        "results/log/grpo/{digest}.log",
    threads: stage_threads


use rule stage as process_head with:
    output:
        "results/process_head/{digest}/stage.json",
    log:
        "results/log/process_head/{digest}.log",
    threads: stage_threads
