# Elenchus as a workflow: a table of contents. Recipes say what is wired (workflow/recipes), rules say what runs
# (workflow/rules), the library says how (src/elenchus). `snakemake` runs the recipes that params.yaml names,
# `snakemake <recipe>` one of them, `snakemake -n` says what would run.


include: "workflow/rules/common.smk"


rule all:
    default_target: True
    input:
        [recipe_target(name) for name in plan.chosen()],


include: "workflow/rules/stage.smk"
include: "workflow/rules/problems.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/search.smk"
include: "workflow/rules/critique.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/rounds.smk"
include: "workflow/rules/games.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/bench.smk"
include: "workflow/rules/records.smk"
