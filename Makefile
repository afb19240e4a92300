# Two commands for users: `make demo` and `make test`. Both need only Python 3.11+, make and a C/C++ compiler.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO := .demo

.PHONY: help demo test lint lock docs clean

help:
	@echo "make demo   install, read sample_docs/, and answer one English and one Chinese question"
	@echo "make test   lint, types and every test"

$(VENV)/pip: 
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25"
	touch $@

$(VENV)/installed: $(VENV)/pip requirements.lock pyproject.toml
	@echo "installing; llama.cpp is compiled, which takes about five minutes the first time"
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.lock
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements-dev.lock
	touch $@

demo: $(VENV)/installed
	$(BIN)/ragcli ingest sample_docs --index $(DEMO)
	@echo
	$(BIN)/ragcli ask "Which fuse does the VC-8 controller need?" --index $(DEMO)
	@echo
	$(BIN)/ragcli ask "FP-60 探头的保修期是多久？" --index $(DEMO)

test: lint
	$(BIN)/python -m pytest

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The lock files hold every version and hash, for every system and Python from 3.11 on.
lock:
	uv pip compile --universal --generate-hashes --python-version 3.11 --no-header --quiet \
		pyproject.toml --output-file requirements.lock
	uv pip compile --universal --generate-hashes --python-version 3.11 --no-header --quiet --extra dev \
		--constraint requirements.lock pyproject.toml --output-file requirements-dev.lock

docs: $(VENV)/installed
	$(BIN)/python scripts/write_docs.py

clean:
	rm -rf $(VENV) $(DEMO) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
