"""Wrong thresholds for a single column: C5 and C6 of the catalogue."""

from __future__ import annotations

from sktorch_acc.doctor.explain.formulas.formula import Values, certain, formula
from sktorch_acc.doctor.explain.problem import Problem

THRESHOLD = "pred = (logits.flatten() > 0).long()\ncorrect += (pred == y.flatten()).sum().item()"


@formula(
    "ACC-C5",
    name="the accuracy of logits thresholded at 0.5",
    reason="A logit of 0.5 is a probability of 0.62.",
    prior=6.0,
    wrong="pred = (logits > 0.5).long()",
    fix=THRESHOLD,
)
def _half_on_logits(problem: Problem) -> Values:
    return certain(problem.equals_target((problem.scores > 0.5).numpy()).mean()) if problem.kind == "logits" else []


@formula(
    "ACC-C5",
    name="the accuracy of rounded logits",
    reason="Rounding a logit compares it with 0.5, and gives numbers that are not a class.",
    prior=2.0,
    wrong="pred = logits.round()",
    fix=THRESHOLD,
)
def _rounded_logits(problem: Problem) -> Values:
    rounded = problem.scores.double().round().numpy()
    return certain(problem.equals_target(rounded).mean()) if problem.kind == "logits" else []


@formula(
    "ACC-C5",
    name="the accuracy of probabilities thresholded at 0",
    reason="Every probability is above 0, and the sigmoid of a probability is above 0.5.",
    prior=2.0,
    wrong="pred = (probabilities > 0).long()  # or a second torch.sigmoid",
    fix="pred = (probabilities.flatten() > 0.5).long()",
)
def _zero_on_probabilities(problem: Problem) -> Values:
    return certain(problem.equals_target(1).mean()) if problem.kind == "probabilities" else []


@formula(
    "ACC-C6",
    name="the share of class 0",
    reason="argmax over a single column is always 0.",
    prior=5.0,
    wrong="pred = outputs.argmax(dim=1)  # outputs of shape (n, 1)",
    fix=THRESHOLD,
)
def _always_class_0(problem: Problem) -> Values:
    return certain(problem.equals_target(0).mean()) if problem.one_column else []
