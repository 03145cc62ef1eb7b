# `make demo` and `make test` are all a fresh machine needs; both make the virtual environment first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: help venv demo test test-fast notebooks docs lint types format figures clean

help:  ## Show the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

venv: $(INSTALLED)  ## Make .venv and install the project with everything its tests use

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all]'
	touch $@

demo: $(INSTALLED)  ## Train REINFORCE on CartPole and look at it (seconds)
	$(BIN)/sb3-ext demo

test: $(INSTALLED)  ## All tests
	$(BIN)/python -m pytest -n auto

test-fast: $(INSTALLED)  ## The tests of the edit loop (under three minutes)
	$(BIN)/python -m pytest -n auto -m 'not slow'

notebooks: $(INSTALLED)  ## Execute all notebooks of the course
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --nbmake --nbmake-timeout=600 notebooks

docs: $(INSTALLED)  ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

lint: $(INSTALLED)  ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)  ## Check types
	$(BIN)/mypy

format: $(INSTALLED)  ## Put the code in form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

figures: $(INSTALLED)  ## Measure every figure in the README again (a day)
	$(BIN)/sb3-ext figures
	$(BIN)/sb3-ext demo --compare-baselines
	$(BIN)/sb3-ext grpo
	$(BIN)/sb3-ext oracle
	$(BIN)/sb3-ext lab
	$(BIN)/sb3-ext book
	$(BIN)/sb3-ext gap --discretized
	$(BIN)/sb3-ext rlhf
	$(BIN)/sb3-ext rlhf figures
	$(BIN)/sb3-ext dqn
	$(BIN)/sb3-ext watch --measure
	$(BIN)/sb3-ext speed

clean:  ## Remove what was built
	rm -rf .venv build site *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
