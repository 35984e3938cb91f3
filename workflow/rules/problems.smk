# Problem sets, and the proof that their splits are disjoint.


use rule stage as problems with:
    output:
        "results/problems/{digest}/stage.json",
    log:
        "results/log/problems/{digest}.log",
    threads: stages.load("problems").THREADS


use rule stage as disjoint with:
    output:
        "results/disjoint/{digest}/stage.json",
    log:
        "results/log/disjoint/{digest}.log",
    threads: stages.load("disjoint").THREADS
