# Everything a newcomer needs: `make demo` and `make test`. Wants Python 3.11 or later and make, nothing else.
#
#   PYTHON=...   the interpreter to build .venv with (found by itself when not given)
#   VENV=...     where the virtual environment goes; a relative path
#   ARGS=...     passed on to `tercel demo`, `tercel bench` or pytest
#   WORKERS=...  test processes at once
#   SEEDS=...    histories that `make simulation` runs, from number FIRST on; KILLS=... kills of `make kills`
#   MUTATIONS=.. damaged inputs that `make fuzz` gives to each decoder

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= auto
ARGS ?=
SEEDS ?= 2000
FIRST ?= 0
KILLS ?= 200
MUTATIONS ?= 1000000
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$p" && break; done)
# Under this name, so that `make --dry-run test` stays dry: a line that says MAKE would be run all the same.
THIS_MAKE := $(MAKE)
PYTEST := $(BIN)/python -m pytest

# The kernels' tests that also run without Numba: small enough for the interpreter.
INTERPRETED := tests/unit/features tests/unit/orders tests/unit/risk tests/unit/book tests/unit/test_jit_records.py \
	tests/property --ignore=tests/property/test_venue_against_naive.py

.PHONY: help demo test setup setup-dev lint format types imports warmup test-interpreted simulation kills fuzz test-compiled \
	bench docs docs-check clean clean-all

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' Makefile

demo: setup ## a strategy on a simulated market, and its report
	@$(BIN)/tercel demo $(ARGS)

test: setup-dev ## every lane; pytest's summary comes last
	@PYTEST_ARGS='$(ARGS)' MAKE='$(THIS_MAKE)' VENV='$(VENV)' WORKERS='$(WORKERS)' bash .ci/lanes

setup: $(VENV)/.core ## .venv with tercel alone

setup-dev: $(VENV)/.dev ## .venv with the tools of the tests

# The stamps are older than pyproject.toml after it changed; then pip runs again.
$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or later found; give one with PYTHON=/path/to/python" >&2; exit 1; }
	@echo "making $(VENV) with $(PYTHON)"
	@"$(PYTHON)" -m venv "$(VENV)"
	@touch $@

$(VENV)/.core: pyproject.toml | $(VENV)/.python
	@echo "installing tercel into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.python
	@echo "installing tercel and the tools of its tests into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(VENV)/.core $@

lint: setup-dev ## ruff: rules and format
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

format: setup-dev ## ruff: put the format right
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

types: setup-dev ## mypy --strict
	@$(BIN)/python -m mypy

imports: setup-dev ## import-linter: the rooms see only what they may
	@$(BIN)/lint-imports --no-cache --no-logo

warmup: setup ## compile every kernel into the cache
	@$(BIN)/tercel warmup

test-interpreted: setup-dev ## kernels in the interpreter, without Numba
	@NUMBA_DISABLE_JIT=1 $(PYTEST) -n $(WORKERS) --maxprocesses=4 --dist=loadfile $(INTERPRETED) $(ARGS)

test-compiled: setup-dev ## the whole test tree, compiled
	@$(PYTEST) -n $(WORKERS) --maxprocesses=4 --dist=loadfile $(ARGS)

simulation: setup-dev ## whole sessions on a simulated network, SEEDS of them
	@TERCEL_SIMULATION_SEEDS=$(SEEDS) TERCEL_SIMULATION_FIRST=$(FIRST) $(PYTEST) -n $(WORKERS) --maxprocesses=4 --dist=worksteal -q \
		tests/simulation/test_simulation.py $(ARGS)

kills: setup-dev ## kill -9 of a busy session, KILLS times
	@TERCEL_KILLS=$(KILLS) $(PYTEST) -n $(WORKERS) --maxprocesses=4 --dist=worksteal -q tests/live/test_kill.py $(ARGS)

fuzz: setup-dev ## damaged inputs, MUTATIONS of them to each decoder
	@TERCEL_FUZZ=$(MUTATIONS) $(PYTEST) -n $(WORKERS) --maxprocesses=4 --dist=worksteal -q -m fuzz tests/unit tests/simulation $(ARGS)

bench: setup ## the benchmark table (peers: pip install -e '.[bench]')
	@$(BIN)/tercel bench $(ARGS)

docs: setup-dev ## write the generated parts of the documents anew
	@$(BIN)/python docs/generate.py

docs-check: setup-dev ## documents against the code: links, commands, generated parts
	@$(PYTEST) tests/meta -k 'docs or readme' $(ARGS)

clean: ## what builds and tests leave behind
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage build dist
	@find src tests examples -name __pycache__ -type d -prune -exec rm -rf {} +

clean-all: clean ## that, and the virtual environment
	@rm -rf "$(VENV)"
