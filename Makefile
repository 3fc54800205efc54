# The task vocabulary: README, CI and people call these, nothing is spelled twice.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.12 python3.11 python3; do command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null && { echo $$p; break; }; done)
STAMP := $(VENV)/.installed
# what we measure ourselves against and never need: kept out of our own environment
PEERS := .venv-peers

.PHONY: help install demo dev test test-all test-lakefs check types contracts unit bench soak calibrate policies graph lock format clean

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

install: $(STAMP) ## the environment in .venv, every version by its hash

# uv comes from the lock too, hash and all; it then installs the rest
$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or 3.12 found; name one: make PYTHON=/path/to/python3.12"; exit 1; }
	@.ci/system-packages
	@echo "installing into $(VENV) with $$($(PYTHON) --version)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@sed -n '/^uv==/,/^[^ ]/p' requirements.lock | sed '$$d' > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.txt
	@$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: $(STAMP) ## play the year 2013 through the model flight_delay
	@$(BIN)/mlops replay flight_delay

dev: $(STAMP) ## the Dagster UI and daemon on the same state
	@exec $(BIN)/mlops dev

test: check types contracts unit ## lint, types, import contracts, tests

test-all: check types contracts ## the slow suites too
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not lakefs'

test-lakefs: $(STAMP) ## what speaks to lakeFS, against the real server that LAKECTL_* name
	@for name in SERVER_ENDPOINT_URL CREDENTIALS_ACCESS_KEY_ID CREDENTIALS_SECRET_ACCESS_KEY; do \
		name=LAKECTL_$$name; test -n "$${!name:-}" || { echo "error: $$name is not set: name a lakeFS server to test against, and who you are there"; exit 1; }; \
	done
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m lakefs

check: $(STAMP) ## ruff: lint and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP) ## mypy, strict
	@$(BIN)/mypy

contracts: $(STAMP) ## import-linter: who may import whom
	@$(BIN)/lint-imports

unit: $(STAMP) ## tests but the slow ones
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m 'not slow and not lakefs'

calibrate: $(STAMP) $(PEERS)/.installed ## false alarms, power and delay of the drift verdict: docs/calibration.md
	@$(BIN)/python -m tests.benchmarks.calibration

bench: $(STAMP) $(PEERS)/.installed ## ours and the peers', side by side
	@$(BIN)/python -m tests.benchmarks

soak: $(STAMP) ## a bad night of 20 minutes under the real daemon; SEED=n plays one again
	@$(BIN)/python -m tests.soak $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES))

graph: $(STAMP) ## draw docs/graph.png anew, from the definitions
	@$(BIN)/python -W ignore -m tests.docs.graph

policies: $(STAMP) ## what policies are worth on the flights over ten seeds (an hour); writes docs/policies.md
	@$(BIN)/python -m tests.benchmarks.policies --page docs/policies.md

$(PEERS)/.installed: tests/benchmarks/peers.lock | $(STAMP)
	@echo "installing the peers into $(PEERS)"
	@test -x $(PEERS)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(PEERS)
	@$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes --python $(PEERS)/bin/python $<
	@touch $@

lock: $(STAMP) ## resolve every version again
	@$(BIN)/uv pip compile pyproject.toml --group dev --universal --generate-hashes --quiet --upgrade --no-header --no-annotate --output-file requirements.lock
	@$(BIN)/uv pip compile tests/benchmarks/peers.in --python-version 3.11 --universal --generate-hashes --quiet --upgrade --no-header --no-annotate --output-file tests/benchmarks/peers.lock

format: $(STAMP) ## let ruff mend what it can
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

clean: ## remove the environment, the caches and the home with all its state
	rm -rf $(VENV) $(PEERS) .mlops .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
