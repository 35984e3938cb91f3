# Games about single steps: the steps, a generator that spoils them, a critic that judges them, and both trained on it.


use rule stage as cases with:
    output:
        "results/cases/{digest}/stage.json",
    log:
        "results/log/cases/{digest}.log",
    threads: stages.load("cases").THREADS


use rule stage as games with:
    output:
        "results/games/{digest}/stage.json",
    log:
        "results/log/games/{digest}.log",
    threads: stages.load("games").THREADS


use rule stage as offline_rl with:
    output:
        "results/offline_rl/{digest}/stage.json",
    log:
        "results/log/offline_rl/{digest}.log",
    threads: stage_threads


use rule stage as judge with:
    output:
        "results/judge/{digest}/stage.json",
    log:
        "results/log/judge/{digest}.log",
    threads: stages.load("judge").THREADS


use rule stage as guided_search with:
    output:
        "results/guided_search/{digest}/stage.json",
    log:
        "results/log/guided_search/{digest}.log",
    threads: stages.load("guided_search").THREADS
