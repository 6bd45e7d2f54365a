# Everything here does its own set-up, as root or not; a second run starts at once.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo run test check bench soak clean

VENV := .venv
BIN := $(VENV)/bin
NODE := contracts/node_modules
# Foundry from PATH (foundryup) if there is one, else npm's binaries.
FOUNDRY_PATH := $(CURDIR)/$(NODE)/@foundry-rs/forge-linux-amd64/bin:$(CURDIR)/$(NODE)/@foundry-rs/anvil-linux-amd64/bin
# It compiles by itself, in folders of its own; what it fails on: contracts/slither.config.json.
SLITHER := PATH="$$PATH:$(FOUNDRY_PATH)" FOUNDRY_OUT=out/slither FOUNDRY_CACHE_PATH=cache/slither $(CURDIR)/$(BIN)/slither
# One more than a small machine has cores: there is always a test that waits.
JOBS ?= 3

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /make \1|/p' Makefile | column -t -s '|'

setup: $(VENV)/.installed $(NODE)/.installed  ## Python packages and Foundry, pinned

demo: setup  ## one payment, told live in the terminal; leaves the shop running
	@$(BIN)/bezant demo

run: setup  ## the sandbox: a whole shop on this machine until Ctrl-C
	@$(BIN)/bezant sandbox

check: setup  ## format, lint, types, imports, dependencies, contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/python contracts/script/artifacts.py --check
	cd contracts && $(SLITHER) .

test: setup  ## every test, in parallel, on a real database and a real chain
	$(BIN)/pytest -n $(JOBS) --dist loadfile

soak: setup  ## the same kinds of test with the full numbers; resumable (SOAK=--list names them)
	@$(BIN)/python -m tests.soak $(SOAK)

bench: setup  ## how fast, as ratios to a floor taken in the same run
	$(BIN)/bezant bench

clean:  ## forget the set-up (never the data)
	rm -rf $(VENV) $(NODE)

$(VENV)/.installed: requirements.lock pyproject.toml
	@if command -v uv >/dev/null; then \
	  uv venv --quiet --allow-existing --python '>=3.11' $(VENV); \
	  uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock; \
	  uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .; \
	else \
	  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo 'Python 3.11 or newer is needed.' >&2; exit 1; }; \
	  python3 -c 'import ensurepip, venv' 2>/dev/null \
	    || { echo 'The venv module is missing: install the package python3-venv (or uv).' >&2; exit 1; }; \
	  python3 -m venv $(VENV); \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	fi
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -W ignore -m bezant.gate
	@touch $@

$(NODE)/.installed: contracts/package-lock.json contracts/.npmrc
	@if command -v npm >/dev/null; then \
	  cd contracts && npm ci --silent --no-audit --no-fund; \
	elif command -v anvil >/dev/null && command -v forge >/dev/null; then \
	  echo 'npm is not here: the sandbox runs, but the contracts cannot be compiled.' >&2; \
	else \
	  echo 'Anvil is missing: install the packages nodejs and npm (or Foundry).' >&2; exit 1; \
	fi
	@mkdir -p $(NODE) && touch $@
