# `make help` lists the targets. Everything runs in .venv, which the first target that needs it makes.
PYTHON ?= python3
BIN := .venv/bin
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install demo test check lint tables report example readme bench findings dashboard docs wheel clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-9s %s\n", $$1, $$2}'

.venv/.made:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

.venv/.installed: .venv/.made pyproject.toml
	$(BIN)/python -m pip install --quiet torch torchvision
	$(BIN)/python -m pip install --quiet -e .
	touch $@

.venv/.dev: .venv/.installed
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@

install: .venv/.installed  ## make .venv and install deepunlearn in it

demo: .venv/.installed  ## digits x ResNet18, methods ft, ct, msg: sweep and tables, minutes on two cores
	$(BIN)/python -m deepunlearn.sweep sweep=demo results=results/demo
	$(BIN)/python -m deepunlearn.tables results=results/demo

test: .venv/.dev lint  ## all checks: ruff, mypy, every test; those on a real SLURM one after the other
	scripts/tests.sh

check: .venv/.dev lint  ## what to run all day: ruff, mypy, the quick tests
	$(BIN)/python -m pytest -n auto -m "not slow and not cluster"

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

tables: .venv/.installed  ## tables from the stored rows into results/tables/
	$(BIN)/python -m deepunlearn.tables

report: .venv/.installed  ## figures and the page results/index.html from the stored rows
	$(BIN)/python -m deepunlearn.report

example: .venv/.installed  ## the committed tables and page of results/examples again, from its records
	$(BIN)/python scripts/example.py

readme: .venv/.dev  ## the README's table and picture again, from the committed records and page; needs chromium
	scripts/debian_programs.sh
	$(BIN)/python scripts/readme.py

bench: .venv/.installed  ## the goals of speed, measured: results/bench/, about 20 minutes; images in datasets/cifar10-images
	$(BIN)/python scripts/bench/run.py

DATA ?= datasets/cifar10-images
findings: .venv/.installed  ## the runs of docs/findings.md, some 10 hours on two cores; goes on where it was stopped; images in DATA
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/findings.sh "$(DATA)"

RESULTS ?= results
dashboard: .venv/.installed  ## Optuna's dashboard on the trials of all searches in RESULTS=results
	$(BIN)/python -m pip install --quiet -e '.[dashboard]'
	$(BIN)/python scripts/dashboard.py $(RESULTS)

docs: .venv/.installed  ## the docs site in site/, built strictly: a broken link is an error
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: .venv/.made  ## what is uploaded for a release: dist/*.whl and dist/*.tar.gz
	$(BIN)/python -m pip install --quiet build
	$(BIN)/python -m build --outdir dist

clean:  ## remove .venv and caches; results stay
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist site
