"""Families A and G where scikit-learn runs the folds."""

from __future__ import annotations

from catalogue.page import Page

FOLDS = """\
import warnings
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.model_selection import GroupKFold, StratifiedKFold, cross_val_score, cross_validate
from sklearn.naive_bayes import GaussianNB
from sktorch_acc import audit_cross_validation, cross_val_per_class_accuracy

X, numbers = load_iris(return_X_y=True)
X, y = X[:, :2], np.array(["setosa", "versicolor", "virginica"])[numbers]  # 50 rows each, sorted
clf = GaussianNB()
"""

PAGES = [
    Page(
        "A13",
        "The mean over folds",
        "`cross_val_score(...).mean()` is not the share of test rows that were predicted correctly.",
        "The folds have different sizes, as groups make them, and in the mean a small fold counts as much as a large "
        "one.",
        "Pool the counts: correct test rows over all test rows, as `cross_val_per_class_accuracy` does; or say that "
        "the figure is a mean over folds.",
        FOLDS
        + """
groups = np.repeat([0, 1, 2], [100, 40, 10])[np.random.default_rng(1).permutation(150)]
uneven = list(GroupKFold(3).split(X, y, groups))
even = list(GroupKFold(3).split(X, y, np.arange(150) % 3))
""",
        """\
print(f"{cross_val_score(clf, X, y, cv=uneven).mean():.4f}")
print(audit_cross_validation(clf, X, y, cv=uneven).codes)
""",
        """\
print(f"{cross_val_per_class_accuracy(clf, X, y, cv=uneven).table.loc['overall', 'accuracy']:.4f}")
print(f"{cross_val_score(clf, X, y, cv=even).mean():.4f}")
print(audit_cross_validation(clf, X, y, cv=even).codes)
""",
        "blocks",
    ),
    Page(
        "G1",
        "A classifier that scikit-learn takes for none",
        "`cross_val_score` gives `[0. 0. 0.]`, though the model fits well.",
        "scikit-learn stratifies the folds of a classifier alone, and asks the estimator's tags whether it is one "
        "(`is_classifier`). Otherwise an integer `cv` cuts the rows in their order: with sorted labels, each fold "
        "tests a class that it was not fitted on.",
        "Inherit from `ClassifierMixin` first and `BaseEstimator` last. In the other order the tag is lost.",
        FOLDS
        + """

class Model:
    def fit(self, X, y):
        self.inner_ = GaussianNB().fit(X, y)
        return self

    def predict(self, X):
        return self.inner_.predict(X)


class Lost(Model, BaseEstimator, ClassifierMixin):
    pass


class Known(Model, ClassifierMixin, BaseEstimator):
    pass
""",
        """\
print(cross_val_score(Lost(), X, y, cv=3))
print(audit_cross_validation(Lost(), X, y, cv=3).codes)
""",
        """\
print(cross_val_score(Known(), X, y, cv=3).round(2))
print(audit_cross_validation(Known(), X, y, cv=3).codes)
""",
        "blocks",
    ),
    Page(
        "G2",
        "A fold without a score",
        "`cross_val_score` gives `[nan nan nan nan nan]` and a warning.",
        "`fit`, `predict` or a scorer raised, and the default of `error_score` turns that into NaN (if every fit "
        "fails, into `All the 5 fits failed`). `scoring='f1'` is for two classes, one of them 1; `roc_auc` needs to "
        "be told how to treat several. A metric can also be undefined in a fold that tests one class alone.",
        "`audit_cross_validation` says which fold, what raised, and what to do where the cause is sure; "
        "`error_score='raise'` shows the traceback. `cross_val_per_class_accuracy` raises the error itself, with the "
        "fold in a note.",
        FOLDS,
        """\
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    print(cross_val_score(clf, X, y, scoring="f1"))
print(audit_cross_validation(clf, X, y, scoring="f1"))
""",
        """\
print(cross_val_score(clf, X, y, scoring="f1_macro").round(2))
print(audit_cross_validation(clf, X, y, scoring="f1_macro").codes)
""",
        "blocks",
    ),
    Page(
        "G3",
        "A score that is missing from the results",
        "`cross_validate` lacks a score that the scorer does return, or raises `KeyError` after all folds were fitted.",
        "The scorer returns a dict, and its keys depend on the classes that a fold happens to test. scikit-learn takes "
        "the keys of the first fold: others are dropped in silence, and one that a later fold lacks is a `KeyError`.",
        "The same keys for any rows, NaN where there is nothing to score: `PerClassAccuracyScoring(y)`, "
        "`per_class_accuracy_scorers(y)`. Stratified folds test every class.",
        FOLDS
        + """from sktorch_acc import PerClassAccuracyScoring


def recalls(estimator, X, y):
    return {str(label): (estimator.predict(X[y == label]) == label).mean() for label in np.unique(y)}


rows = np.arange(150)
cv = [(rows[1::2], rows[:100:2]), (rows[::2], rows[1::2])]  # the first fold tests no virginica
""",
        """\
scores = cross_validate(clf, X, y, cv=cv, scoring=recalls)
print([name for name in scores if name.startswith("test_")])
print(audit_cross_validation(clf, X, y, cv=cv, scoring=recalls).codes)
""",
        """\
scores = cross_validate(clf, X, y, cv=cv, scoring=PerClassAccuracyScoring(y))
print([name for name in scores if name.startswith("test_")])
print(audit_cross_validation(clf, X, y, cv=StratifiedKFold(3), scoring=PerClassAccuracyScoring(y)).codes)
""",
        "blocks",
    ),
    Page(
        "G5",
        "A report without the accuracy",
        "`classification_report` has no `accuracy` row, but one called `micro avg`.",
        "`labels=` names some of the classes. The rows of the others are left out, so scikit-learn has no accuracy to "
        "show; it shows averages over the classes named, and says nothing of the rest.",
        "Leave `labels` out, or name every class. `sktorch_acc.metrics.classification_report` prints scikit-learn's "
        "report, and says under it which classes are left out and how many rows they have.",
        """\
import numpy as np
from sklearn.metrics import classification_report as sklearn_report
from sktorch_acc.metrics import classification_report

y_true = np.repeat(["cat", "dog", "fox"], [40, 20, 10])
y_pred = np.repeat(["cat", "dog", "cat", "dog", "fox"], [33, 7, 1, 19, 10])
""",
        """\
print("accuracy" in sklearn_report(y_true, y_pred, labels=["cat", "dog"]))
print(classification_report(y_true, y_pred, labels=["cat", "dog"]))
""",
        """\
print(classification_report(y_true, y_pred))
""",
        "blocks",
    ),
]
