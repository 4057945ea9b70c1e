# vivavoce: `make serve` to talk to it, `make test` for what CI runs.
SHELL := /bin/bash
PYTHON ?= python3.11
# torch comes first and by its pin, so that nothing else chooses a version. TORCH_INDEX takes further
# arguments of pip for it, such as the index of PyTorch's CPU-only builds, which are much smaller.
TORCH_INDEX ?=
# Processes that share out the files of tests; each takes up to 3 GiB.
WORKERS ?= 2
# What .venv takes: 3.5 GB with a CPU-only PyTorch (measured) and room to unpack; CUDA's wheels add gigabytes.
FREE_MB ?= 5000
# A test is stopped after 600 s by an exception, which whatever task just runs may keep to itself;
# then its process ends instead, and the rest of the tests go on in a new one.
HUNG := -o faulthandler_timeout=1200 -o faulthandler_exit_on_timeout=true
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: serve install test test-clients test-all lint train train-anitalker clean system-packages

serve: install  ## start the server on http://127.0.0.1:8080
	@$(BIN)/vivavoce serve $(ARGS)

install: $(STAMP)  ## make .venv with everything in it

$(STAMP): pyproject.toml integrations/client/pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "vivavoce needs Python 3.11: set PYTHON=/path/to/python3.11"; exit 1; }
	@free=$$(df -Pm . | awk 'NR == 2 {print $$4}'); [ "$$free" -ge $(FREE_MB) ] || { \
		echo "installing needs $(FREE_MB) MB of disk, and $$free are free in $(CURDIR): make room," \
			"or set FREE_MB where less will do"; exit 1; }
	@PYTHON=$(PYTHON) bash deploy/system-packages.sh install
	@echo "installing vivavoce into $(VENV): a few minutes, some gigabytes"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet torch==2.13.0 $(TORCH_INDEX)
	$(BIN)/python -m pip install --quiet --editable '.[dev]' --editable integrations/client
	@touch $@

system-packages:
	@PYTHON=$(PYTHON) bash deploy/system-packages.sh test

test: install system-packages  ## what CI runs: types and every test that is not slow
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(HUNG) $(ARGS)

test-clients: install  ## clients of others against the server, in environments of their own (.clients)
	@PYTHON=$(PYTHON) bash deploy/test-clients.sh $(ARGS)

test-all: install system-packages  ## the slow tests too, and new examples for the property tests
	$(BIN)/python -m pytest -m 'slow or not slow' --hypothesis-profile search

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

train: install  ## make the corpora and train the motion model anew into build/train; RECORDINGS=DIR; hours
	@PYTHON=$(PYTHON) bash deploy/system-packages.sh train
	PYTHON=$(BIN)/python bash deploy/train-portrait-motion.sh build/train $(RECORDINGS)

train-anitalker: install  ## train renderer and generator of anitalker anew into build/anitalker; hours
	@PYTHON=$(PYTHON) bash deploy/system-packages.sh train
	PYTHON=$(BIN)/python bash deploy/train-anitalker.sh build/anitalker

clean:
	rm -rf $(VENV) .clients .mypy_cache .ruff_cache .pytest_cache
