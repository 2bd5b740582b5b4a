# `make` lists the targets. `make demo` and `make test` need nothing but Python and a network.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
DEMO_ARGS ?=
ROW ?=

BIN := $(VENV)/bin
# Written last, after a complete installation whose environment check found no problem.
STAMP := $(VENV)/.installed
# There while a new environment is not complete yet; whoever finds it starts anew.
UNFINISHED := $(VENV)/.unfinished

.DEFAULT_GOAL := help
.PHONY: help venv check test soak lint format demo verify docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo 'PYTHON=... names the interpreter for a new environment (now: $(PYTHON)).'

venv: $(STAMP) ## create .venv, install the package with the tested versions, check them

check: ## look for what breaks later: versions, torchvision, OpenCV, double packages
	@test -x $(BIN)/python || { echo "No environment in $(VENV) yet: run make venv first." >&2; exit 1; }
	@$(BIN)/python cct_mm/environment.py

test: lint ## lint, then run the tests (PYTEST_ARGS='-k name')
	$(BIN)/python -m pytest -n auto $(PYTEST_ARGS)

soak: $(STAMP) ## try what takes minutes: kills, bad inputs, faults; end with their counts
	$(BIN)/python -m pytest -n auto -m 'soak or counted' $(PYTEST_ARGS)

lint: $(STAMP) ## check code and format with ruff
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

format: $(STAMP) ## sort imports, repair and reformat the code with ruff
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

demo: $(STAMP) ## train on synthetic scenes and show the result (DEMO_ARGS='--help')
	$(BIN)/python tools/demo.py $(DEMO_ARGS)

verify: $(STAMP) ## repeat a seed of a published result and compare (ROW=recommended_camvid:cct:n=20; none: list)
	@$(BIN)/python tools/verify.py $(ROW)

docs: $(STAMP) ## build the pages of docs/ as HTML, in docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

clean: ## remove caches and build leftovers (the environment: rm -r .venv)
	rm -rf build dist docs/_build cct_mm.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -path './$(VENV)' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# Also made anew where `python` is a link to an interpreter that is gone.
ifneq ($(wildcard $(UNFINISHED)),)
.PHONY: $(BIN)/python
endif
$(BIN)/python:
	@command -v '$(PYTHON)' > /dev/null || { \
	    echo "No interpreter '$(PYTHON)': install Python 3.10 or newer, or name yours, as in make venv PYTHON=python3.12." >&2; exit 1; }
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	    echo "'$(PYTHON)' is $$('$(PYTHON)' --version 2>&1): cct_mm needs Python 3.10 or newer; name one, as in make venv PYTHON=python3.12." >&2; exit 1; }
	@'$(PYTHON)' -c 'import ensurepip, venv' 2> /dev/null || { \
	    version=$$('$(PYTHON)' -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	    echo "'$(PYTHON)' lacks the modules venv and ensurepip: run apt-get install python$$version-venv (or python3-venv), then make again." >&2; exit 1; }
	rm -rf '$(VENV)'
	@mkdir -p '$(VENV)' && touch '$(UNFINISHED)'
	'$(PYTHON)' -m venv '$(VENV)'

$(STAMP): setup.py constraints.txt cct_mm/version.py $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check \
	    -c constraints.txt -e '.[efficientnet,export,lab,docs,dev]'
	@rm -f '$(UNFINISHED)'
	@$(BIN)/python cct_mm/environment.py
	@touch '$@'
