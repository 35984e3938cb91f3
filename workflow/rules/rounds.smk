# The inner loop of self-training: score, balance, select.


use rule stage as score with:
    output:
        "results/score/{digest}/stage.json",
    log:
        "results/log/score/{digest}.log",
    threads: stages.load("score").THREADS


use rule stage as balance with:
    output:
        "results/balance/{digest}/stage.json",
    log:
        "results/log/balance/{digest}.log",
    threads: stages.load("balance").THREADS


use rule stage as select with:
    output:
        "results/select/{digest}/stage.json",
    log:
        "results/log/select/{digest}.log",
    threads: stages.load("select").THREADS
