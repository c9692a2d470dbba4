# make run | test | setup | bench: each sets up all it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test setup bench bench-year lab lab-chain lab-days fuzz contracts check clean peers

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: set PYTHON=…"; exit 2; }
	@$(PYTHON) -m venv $(VENV) 2> /dev/null || sh tests/install-venv.sh $(PYTHON) $(VENV)
	@echo "Installing the gateway into $(VENV) …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

run: setup
	@$(BIN)/meter-gateway --config config.example.yaml run --watch

peers:
	@PYTHON=$(PYTHON) sh tests/install-peers.sh

check: setup
	@$(BIN)/ruff check gateway drivers tests bench docs
	@$(BIN)/ruff format --check gateway drivers tests bench docs
	@$(BIN)/mypy

test: setup peers check
	@$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

# The long laboratory: 200 kills of a loaded gateway, and more. It writes docs/lab.md.
lab: setup peers
	@$(BIN)/python -m tests.lab

# A million damaged telegrams for each decoder, half an hour. It writes docs/fuzz.md.
fuzz: setup
	@$(BIN)/python -m tests.fuzz_decoders

# A thousand anchors on a real node, with the gateway killed all the time, and a thousand storms; two hours. It writes docs/lab-chain.md.
lab-chain: setup peers
	@$(BIN)/python -m tests.lab_chain

# The contracts' artefacts from their sources; a test compares them.
contracts: setup peers
	@$(BIN)/python -m tests.contracts

# Four hundred days of ten meters on 4 GB, in half an hour. It writes docs/lab-days.md.
lab-days: setup peers
	@$(BIN)/python -m tests.lab_days

bench: setup peers
	@$(BIN)/python -m bench

# A year of ten meters, written, packed and verified: half an hour of one core. It writes docs/bench-year.md.
bench-year: setup peers
	@$(BIN)/python -m bench.year

clean:
	rm -rf $(VENV) .peers build dist .pytest_cache .mypy_cache .ruff_cache
