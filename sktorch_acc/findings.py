"""What a check returns, a finding with its catalogue code, and what `diagnose` returns, all findings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Literal

import pandas as pd

__all__ = ["Diagnosis", "Finding", "errors_first"]

_SEVERITIES = ("error", "warning", "info")


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem that a check found.

    Parameters
    ----------
    code : str or None
        Catalogue code, such as ``"ACC-C1"``; None if the catalogue has none.
    severity : {"error", "warning", "info"}
        ``"error"``: the result is wrong; ``"warning"``: it may mislead; ``"info"``: it needs an explanation.
    message : str
        What is wrong, what was expected and what was given.
    advice : str
        What to do about it.
    """

    code: str | None
    severity: Literal["error", "warning", "info"]
    message: str
    advice: str

    def __str__(self) -> str:
        prefix = "" if self.code is None else f"[{self.code}] "
        return f"{prefix}{self.text}"

    @property
    def text(self) -> str:
        """Message and advice as one paragraph, without the code."""
        return f"{self.message} {self.advice}".strip()


def errors_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort findings by severity, and keep the order within one severity."""
    return tuple(sorted(findings, key=lambda finding: _SEVERITIES.index(finding.severity)))


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """The findings of an examination, shown as text, or as a table in a notebook.

    Parameters
    ----------
    findings : tuple of Finding
        The problems found, errors first; each with `code`, `severity`, `message` and `advice`.
    subject : str
        What was examined, and on how many samples.

    Examples
    --------
    >>> import torch
    >>> from sktorch_acc import diagnose
    >>> X, y = torch.eye(6).repeat(5, 1), torch.arange(30) % 3
    >>> found = diagnose(torch.nn.Linear(6, 3), X, y, criterion=torch.nn.CrossEntropyLoss())
    >>> found.findings
    ()
    >>> print(found)
    Diagnosis of Linear on 30 samples: nothing found.
    """

    findings: tuple[Finding, ...]
    subject: str

    @property
    def codes(self) -> list[str]:
        """Catalogue codes of the findings, each once."""
        return list(dict.fromkeys(f.code for f in self.findings if f.code is not None))

    def __repr__(self) -> str:
        if not self.findings:
            return f"Diagnosis of {self.subject}: nothing found."
        plural = "" if len(self.findings) == 1 else "s"
        lines = [f"Diagnosis of {self.subject}: {len(self.findings)} finding{plural}."]
        for finding in self.findings:
            code = f"[{finding.code}] " if finding.code else ""
            lines += ["", f"  {code}{finding.severity}: {finding.message}"]
            lines += [f"    -> {finding.advice}"] if finding.advice else []
        return "\n".join(lines)

    def to_frame(self) -> pd.DataFrame:
        """Return the findings as a table.

        Returns
        -------
        frame : DataFrame of shape (n_findings, 4)
            Columns ``code``, ``severity``, ``message``, ``advice``.
        """
        columns = ["code", "severity", "message", "advice"]
        return pd.DataFrame([[getattr(f, name) for name in columns] for f in self.findings], columns=columns)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(f.code or '')}</td><td>{escape(f.severity)}</td><td>{escape(f.message)}</td>"
            f"<td>{escape(f.advice)}</td></tr>"
            for f in self.findings
        )
        head = "<tr><th>code</th><th>severity</th><th>what</th><th>what to do</th></tr>"
        table = f"<table>{head}{rows}</table>" if rows else "<p>nothing found</p>"
        return f"<div><p><b>Diagnosis of {escape(self.subject)}</b></p>{table}</div>"
