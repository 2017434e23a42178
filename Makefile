# For: the two commands that a newcomer types (run, test) and the few that a developer does.
# Not for: logic; each target calls one program.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup run test test-slow ui check prove bench clean

BIN := .venv/bin
READY := .venv/.ready
# Small fits lose more to thread start-up than they gain; measured 20 times slower without this.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export VIRTUAL_ENV := $(CURDIR)/.venv
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1
export DAGSTER_DISABLE_TELEMETRY := yes
export DAGSTER_DG_UPDATE_CHECK_ENABLED := 0

help: ## this page
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(READY) ## the Python environment (.venv) and warm compile caches, when missing or out of date

$(READY): requirements.lock pyproject.toml .ci/tools.lock .ci/setup
	@.ci/setup

run: $(READY) ## the main job on the embedded market, up to today's parameters and a report
	@$(BIN)/weathervane run $(ARGS)

test: $(READY) ## the default test suite
	@$(BIN)/python -m pytest -n 2 $(ARGS)

test-slow: $(READY) ## the tests that take minutes
	@$(BIN)/python -m pytest -n 2 -m slow $(ARGS)

ui: $(READY) ## Dagster's and MLflow's web pages on 127.0.0.1; Ctrl-C ends both
	@$(BIN)/python -m pipeline.pages $(ARGS)

check: $(READY) ## lint, format, types, import contracts, definitions
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --config importlinter.toml
	@DAGSTER_HOME=$(CURDIR) $(BIN)/dg check defs

prove: $(READY) ## the long scorecard into out/prove: half an hour on two cores, goes on where it stopped
	@$(BIN)/weathervane prove --out out/prove $(ARGS)

bench: $(READY) ## benchmarks as ratios in one run, into benchmarks/results/
	@for script in benchmarks/*.py; do echo "$$script"; $(BIN)/python "$$script" || exit 1; done

clean: ## remove what the others made: environment, caches, .weathervane with all its results
	rm -rf .venv .build .weathervane .tmp_dagster_home_* .pytest_cache .mypy_cache .ruff_cache \
	    .hypothesis .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
