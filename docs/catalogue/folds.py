"""Families A and G in cross-validations by scikit-learn."""

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
X, y = X[:, :2], np.array(["setosa", "versicolor", "virginica"])[numbers]  # 50 samples each, sorted
clf = GaussianNB()
"""

PAGES = [
    Page(
        "A13",
        "The mean over folds",
        "`cross_val_score(...).mean()` is not the share of correct predictions over all test samples.",
        "The folds have different sizes, for example with groups, but the mean gives all folds the same weight.",
        "Pool the counts: all correct predictions divided by all test samples, as `cross_val_per_class_accuracy` does; "
        "or state that the value is a mean over folds.",
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
        "A classifier that scikit-learn does not recognise",
        "`cross_val_score` gives `[0. 0. 0.]`, though the model fits well.",
        "scikit-learn stratifies folds only for classifiers, which it recognises by the estimator's tags "
        "(`is_classifier`). Otherwise an integer `cv` splits the samples in their order: with sorted labels, each fold "
        "tests a class on which it was not fitted.",
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
        "fails, into `All the 5 fits failed`). `scoring='f1'` is for two classes, one of them 1; `roc_auc` needs an "
        "option for more classes. A metric can also be undefined in a fold with one class.",
        "`audit_cross_validation` reports the fold, what raised, and what to do about known causes; "
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
        "The scorer returns a dict whose keys depend on the classes of the test set. scikit-learn takes the keys of "
        "the first fold: it silently drops others, and raises `KeyError` if a later fold lacks one.",
        "Return the same keys for any samples, NaN where a score is undefined: `PerClassAccuracyScoring(y)`, "
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
        "`labels=` has some of the classes. Samples of the others are left out, so that scikit-learn cannot show the "
        "accuracy; it shows averages over these classes, without a note.",
        "Leave `labels` out, or list every class. `sktorch_acc.metrics.classification_report` prints scikit-learn's "
        "report, and below it the classes that are left out and their number of samples.",
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
