# `make demo` and `make test` need only Python (>= 3.11) and make: each makes the virtual environment it uses.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
DEMO := $(VENV)/.installed-demo
DEV := $(VENV)/.installed-dev

.PHONY: demo test lint types bench clean

demo: $(DEMO)
	$(BIN)/sktorch-acc demo

test: $(DEV)
	$(BIN)/python -m pytest -n 2 --dist loadfile

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
