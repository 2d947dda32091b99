# Every target makes the virtual environment (.venv) itself when it is missing or older than pyproject.toml.
# Needs Linux, Python >= 3.11 with venv, git and make; no root.
#
#   PYTHON       the interpreter to use; the default is the first of python3, python3.14 ... python3.11 that is new enough
#   TORCH_INDEX  a package index for PyTorch only. PyTorch's default build for Linux on x86 brings gigabytes of CUDA; the
#                CPU build is enough, and 0.2 GB: make test TORCH_INDEX=https://download.pytorch.org/whl/cpu

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test soak faults fidelity fidelity-ssh fidelity-study check wheel docs bench figures reproduce clean

FIDELITY := hosts images gigabit requests tensor generation asteroid_d

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
TORCH := torch==2.13.0
PIP := .venv/bin/python -m pip --disable-pip-version-check install
PYTEST := .venv/bin/python -m pytest
# At most four at once: each worker that tests the runtime holds PyTorch. Tests of one xdist group never run side by side.
PARALLEL := -n auto --maxprocesses=4 --dist=loadgroup -p no:benchmark

help:  ## say what the targets do
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22
	@echo "PyTorch without CUDA: make test TORCH_INDEX=https://download.pytorch.org/whl/cpu"

demo: .venv/made  ## calibrate three emulated devices, plan, simulate and execute; a table, a Gantt chart, a Perfetto file
	.venv/bin/python -m experiments.demo

test: .venv/made  ## all tests but benchmarks and soaks
	$(PYTEST) $(PARALLEL)

soak: .venv/made  ## the tests that take minutes: thousands of random schedules and inputs
	$(PYTEST) $(PARALLEL) --soak

faults: .venv/made  ## plant 60 faults in runs on both testbeds, and write what came of them to results/faults/ (root)
	PYTHONPATH=.:tests .venv/bin/python -m faults.campaign

fidelity: .venv/made  ## calibrate and play 42 plans of seven workloads in both players, into results/validation/fidelity/: half an hour
	for workload in $(FIDELITY); do .venv/bin/python -m experiments.validate experiment=fidelity_$$workload || exit 1; done
	.venv/bin/python -m experiments.fidelity

fidelity-ssh: .venv/made  ## play 40 drawn plans over SSH on four hosts of a lab, into results/testbed/: 14 minutes; goes on where it ended (root)
	.venv/bin/python -m experiments.fidelity_study experiment=fidelity_ssh

fidelity-study: .venv/made  ## play some 340 drawn plans of 22 drawn clusters in both players, into results/fidelity/: an hour; goes on where it ended (root)
	.venv/bin/python -m experiments.fidelity_study

check: .venv/made  ## style, types and import contracts
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy --strict edgesim real_runtime
	.venv/bin/mypy --strict --python-version 3.10 edgesim real_runtime
	.venv/bin/lint-imports

wheel: .venv/made  ## build a wheel, install it apart, and try it in an empty folder
	$(PYTEST) -s tests/wheel

docs: .venv/made  ## make a site of the documentation, with a page for every public name, in build/site/
	NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict

bench: .venv/made  ## how fast is the simulator itself?
	$(PYTEST) tests/benchmarks

figures: .venv/made  ## redraw all figures from the tables in results/
	.venv/bin/python -m experiments.figures

reproduce: .venv/made  ## run all simulated studies again; which kept numbers moved?
	.venv/bin/python -m experiments.reproduce

clean:  ## remove the virtual environment, caches and runs; kept results stay
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks
	rm -rf outputs multirun results/runs results/sweeps results/searches
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last, so that a half-made environment does not count; without it everything is made anew.
# PyTorch comes first and alone: what follows then finds it installed and leaves it as it is.
.venv/made: pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python >= 3.11 found (install one, or say make PYTHON=/path/to/python3)" >&2; exit 1; }
	test -f $@ || $(PYTHON) -m venv --clear .venv
	rm -f $@
	$(PIP) $(TORCH) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(PIP) -e '.[dev]'
	touch $@
