# Models that everything starts from: made from nothing, or pretrained.


use rule stage as seed_model with:
    output:
        "results/seed_model/{digest}/stage.json",
    log:
        "results/log/seed_model/{digest}.log",
    threads: stages.load("seed_model").THREADS


use rule stage as pretrained with:
    output:
        "results/pretrained/{digest}/stage.json",
    log:
        "results/log/pretrained/{digest}.log",
