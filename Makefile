# Two commands matter: `make demo` and `make test`. Both start from nothing but
# Python 3.11 or newer (with venv) and make.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
PROTOS := $(wildcard protos/shop/v1/*.proto)

.DEFAULT_GOAL := help
.PHONY: help install dev demo test test-cockroach sceptic experiments drills soak
.PHONY: dist-check lint wheel protos clean

help:  ## What can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## / - /'

$(VENV)/lab.stamp: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("seawall needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	@echo "Installing into $(VENV) (once)..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install -c constraints.txt -e '.[lab]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/lab.stamp
	@$(PIP) install -c constraints.txt -e '.[lab,dev]'
	@touch $@

install: $(VENV)/lab.stamp  ## Install the lab into a virtual environment of its own

dev: $(VENV)/dev.stamp  ## Install what its tests need as well

demo: install  ## Three regions, one slow database: sick, then cured, then the verdict
	@$(BIN)/seawall demo

test: $(VENV)/dev.stamp  ## The test suite
	@$(BIN)/python -m pytest

test-cockroach: $(VENV)/dev.stamp  ## The data suite and experiments on the database that COCKROACH_URL names
	@$(BIN)/python -m pytest -m cockroach

sceptic: $(VENV)/dev.stamp  ## The proof that the proof is sound; a quarter of an hour
	@$(BIN)/python -m pytest -m sceptic

experiments: $(VENV)/dev.stamp  ## Every experiment, and without the cure it is about; half an hour
	@$(BIN)/python -m pytest -m "experiment and not cockroach"

drills: $(VENV)/dev.stamp  ## Every drill with every fault, and what must not pass; five minutes
	@$(BIN)/python -m pytest -m drill

soak: $(VENV)/dev.stamp  ## A million calls, and nothing may grow; two minutes
	@$(BIN)/python -m pytest -m soak

dist-check: $(VENV)/dev.stamp  ## seawall-resilience on every Python here, oldest and newest gRPC
	@$(BIN)/python -m pytest -m dist

wheel: $(VENV)/dev.stamp  ## The resilience package alone, as a wheel in dist/
	@$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist ./resilience

lint: $(VENV)/dev.stamp  ## Style, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

protos: $(VENV)/dev.stamp  ## Regenerate the committed protobuf code
	@$(BIN)/python -m tests.house.generate_protos

clean:  ## Remove what was installed and what the lab left
	rm -rf $(VENV) .seawall
