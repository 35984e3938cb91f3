# What policies write: solutions, search trees, and the step labels, preferences and answers that come of them; and
# solutions made wrong on purpose.


use rule stage as sample with:
    output:
        "results/sample/{digest}/stage.json",
    log:
        "results/log/sample/{digest}.log",
    threads: stages.load("sample").THREADS


use rule stage as act with:
    output:
        "results/act/{digest}/stage.json",
    log:
        "results/log/act/{digest}.log",
    threads: stages.load("act").THREADS


use rule stage as search with:
    output:
        "results/search/{digest}/stage.json",
    log:
        "results/log/search/{digest}.log",
    threads: stages.load("search").THREADS


use rule stage as label with:
    output:
        "results/label/{digest}/stage.json",
    log:
        "results/log/label/{digest}.log",
    threads: stages.load("label").THREADS


use rule stage as inject with:
    output:
        "results/inject/{digest}/stage.json",
    log:
        "results/log/inject/{digest}.log",
    threads: stages.load("inject").THREADS


use rule stage as step_pairs with:
    output:
        "results/step_pairs/{digest}/stage.json",
    log:
        "results/log/step_pairs/{digest}.log",
    threads: stages.load("step_pairs").THREADS


use rule stage as answer with:
    output:
        "results/answer/{digest}/stage.json",
    log:
        "results/log/answer/{digest}.log",
    threads: stages.load("answer").THREADS
