# Every target works on a machine with Python 3.11 and make: each makes .venv if it is absent.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install demo test test-slow lint bench docs tutorials pictures dist

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: install
	$(BIN)/planewise demo mito demo

# Two workers with one thread each, since their threads would wait for each other. After 25 failures the rest would say
# the same; the last lines say of each what it was and why it failed. Bytecode is kept, whatever the shell says: the
# workers, and the processes that tests start, would compile hundreds of modules anew each.
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q -n 2 --dist worksteal --maxfail 25 \
	--tb short -r fE

test: install
	$(PYTEST) -m "not slow"

test-slow: install
	$(PYTEST) -m slow

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

# Needs no network; a broken link or a page that no menu names is an error.
docs: install
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build

# The commands of docs/ with their output, on synthetic data, in a shell and as notebooks: about 7 CPU minutes.
tutorials: install
	$(PYTEST) tests/integration/test_tutorials.py tests/integration/test_notebooks.py

# The pictures of README and docs/, from both demos; needs Chromium.
pictures: install
	rm -rf docs/_pictures
	$(BIN)/python docs/pictures.py docs/_pictures

dist: install
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*
