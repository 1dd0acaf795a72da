# `make` lists the targets. Every target is safe to repeat.

PYTHON ?= python3
# Passed to pip, for instance to choose another index for torch (see README, "With a GPU").
PIP_FLAGS ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := true

.DEFAULT_GOAL := help
.PHONY: help setup repro test check format ui flow serve deployments theatre lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## virtual environment in .venv with the locked packages
$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "missing: $(PYTHON). Install Python 3.11 or 3.12, or say make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' || { echo "$(PYTHON) is $$($(PYTHON) -V); UniSurg needs Python 3.11 or 3.12: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "missing: Python's venv module (on Debian: apt install python3-venv)"; exit 1; }
	@command -v git >/dev/null || { echo "missing: git"; exit 1; }
	@echo "== installing into $(VENV) (about 2 minutes)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --no-deps --editable .
	@touch $(READY)

repro: setup ## the whole path: data -> corpus -> encoder -> results -> report
	@echo "== dvc repro (from nothing: about three quarters of an hour on two cores; up to date: seconds)"
	@$(BIN)/dvc repro --keep-going || { echo "== something failed"; $(BIN)/unisurg report && echo "== the report has the rest, and what was said: $(CURDIR)/reports/index.html"; exit 1; }
	@echo "== the report: $(CURDIR)/reports/index.html"

test: setup ## the tests
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

check: setup ## lint, format and type checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup ## put the code into the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

flow: setup ## the same graph through Prefect
	$(BIN)/python -m flows.pipeline

serve: setup ## all flows with their schedules, in one process, and Prefect's pages
	$(BIN)/python -m flows.serve

deployments: setup ## write prefect.yaml anew, after a change of schedules
	$(BIN)/python -m flows.deployments

ui: setup ## the MLflow pages on this checkout's runs
	$(BIN)/unisurg ui

theatre: setup ## render the embedded theatre again and take it up in data.dvc
	$(BIN)/unisurg synthesize --output theatre
	$(BIN)/dvc repro data.dvc

lock: setup ## write requirements.lock from the environment
	@{ sed -n '/^#/p' requirements.lock; $(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu//'; } > requirements.new
	@mv requirements.new requirements.lock

clean: ## remove results and scratch; keep the environment and the runs
	rm -rf artifacts/* reports/* metrics/* .scratch
