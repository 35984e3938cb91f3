# What people look at: what training has of test items, a recipe's report, its MLflow runs, its links, metrics and published data sets.
# Each file's name holds the digest of the whole recipe, so that a record is never out of date. When one is made, those of
# other digests go: the paths for people (results/by-recipe, results/metrics, data) show what params.yaml says now.

# The view, which the recipe's target asks for, names every stage itself: a result that someone removed is then made anew
# even where the report still stands.

RECORDS = {
    "overlap": [],
    "report": ["overlap"],
    "tracking": ["report"],
    "view": ["report", "tracking"],
}  # each record and those it follows

for recipe_id in plan.recipes:
    recipe_plan = plan.recipe(recipe_id)
    for what, follows in RECORDS.items():

        rule:
            name:
                f"{what}_{recipe_id}"
            input:
                [ancient(str(s.manifest)) for s in recipe_plan.stages if what != "tracking"],
                [ancient(str(recipe_plan.record(w))) for w in follows],
            output:
                str(recipe_plan.record(what)),
            log:
                f"results/log/{what}/{recipe_plan.digest}.log",
            localrule: True
            params:
                what=what,
                recipe=recipe_id,
                overrides=dict(config),
            message:
                f"{what} of {recipe_id}"
            script:
                "../scripts/record.py"

    rule:
        name:
            recipe_id
        input:
            str(recipe_plan.record("view")),
        localrule: True


# Evidence: every recipe that makes claims, over the seeds of its evidence. The plan of those seeds is made only when
# asked for.

CLAIMING = [recipe_id for recipe_id in plan.recipes if plan.recipe(recipe_id).claims]

for recipe_id in CLAIMING:

    rule:
        name:
            f"make_evidence_{recipe_id}"
        input:
            evidence_stages,
        output:
            f"results/evidence/{recipe_id}/{{digest}}.json",
        log:
            f"results/log/evidence/{recipe_id}/{{digest}}.log",
        localrule: True
        params:
            what="evidence",
            recipe=recipe_id,
            overrides=dict(config),
        message:
            f"evidence of {recipe_id}"
        script:
            "../scripts/record.py"

    rule:
        name:
            f"evidence_{recipe_id}"
        input:
            partial(evidence_stamp, recipe_id),
        localrule: True


rule evidence:
    input:
        lambda wildcards: [evidence_stamp(r, wildcards) for r in CLAIMING],
    localrule: True
