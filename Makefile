# Every target makes what it needs; `make demo` and `make test` work on a fresh machine.
PYTHON ?= python3
BIN := .venv/bin
TENSORFLOW := .venv-tensorflow

.PHONY: demo test test-zoo coverage check bench examples clean
.DELETE_ON_ERROR:

demo: .venv/train.stamp
	$(BIN)/saccade train digits --budget 20s --out runs

test: .venv/test.stamp $(TENSORFLOW)/stamp check
	SACCADE_TENSORFLOW_PYTHON=$(CURDIR)/$(TENSORFLOW)/bin/python \
	  $(BIN)/python -m pytest -n 2 --dist worksteal --durations=15 $(PYTEST_OPTIONS)

# The same with a count of the lines that ran, which takes a sixth longer.
coverage:
	$(MAKE) test PYTEST_OPTIONS="--cov --cov-report=term:skip-covered"

# Every network of the zoo, keras.applications included: half an hour.
test-zoo: .venv/test.stamp
	SACCADE_ZOO=all $(BIN)/python -m pytest tests/training/test_zoo.py --durations=15

check: .venv/test.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/check_sizes.py

bench: .venv/test.stamp
	$(BIN)/python -m benchmarks

examples: .venv/test.stamp
	$(BIN)/python -m examples

.venv/train.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[train]'
	touch $@

.venv/test.stamp: .venv/train.stamp
	$(BIN)/pip install --quiet --constraint constraints.txt --requirement tests/requirements.txt
	touch $@

$(TENSORFLOW)/stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(TENSORFLOW)
	$(TENSORFLOW)/bin/pip install --quiet --constraint constraints.txt --editable '.[tensorflow]'
	touch $@

clean:
	rm -rf .venv $(TENSORFLOW) .venv-peers .pytest_cache .mypy_cache .ruff_cache .coverage
