# Every command a person or CI runs. `make` lists them.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)
XSTILTS_DATA ?= ../shared/data
export XSTILTS_DATA
# hundreds of processes import the same packages; without the cache each compiles them again
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-table demo-real test check lint types fmt compile docs crds requirements bench-local bench-training bench-evaluation bench-operator bench-memory clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

setup: $(STAMP) ## Create .venv with pinned, hashed requirements

$(STAMP): requirements/dev.txt requirements/uv.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not here; install it or name another: make PYTHON=python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: $(STAMP) ## Run a whole study on generated data, to report.html (minutes)
	examples/demo/run.sh

demo-table: $(STAMP) ## Write the table of README.md from what make demo left
	$(BIN)/python examples/demo/table.py

demo-real: $(STAMP) ## The same on the real files of XSTILTS_DATA
	examples/real/run.sh "$(XSTILTS_DATA)"

test: $(STAMP) ## Run all tests with the real parts that they need
	$(BIN)/pytest -n 2 --dist worksteal

check: lint types ## Everything that must hold at each commit
	$(BIN)/python -m pipelines.compile --check
	$(BIN)/python docs/generate.py --check
	$(BIN)/python -m xstilts.api.crds k8s/crds --check

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-cache

types: $(STAMP)
	$(BIN)/mypy

fmt: $(STAMP) ## Format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

compile: $(STAMP) ## Write pipelines/compiled from pipelines and components
	$(BIN)/python -m pipelines.compile

docs: $(STAMP) ## Write docs/reference from the code
	$(BIN)/python docs/generate.py

crds: $(STAMP) ## Write k8s/crds from the models
	$(BIN)/python -m xstilts.api.crds k8s/crds

requirements: ## Resolve requirements/*.txt again from pyproject.toml
	$(BIN)/uv pip compile -q -U --python-version 3.11 --generate-hashes --no-header --no-annotate --all-extras -o requirements/dev.txt pyproject.toml
	$(BIN)/uv pip compile -q --python-version 3.11 --generate-hashes --no-header --no-annotate -c requirements/dev.txt --extra train -o requirements/trainer.txt pyproject.toml
	$(BIN)/uv pip compile -q --python-version 3.11 --generate-hashes --no-header --no-annotate -c requirements/dev.txt --extra operator -o requirements/operator.txt pyproject.toml
	echo uv | $(BIN)/uv pip compile -q -U --python-version 3.11 --generate-hashes --no-header --no-annotate -o requirements/uv.txt -

bench-local: $(STAMP) ## What the Local engine adds to a stage, against plain processes
	$(BIN)/python benchmarks/local_overhead.py

bench-training: $(STAMP) ## Examples a second of training, against transformers' Trainer
	$(BIN)/python -m benchmarks.training

bench-evaluation: $(STAMP) ## Sentences and tokens a second of evaluation, against Trainer.predict, generate and faiss
	$(BIN)/python -m benchmarks.evaluation

bench-operator: $(STAMP) ## Reaction, requests, memory and restart of the operator with 1,000 Studies and 10,000 Trials
	$(BIN)/python -m benchmarks.operators

bench-memory: $(STAMP) ## Peak memory of tokenizing and training, on a data set and on ten times as much
	$(BIN)/python benchmarks/memory.py

clean: ## Remove the environment and everything that was generated
	rm -rf $(VENV) runs reports
