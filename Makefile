# `make demo` and `make test` need only Python (3.11 to 3.13) and make.
PYTHON ?= python3
BIN := .venv/bin
COGGED := README.md CONTRIBUTING.md lstmcli/__init__.pyi $(wildcard docs/reference/*.md)
SEED := $(shell date +%s)
KILLS ?= 100
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo docs docs-run screenshots test test-slow test-all test-gpu torture torture-kills audit bench bench-data lint clean

demo: .venv/installed  ## the article's experiment: three layers learn to echo
	$(BIN)/lstmcli train --layers 3
	@echo
	@echo "To go on, paste these (or: source $(BIN)/activate, and leave out $(BIN)/):"
	@echo "  $(BIN)/lstmcli eval runs/latest"
	@echo "  $(BIN)/lstmcli report runs/latest"
	@echo "  $(BIN)/lstmcli --help"

test: .venv/installed-dev lint docs  ## lint, types, import contracts, and all tests but the slow ones
	$(BIN)/python tests/support/run_all.py -m "not slow"

test-slow: .venv/installed-dev  ## kills, power losses, the README's transcripts: all that takes long
	$(BIN)/python tests/support/run_all.py -m slow

test-all: test test-slow

test-gpu: .venv/installed-dev  ## on a machine with an NVIDIA GPU, after pip install '.[gpu]'
	$(BIN)/python -m pytest tests/gpu -rs

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cog --check -P -I tests/support $(COGGED)

docs: .venv/installed-dev  ## docs/_build/index.html
	$(BIN)/python -m sphinx -q -W --keep-going -n -b html docs docs/_build

docs-run: .venv/installed-dev  ## runs the commands in docs/ and updates the outputs below them
	$(BIN)/python tests/support/docs_run.py

screenshots: .venv/installed-dev  ## docs/images/: an answer, the live view and a page; needs Chromium or Chrome
	$(BIN)/python tests/support/screenshots.py

torture: .venv/installed-dev torture-kills  ## random settings, damages, power losses and files, from a seed
	@echo "seed $(SEED); to repeat: make torture SEED=$(SEED)"
	@set -e; for part in 1 2 3 4 5 6 7 8; do \
	  $(BIN)/python -m pytest tests/core/test_replicas.py -k settings --replica-examples 25 \
	    --hypothesis-seed $$(($(SEED) + part)); \
	done  # In processes of their own, too.
	$(BIN)/python -m pytest tests/training/test_damage.py tests/training/test_power_loss.py -k "random_damage or power" \
	  --damages 1000 --damage-seed $(SEED)
	$(BIN)/python -m pytest tests/core/test_long_runs.py --long-run 1
	$(BIN)/python -m pytest tests/data/test_fuzz.py --fuzz-examples 2000 --hypothesis-seed $(SEED)
	$(INSTALL) 'atheris>=3.0' || echo "atheris cannot be installed here: its part is left out"
	@set -e; if $(BIN)/python -c "import atheris" 2>/dev/null; then \
	  for reader in checkpoint npz csv beside table text config status trials; do \
	    $(BIN)/python tests/support/fuzzing.py $$reader -runs=20000 -seed=$(SEED) -verbosity=0; \
	  done; \
	fi

audit: .venv/installed-dev  ## known vulnerabilities of the installed versions
	$(INSTALL) 'pip-audit>=2.7'
	$(BIN)/python tests/support/audit.py constraints.txt

torture-kills: .venv/installed-dev  ## killed runs of every kind must end like uninterrupted ones; KILLS=100 of them
	@echo "seed $(SEED); to repeat: make $@ SEED=$(SEED) KILLS=$(KILLS)"
	$(BIN)/python -m pytest tests/*/test_kills*.py --kills $(KILLS) --kill-seed $(SEED) -rP

bench: .venv/installed-dev  ## lstmcli beside Keras, PyTorch, JAX and plain C, in one run
	$(INSTALL) --editable '.[bench]'
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/predict.py

bench-data: .venv/installed-dev  ## texts and tables beside PyTorch, Keras and pandas, in one run
	$(INSTALL) --editable '.[bench]'
	$(INSTALL) --no-deps 'aeon>=1.6'  # For a dataset in it: its code asks for older libraries.
	$(BIN)/python benchmarks/data.py
	$(BIN)/python benchmarks/intervals.py

clean:
	rm -rf .venv

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and "error: lstmcli needs Python 3.11 to 3.13; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing lstmcli and what it needs, TensorFlow among it, into .venv: 2.6 GB, a few minutes."
	$(subst --quiet,,$(INSTALL)) --editable .
	touch $@

.venv/installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing lstmcli and the tools that test it into .venv: several GB, some minutes."
	$(INSTALL) --editable '.[dev]'
	touch $@ .venv/installed
