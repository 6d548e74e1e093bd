# Two commands for a newcomer: `make demo` and `make test`. Each makes its own .venv from nothing.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
STAMPS := $(VENV)/.stamps

.PHONY: demo test test-matrix services matrix lint format bench docs dist clean

demo: $(STAMPS)/run
	@rm -f build/demo.db && mkdir -p build
	$(BIN)/storage-admin demo build/demo.db

test: $(STAMPS)/test
	$(BIN)/python -m pytest -n auto $(ARGS)

# On every PostgreSQL that can be had, 12 to 18; MAJORS="12 18 mysql-9 mariadb" for some of them, and for the MySQL or the
# MariaDB that is installed or that MARIADBD names.
test-matrix: $(STAMPS)/test
	$(BIN)/python -m tests.matrix $(MAJORS) -- $(ARGS)

services: $(STAMPS)/test
	$(BIN)/python -m examples.services

matrix: $(STAMPS)/test
	$(BIN)/python -m pytest -n auto --matrix tests/compat/test_continuity.py -k goes_on_where_it_was $(ARGS)

lint: $(STAMPS)/test $(STAMPS)/lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMPS)/lint
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMPS)/test
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(STAMPS)/run
	$(BIN)/python -m docs.generate

dist: $(STAMPS)/run
	$(PIP) install build
	$(BIN)/python -m build --outdir dist .

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache

$(STAMPS)/venv:
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS)
	$(PIP) install 'pip>=25.1'
	@touch $@

$(STAMPS)/run: $(STAMPS)/venv pyproject.toml
	$(PIP) install --editable .
	@touch $@

$(STAMPS)/test: $(STAMPS)/run
	$(PIP) install --group test
	@touch $@

$(STAMPS)/lint: $(STAMPS)/run
	$(PIP) install --group lint
	@touch $@
