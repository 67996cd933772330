# Every target sets itself up on a machine with only Python 3.11+ and make.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo test test-slow check format bench accuracy few-shot fuzz clean

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'vlqa needs Python 3.11 or newer; try make PYTHON=python3.12')"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/python -m vlqa.apps.demo

test: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --quiet --numprocesses=2

test-slow: $(VENV)/.installed
	$(BIN)/python -m pytest --quiet -m slow

check: $(VENV)/.installed
	$(BIN)/ruff format --check vlqa tests benchmarks
	$(BIN)/ruff check vlqa tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.installed
	$(BIN)/ruff format vlqa tests benchmarks
	$(BIN)/ruff check --fix vlqa tests benchmarks

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/throughput.py

accuracy: $(VENV)/.installed
	$(BIN)/python benchmarks/accuracy.py --json benchmarks/results/accuracy.json

few-shot: $(VENV)/.installed
	$(BIN)/python benchmarks/few_shot.py --json benchmarks/results/few_shot.json --plot benchmarks/results/few_shot.png

fuzz: $(VENV)/.installed
	$(BIN)/python benchmarks/fuzz.py

clean:
	rm -rf $(VENV) .demo .features build dist
