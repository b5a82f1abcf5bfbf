"""Write the pages of docs/codes from the catalogue; the printed output comes from running the code.

Run: python docs/make_codes.py
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from catalogue import counting, data, evaluation, folds, learning, outputs  # noqa: E402
from catalogue.page import Page  # noqa: E402

TARGET = HERE / "codes"
PAGES: list[Page] = [*counting.PAGES, *outputs.PAGES, *data.PAGES, *evaluation.PAGES, *learning.PAGES, *folds.PAGES]

_PAGE = """\
# ACC-{code}: {title}

**What you see.** {see}

**Why.** {why}

**What to do.** {fix}

Both {blocks} below run on this:

```python
{setup}
```

## Wrong

```python
{wrong}
```

It prints

```text
{wrong_prints}
```

## Right

```python
{right}
```

It prints

```text
{right_prints}
```

[All codes](index.md) · [My training accuracy is wrong](../why-is-my-accuracy-wrong.md)
"""

UNTESTABLE = """\
## Entries without a page

Some entries of the catalogue cannot be shown here, or are not detected yet:

- **A9** as in old versions of torch (`/` between integers before 1.5): only `//` can be run today.
- **B9**, float labels that a GPU backend accepts without an error: needs that backend.
- **H** (several processes): H1 is found from its value only; process groups are not examined.
- **E8** and **G4** cannot happen with this library.
"""


def printed(blocks: list[str]) -> list[str]:
    """Run blocks of code one after the other in one namespace; return what each printed."""
    namespace: dict[str, object] = {"__name__": "__page__"}
    texts = []
    with torch.random.fork_rng(devices=[]):
        for block in blocks:
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(block, "<page>", "exec"), namespace)
            texts.append(out.getvalue())
    return texts


def page_text(page: Page) -> str:
    """Return a page as Markdown."""
    _, wrong, right = printed([page.setup, page.wrong, page.right])
    texts = {name: text.rstrip() for name, text in vars(page).items()}
    return _PAGE.format(**texts, wrong_prints=wrong.rstrip(), right_prints=right.rstrip())


def index_text() -> str:
    """Return the list of all pages as Markdown."""
    rows = "\n".join(f"| [{page.code}](ACC-{page.code}.md) | {page.title} | {page.see} |" for page in PAGES)
    return f"""\
# The codes

One page per error, with the wrong and the right code. [`explain_accuracy`](../why-is-my-accuracy-wrong.md) finds them
from a printed accuracy, `diagnose` from a module and its data,
[`audit_loop`](../i-keep-my-loop.md#monitor-it-while-it-runs) from a running loop, and `audit_cross_validation` from the
folds; `fit` reports some in errors and warnings.

| code | error | what you see |
|---|---|---|
{rows}

{UNTESTABLE}"""


def all_files() -> dict[str, str]:
    """Return the content of every file of docs/codes by name."""
    return {"index.md": index_text(), **{f"ACC-{page.code}.md": page_text(page) for page in PAGES}}


def main() -> None:
    """Write the files."""
    TARGET.mkdir(exist_ok=True)
    for name, text in all_files().items():
        (TARGET / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
