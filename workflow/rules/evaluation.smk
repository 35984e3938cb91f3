# Metrics of one thing, and of a whole recipe.


use rule stage as evaluate with:
    output:
        "results/evaluate/{digest}/stage.json",
    log:
        "results/log/evaluate/{digest}.log",
    threads: stages.load("evaluate").THREADS


use rule stage as summary with:
    output:
        "results/summary/{digest}/stage.json",
    log:
        "results/log/summary/{digest}.log",
    threads: stages.load("summary").THREADS
