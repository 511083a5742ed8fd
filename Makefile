# On a bare Debian, as root: `make demo` shows it, `make test` proves it. Nothing but apt and pip is asked for anything.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := pyproject.toml README.md $(shell find bin enforcer/ policies audits -type f -not -name '*.pyc' 2>/dev/null)
# One at a time: the whole takes 8 minutes, and what one test leaves behind is not blamed on another (-n 2 --dist loadfile: 5).
PYTEST_ARGS ?=

.PHONY: demo test lint format bench golden docs setup clean

demo: setup
	examples/compromised-dependency/run

test: .venv/.dev
	scripts/apt-install tests/apt-packages.txt
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: .venv/.dev
	$(BIN)/python -m pytest tests/lint

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup
	scripts/apt-install bench/apt-packages.txt
	$(BIN)/python -m bench.run $(BENCH_ARGS)

golden: .venv/.dev
	ENFORCER_WRITE_GOLDEN=1 $(BIN)/python -m pytest tests/golden

docs: .venv/.dev
	ENFORCER_WRITE_DOCS=1 $(BIN)/python -m pytest tests/lint/test_reference.py

# What a user has: enforcer installed from its wheel into .venv.
setup: .venv/.installed

.venv/bin/python:
	scripts/apt-install scripts/apt-packages.txt
	$(PYTHON) -m venv .venv

.venv/.installed: $(SOURCES) | .venv/bin/python
	scripts/apt-install scripts/apt-packages.txt
	rm -rf build  # setuptools would take what it has built there before for a part of the package
	$(BIN)/pip install --quiet --disable-pip-version-check --use-pep517 .
	@touch $@

# The tests read the checkout; only the tools beside them are installed.
.venv/.dev: pyproject.toml | .venv/bin/python
	scripts/apt-install scripts/apt-packages.txt
	rm -rf build
	$(BIN)/pip install --quiet --disable-pip-version-check --use-pep517 '.[dev]'
	@touch $@

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find bench bin enforcer tests -name __pycache__ -prune -exec rm -rf {} +
