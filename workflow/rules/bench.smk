# Any model on any benchmark: items, what the model replies (or a file that holds replies), and how good that is.
# `snakemake bench --config model=... 'benchmarks=[gsm8k]'`; the plan is the recipe `bench` of elenchus.benchmarks.target.


use rule stage as benchmark with:
    output:
        "results/benchmark/{digest}/stage.json",
    log:
        "results/log/benchmark/{digest}.log",
    threads: stages.load("benchmark").THREADS


use rule stage as taken_head with:
    output:
        "results/taken_head/{digest}/stage.json",
    log:
        "results/log/taken_head/{digest}.log",
    threads: stages.load("taken_head").THREADS


use rule stage as ask with:
    output:
        "results/ask/{digest}/stage.json",
    log:
        "results/log/ask/{digest}.log",
    threads: stages.load("ask").THREADS


use rule stage as imported with:
    output:
        "results/imported/{digest}/stage.json",
    log:
        "results/log/imported/{digest}.log",
    threads: stages.load("imported").THREADS


use rule stage as grade with:
    output:
        "results/grade/{digest}/stage.json",
    log:
        "results/log/grade/{digest}.log",
    threads: stages.load("grade").THREADS


use rule stage as grade_critic with:
    output:
        "results/grade_critic/{digest}/stage.json",
    log:
        "results/log/grade_critic/{digest}.log",
    threads: stages.load("grade_critic").THREADS


if "bench" not in plan.recipes:

    rule bench:
        input:
            nothing_to_evaluate,
        localrule: True
