# What critics write, what comes of several of them, and what revisers make of it.


use rule stage as critique with:
    output:
        "results/critique/{digest}/stage.json",
    log:
        "results/log/critique/{digest}.log",
    threads: stages.load("critique").THREADS


use rule stage as refine with:
    output:
        "results/refine/{digest}/stage.json",
    log:
        "results/log/refine/{digest}.log",
    threads: stages.load("refine").THREADS


use rule stage as aggregate with:
    output:
        "results/aggregate/{digest}/stage.json",
    log:
        "results/log/aggregate/{digest}.log",
    threads: stages.load("aggregate").THREADS


use rule stage as pairs with:
    output:
        "results/pairs/{digest}/stage.json",
    log:
        "results/log/pairs/{digest}.log",
    threads: stages.load("pairs").THREADS


use rule stage as contrast with:
    output:
        "results/contrast/{digest}/stage.json",
    log:
        "results/log/contrast/{digest}.log",
    threads: stages.load("contrast").THREADS


use rule stage as revised with:
    output:
        "results/revised/{digest}/stage.json",
    log:
        "results/log/revised/{digest}.log",
    threads: stages.load("revised").THREADS
