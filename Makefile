# demo, test, lint, dist, docs, readme, bench and faults each work on a fresh machine: they set up .venv first, once for each setup.cfg.
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= auto
# A worker for each core, and each computes on one thread: more would take the cores from each other.
PYTEST := OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest

.PHONY: demo test test-everywhere test-lowest lint dist docs readme bench faults

demo: .venv/.installed
	$(BIN)/longtail run configs/digits_lt.yaml

test: .venv/.installed
	$(PYTEST) -n $(WORKERS) --dist worksteal --leave-nothing

test-everywhere: .venv/.installed
	PYTHON=$(BIN)/python WORKERS=$(WORKERS) tests/variations.sh

# The same tests with the lowest version of every package that setup.cfg allows, in an environment of its own.
test-lowest: .venv-lowest/.installed
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} .venv-lowest/bin/python -m pytest -n $(WORKERS) --dist worksteal --leave-nothing

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The source distribution, and the wheel built from it.
dist: .venv/.installed
	$(BIN)/python -m build --outdir dist .

docs: readme
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

readme: .venv/.installed
	$(BIN)/python docs/generate.py

bench: .venv/.installed
	$(BIN)/python -m pytest tests/benchmarks -m bench -s

faults: .venv/.installed
	$(BIN)/python -m pytest tests/faults -m faults -s

.venv/.installed: setup.cfg
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

.venv-lowest/.installed: setup.cfg
	$(PYTHON) -m venv .venv-lowest
	$(PYTHON) tests/lowest_versions.py > .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check --constraint .venv-lowest/constraints.txt --editable '.[dev]'
	@touch $@
