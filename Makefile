# nnlab: everything starts here. `make demo` and `make test` need python3, pip and make, no more.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TYPES := .venv-types
BENCH := .venv-bench
# Tests run side by side; one thread each keeps them from waiting for one another. They start
# hundreds of processes: none of them has to compile nnlab's modules anew, whatever is set around.
TEST_WORKERS ?= 2
# What the campaign of faults draws its cases with.
SEED ?= 1
# A data file of photographs for the benchmark of the nearest neighbours.
PHOTOS ?=
# setuptools greets every editable install with a banner that a newcomer would take for a fault.
INSTALL = -m pip install --quiet --disable-pip-version-check
INSTALL_HERE = PYTHONWARNINGS=ignore $(BIN)/python $(INSTALL)
PYTEST = OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadgroup

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-wheel test-oracle test-sweep test-mpi test-slurm test-browser \
	test-network campaign-network campaign-fuzz \
	test-faults campaign test-all lint format types bench docs clean

help:
	@echo 'make demo         prepare images, train, evaluate, compare: the main job in two minutes'
	@echo 'make test         the tests, at most five minutes'
	@echo 'make test-all     all tests: also slow ones, the wheel, PyTorch, a browser'
	@echo 'make test-faults  kills, faulty disks, hostile files: some cases, four minutes at most'
	@echo 'make campaign     the same, all cases; SEED=2 draws others'
	@echo 'make campaign-network   downloads under 200 mixtures of faults of a server'
	@echo 'make campaign-fuzz      20,000 damaged files of every format'
	@echo 'make lint         ruff: rules and format        make format   put the format right'
	@echo 'make types        mypy on the installed package'
	@echo 'make bench        speed beside other libraries; PHOTOS=photos.h5 names photographs'
	@echo 'make docs         the pages of docs/ideas, with what their commands print; SMALL=1 is quicker'
	@echo 'make clean        remove the environments and what the demo made'

demo: $(VENV)/.installed
	PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/demo.sh

test: $(VENV)/.installed-test
	$(PYTEST) -m "not slow and not wheel and not oracle and not network and not faults \
		and not slurm and not browser and not sweep and not mpi"

test-slow: $(VENV)/.installed-test
	$(PYTEST) -m slow

# Kills, faults and hostile files: some cases in CI, all of them in the campaign.
test-faults: $(VENV)/.installed-test
	$(PYTEST) -m faults tests/faults

campaign: $(VENV)/.installed-test
	$(PYTEST) -m faults tests/faults --campaign --faults-seed $(SEED)
# As root, with Debian's SLURM; the ranks need mpi4py and mpich, too.
test-slurm: $(VENV)/.installed-test
	$(PYTEST) -m slurm

# Without the packages mpi4py and mpich they are skipped.
test-mpi: $(VENV)/.installed-test $(VENV)/.installed-mpi
	$(BIN)/python $(INSTALL) mpich
	$(PYTEST) -m mpi

test-sweep: $(VENV)/.installed-test
	$(PYTEST) -m sweep

test-wheel: $(VENV)/.installed-test
	$(PYTEST) -m wheel

test-oracle: $(VENV)/.installed-oracle
	$(PYTEST) -m oracle

test-browser: $(VENV)/.installed-browser
	$(PYTEST) -m browser

# Downloads under mixtures of a server's faults: 40 in CI, 200 in the campaign.
test-network: $(VENV)/.installed-test
	$(PYTEST) -m network

campaign-network: $(VENV)/.installed-test
	NNLAB_SCHEDULES=200 $(PYTEST) -m network

# 20,000 damaged files of every format, and archives of a million members.
campaign-fuzz: $(VENV)/.installed-test
	NNLAB_FUZZ=20000 $(PYTEST) tests/datasets/test_fuzzing.py tests/datasets/test_hostile_input.py

test-all: test test-slow test-wheel test-oracle test-browser test-network test-faults test-sweep test-mpi test-slurm

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# mypy cannot follow folders that install under another name; it reads what users install, from
# another folder: here, `nnlab` would be the source tree without its commands and data sets.
types: $(TYPES)/.made
	$(TYPES)/bin/python $(INSTALL) '.[types]'
	rm -rf build  # what an earlier build left would be installed again
	$(TYPES)/bin/python $(INSTALL) --force-reinstall --no-deps .
	cd $(TYPES) && bin/mypy --config-file ../pyproject.toml --cache-dir ../.mypy_cache -p nnlab

bench: $(BENCH)/.installed
	$(BENCH)/bin/python benchmarks/startup.py
	$(BENCH)/bin/python benchmarks/training.py
	$(BENCH)/bin/python benchmarks/checkpoints.py $(PHOTOS)
	$(BENCH)/bin/python benchmarks/diagnostics.py
	$(BENCH)/bin/python benchmarks/neighbors.py $(PHOTOS)
	$(BENCH)/bin/python benchmarks/ranks.py
	$(BENCH)/bin/python benchmarks/sweep.py $(if $(PHOTOS),--data $(PHOTOS))
	$(BENCH)/bin/python benchmarks/decoding.py

docs: $(VENV)/.installed-docs
	$(BIN)/python docs/build.py $(if $(SMALL),--small)

clean:
	rm -rf docs/build $(VENV) $(TYPES) $(BENCH) demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Environments. Debian splits ensurepip from python3; there, pip puts itself into the new one.
%/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'nnlab needs Python 3.11 or newer; name one: make PYTHON=python3.12 demo'; exit 2; }
	$(PYTHON) -m venv $* >/dev/null 2>&1 || { rm -rf $* && $(PYTHON) -m venv --without-pip $* && \
		$(PYTHON) -m pip --quiet --python $*/bin/python install pip; }
	touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml
	$(INSTALL_HERE) -e .
	touch $@

$(VENV)/.installed-%: $(VENV)/.installed
	$(INSTALL_HERE) -e '.[$*]'
	touch $@

# Tests against PyTorch and in a browser are tests: they need both.
$(VENV)/.installed-oracle $(VENV)/.installed-browser: $(VENV)/.installed-test

$(BENCH)/.installed: $(BENCH)/.made pyproject.toml benchmarks/requirements.txt
	PYTHONWARNINGS=ignore $(BENCH)/bin/python $(INSTALL) -e . -r benchmarks/requirements.txt
	touch $@

.PRECIOUS: %/.made
