# make run    environment, then the workflow on the built-in default, then where to look
# make test   environment, then the fast tests; make test-slow: the slow ones
# A GPU user replaces the pinned torch: make run TORCH="torch==2.13.0 --index-url <your CUDA index>"
PYTHON ?= python3
TORCH ?= torch==2.13.0
CORES ?= $(shell nproc 2>/dev/null || echo 2)
VENV ?= .venv
BIN := $(VENV)/bin
export PYTHONNOUSERSITE = 1

.PHONY: run test test-slow lint clean-env

run: $(VENV)/.ready
	$(BIN)/python main.py --config config/config.yaml --cores $(CORES)

test: $(VENV)/.ready
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(VENV)/.ready
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; assert (3, 11) <= sys.version_info[:2] <= (3, 12), 'Python 3.11 or 3.12 is needed: make run PYTHON=python3.12'"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip==25.3"
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $@

clean-env:
	rm -rf $(VENV)
