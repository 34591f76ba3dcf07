# `make` alone lists what there is. Every target sets up what it needs; a second run does no set-up work.
.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
export THORAX_DATA ?= ../shared/data
export THORAX_HOME ?= .thorax
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1
# threads that wait spin briefly: see imaging/threads.py
export GOMP_SPINCOUNT ?= 3000
DATA ?=
# of the tests: each takes half a gigabyte
WORKERS ?= $(shell cores=$$(nproc); echo $$((cores < 8 ? cores : 8)))

# begun first, so that they do not end alone
LONGEST := $(patsubst %,tests/e2e/test_%.py,training_pipeline search_pipelines kinds_of_recipes distributed)
BESIDE := $(LONGEST) $(filter-out $(LONGEST),$(wildcard tests/e2e/test_*.py))

BENCHMARKS := $(patsubst benchmarks/bench_%.py,bench-%,$(wildcard benchmarks/bench_*.py))

.PHONY: help setup demo test check check-infra e2e images containers fuzz readme bench up down goldens lock $(BENCHMARKS)

help: ## print the targets, one line each
	@grep -hE '^[a-z0-9-]+:.*?## ' $(MAKEFILE_LIST) | awk -F':.*?## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: ## install everything into .venv (the other targets do it when needed)
	@infra/setup.sh

demo: setup ## the whole loop on one machine; DATA=folder for real images
	@$(BIN)/thorax demo $(if $(DATA),--data $(DATA))

test: setup ## the tests that need no server, under ten minutes on two cores
	@$(BIN)/pytest -m "not e2e and not containers and not cluster" --numprocesses $(WORKERS) --dist loadfile $(ARGS)

check: setup ## lint, format, types, import direction
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports --no-cache

e2e: setup ## the tests that start real servers and kill them
	@$(BIN)/pytest -m "e2e and beside" --numprocesses 2 --dist loadfile --no-loadscope-reorder $(BESIDE) $(ARGS) || [ $$? = 5 ]
	@$(BIN)/pytest -m "e2e and not beside" tests/e2e $(ARGS) || [ $$? = 5 ]

images: ## build the container images; TAG, REGISTRY and BASE_IMAGE name them
	@infra/images/build.sh $(IMAGES)

containers: setup ## build the images on a base of Debian's packages, without torch, and play the rendered pods with podman
	@infra/images/suite.sh $(ARGS)

check-infra: setup ## render every overlay and hold it against Kubernetes' schemas, operators' CRDs and itself
	@$(BIN)/pytest -q tests/infra $(ARGS)

fuzz: setup ## 20,000 spoilt files through the decoding processes
	@THORAX_FUZZ_FILES=20000 $(BIN)/pytest -m e2e tests/e2e/test_hostile_files.py $(ARGS)

readme: setup ## run every command of the README on what the demo left
	@THORAX_README=1 $(BIN)/pytest -m e2e tests/e2e/test_readme.py $(ARGS)

bench: setup ## measure speed and accuracy (half an hour), write benchmarks/results/*.json; or one: make bench-training
	@for file in benchmarks/bench_*.py; do env -u GOMP_SPINCOUNT $(BIN)/python $$file || exit 1; done

$(BENCHMARKS): bench-%: setup
	@env -u GOMP_SPINCOUNT $(BIN)/python benchmarks/bench_$*.py $(ARGS)

up: setup ## start the one-machine stack and print its addresses
	@$(BIN)/thorax up

down: ## stop the one-machine stack
	@if [ -x $(BIN)/thorax ]; then $(BIN)/thorax down; fi

goldens: setup ## rewrite the golden files; read the diff before you commit it
	@$(BIN)/pytest -q --update-goldens -m "not e2e" tests/pipelines tests/serving tests/infra

lock: setup ## resolve requirements.in into requirements.lock (versions and hashes, no addresses)
	@.tools/bin/uv pip compile requirements.in --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet --upgrade -o requirements.lock
	@for image in serving registry controller monitor trainer; do .tools/bin/uv pip compile infra/images/$$image.in -c requirements.lock --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet -o infra/images/$$image.lock; done
