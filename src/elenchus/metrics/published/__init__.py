"""Metrics exactly as their papers or their released scripts compute them, for comparison with published numbers.

Each module names its paper and says where the definition departs from the released code. Rates are in [0, 1]; what
tables print in percent is 100 times that. The project's own evaluations use `elenchus.metrics`, on which these build.

    processbench    first wrong step: F1, voting, the threshold rule of process reward models
    realcritic      closed loop: what corrections are worth (self, cross, iterative)
    criticbench     verdicts: F1 of "wrong" (Lin et al.), accuracy, certainty and self-check (Luo et al.)
    metacritique    precision, recall and F1 of a critique's atomic claims
    pcbench         how often flawed premises are noticed, and what that costs in length
    self_knowledge  P(True) and P(IK): does a model know what it knows
    rounds          accuracy, flips and oracle stop over rounds of self-correction
    games           revision rate, success of revisions and slope over repeated matches
    pairwise        judges of pairs in both orders, as ToolComp scores them
    contamination   traces of training on the test: entropy under self-critique, and the detectors beside it
    ranking         AUROC and thresholds

CL, CS and RSS (Confidence v.s. Critique) are `elenchus.metrics.correction`: `by_logits` and `by_sampling`.
"""
