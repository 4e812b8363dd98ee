# The two commands of the README, and what they stand on. Everything comes from PyPI, into .venv.
# All runs as `python -m`: the first line of an installed script does not bear every folder.
PYTHON ?= python3
BIN := .venv/bin
LOCK := -c requirements.lock

.PHONY: demo test slow lowest lint site clean

demo: .venv/demo
	$(BIN)/python -m bitfold demo

test: .venv/all lint
	$(BIN)/python -m pytest -n 2 -m "not slow"

slow: .venv/all
	$(BIN)/python -m pytest -n 2 -m slow

# The lowest versions that pyproject.toml promises; with them a machine of every kind of layer is the same Verilog, too.
LOWEST := $(foreach part,model_tensor model_layers model_file model_net model_export model_data_* model_train_recipe \
  hw_scale cli,tests/test_$(part).py)
EVERY_KIND := from test_hw_build import *; from bitfold import *; from pathlib import Path; \
  write_verilog(EVERYTHING, EVERYWHERE, Path("build/verilog"))

lowest: .venv/all build/lowest/installed
	PYTEST_ADDOPTS= build/lowest/bin/python -m pytest -n 2 -m "not slow" $(LOWEST)
	PYTHONPATH=tests $(BIN)/python -c '$(EVERY_KIND)' && mv build/verilog/bitfold.v build/verilog/locked.v
	PYTHONPATH=tests build/lowest/bin/python -c '$(EVERY_KIND)' && cmp build/verilog/bitfold.v build/verilog/locked.v

build/lowest/installed: .venv/pip pyproject.toml .ci/lowest
	$(BIN)/python -m venv build/lowest
	$(BIN)/python .ci/lowest > build/lowest/constraints.txt
	$(call torch,build/lowest/bin/python,-c build/lowest/constraints.txt)
	build/lowest/bin/python -m pip install --quiet -c build/lowest/constraints.txt \
	  -e '.[sim,plot,train]' pytest pytest-xdist hypothesis
	@touch $@

lint: .venv/all
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -c 'from importlinter.cli import lint_imports_command; lint_imports_command()' --no-cache
	mkdir -p build && ln -sfn .. build/bitfold && MYPYPATH=build $(BIN)/python -m mypy

site: .venv/docs .venv/web
	mkdir -p build && $(BIN)/python examples/draw_a_digit.py -o build/draw-a-digit.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

.venv/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "bitfold needs Python 3.11 or newer; name one with: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import os, sys; sys.exit(any(sign in os.getcwd() for sign in "$$:"))' \
	  || { echo 'setuptools and venv take no folder with $$ or : in its path; move this one'; exit 2; }
	@$(PYTHON) -m venv .venv \
	  || { echo "this Python cannot make a virtual environment (Debian: apt install python3-venv)"; exit 2; }
	@touch $@

.venv/demo: .venv/pip pyproject.toml requirements.lock
	$(BIN)/python -m pip install --quiet $(LOCK) -e '.[sim]'
	@touch $@

.venv/docs: .venv/pip pyproject.toml requirements.lock
	$(BIN)/python -m pip install --quiet $(LOCK) -e '.[docs]'
	@touch $@

# PyTorch's own index has the build without CUDA, which is 20 times smaller than the one PyPI gives Linux.
define torch
$(1) -m pip install --quiet --retries 0 $(2) --index-url https://download.pytorch.org/whl/cpu torch 2> /dev/null \
  || { echo "the torch without CUDA cannot be had from download.pytorch.org: PyPI's is taken"; $(1) -m pip install --quiet $(2) torch; }
endef

.venv/web: .venv/pip pyproject.toml requirements.lock
	$(BIN)/python -m pip install --quiet $(LOCK) -e '.[web]'
	@touch $@

.venv/torch: .venv/pip requirements.lock
	$(call torch,$(BIN)/python,$(LOCK))
	@touch $@

.venv/all: .venv/demo .venv/torch
	$(BIN)/python -m pip install --quiet $(LOCK) -e '.[all]'
	@touch $@

clean:
	rm -rf .venv build bitfold-demo *.egg-info
