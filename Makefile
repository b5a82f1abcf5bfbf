# `make demo` and `make test` need only Python (>= 3.11) and make: each makes the virtual environment it uses.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile
DEMO := $(VENV)/.installed-demo
DEV := $(VENV)/.installed-dev

.PHONY: demo quick test slow lint types bench clean

demo: $(DEMO)
	$(BIN)/sktorch-acc demo

# The unit tests, without those that are slow.
quick: $(DEV)
	$(PYTEST) -m 'not slow' tests/unit

# All tests, pages and docstrings, without those that are slow.
test: $(DEV)
	$(PYTEST) -m 'not slow'

# The tests that start processes or take seconds: with `make test`, every test is run once.
slow: $(DEV)
	$(PYTEST) -m slow

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(DEV)
	$(BIN)/mypy

bench: $(DEV)
	$(BIN)/python -m benchmarks.run
	$(BIN)/python -m benchmarks.publish

clean:
	rm -rf $(VENV)

# torch first and by itself: so the release of constraints.txt is taken, whatever the other packages would accept.
$(VENV)/.torch: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sktorch-acc needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	touch $@

$(DEMO): $(VENV)/.torch pyproject.toml
	$(PIP) --editable '.[plot]'
	touch $@

$(DEV): $(VENV)/.torch pyproject.toml
	$(PIP) --editable '.[dev]'
	touch $@ $(DEMO)
