# `make demo` and `make test` need only Python (3.11 to 3.13) and make.
PYTHON ?= python3
BIN := .venv/bin
SEED := $(shell date +%s)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test torture torture-replicas torture-kills bench bench-data lint clean

demo: .venv/installed  ## the article's experiment: three layers learn to echo
	$(BIN)/lstmcli train --layers 3

test: .venv/installed-dev lint  ## lint, types, import contracts, tests
	$(BIN)/python -m pytest

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cog --check -P -I tests README.md

torture: torture-replicas torture-kills  ## what the tests try a little, tried at length

torture-replicas: .venv/installed-dev  ## 200 random settings: has each replica the bits of a run of its own?
	@echo "seed $(SEED); the same again: make $@ SEED=$(SEED)"
	@set -e; for part in 1 2 3 4 5 6 7 8; do \
	  $(BIN)/python -m pytest tests/test_replicas.py -k settings --replica-examples 25 \
	    --hypothesis-seed $$(($(SEED) + part)); \
	done  # A process each, as none can map the code of a thousand compiled programs.

torture-kills: .venv/installed-dev  ## a run killed 200 times: does it end with the bits of one left alone?
	@echo "seed $(SEED); the same again: make $@ SEED=$(SEED)"
	$(BIN)/python -m pytest tests/test_kills.py --kills 200 --kill-seed $(SEED) -rP

bench: .venv/installed-dev  ## lstmcli beside Keras, PyTorch, JAX and plain C, in one run
	$(INSTALL) --editable '.[bench]'
	$(BIN)/python benchmarks/bench.py

bench-data: .venv/installed-dev  ## texts and tables beside PyTorch, Keras and pandas, in one run
	$(INSTALL) --editable '.[bench]'
	$(INSTALL) --no-deps 'aeon>=1.6'  # For a dataset in it: its code asks for older libraries.
	$(BIN)/python benchmarks/data.py

clean:
	rm -rf .venv

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and "error: lstmcli needs Python 3.11 to 3.13; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) --editable .
	touch $@

.venv/installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) --editable '.[dev]'
	touch $@ .venv/installed
