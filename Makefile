# Klambda: every verb of the house. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules

# Any Python 3.11 or newer makes the virtual environment; 3.11 is what the lock is tested with.
PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV := .venv
# The stamp carries the lock's hash: another lock, another installation.
STAMP := $(VENV)/.lock-$(shell sha256sum requirements/dev.lock | cut -c1-16)
RUN := $(VENV)/bin/
CLUSTER_TOOL := $(RUN)python -m tools.cluster
PYTEST := $(RUN)python -m pytest
UV := $(VENV)/uv/bin/uv
COMPILE := $(UV) pip compile --quiet --universal --generate-hashes
export CLUSTER REGISTRY VALUES EGRESS RUNTIMES KIND_IMAGE KLAMBDA_CACHE KLAMBDA_STATE

.PHONY: help up down status demo images binaries test test-full unit integration e2e full lint type \
        fmt golden crds bench bench-cold bench-events bench-hop bench-init bench-scaling lock \
        venv

help: ## list the verbs
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) \
	  | while IFS=$$'\t' read -r verb text; do printf '  %-12s %s\n' "$$verb" "$$text"; done

# --- the cluster ----------------------------------------------------------------------------------

up: venv ## a cluster, Klambda on it, an answer (CLUSTER=native|kind|existing REGISTRY= VALUES= EGRESS=1 RUNTIMES=all)
	@$(CLUSTER_TOOL) up

down: venv ## take all of it away again
	@$(CLUSTER_TOOL) down

status: venv ## what runs, in which version, with how much memory
	@$(CLUSTER_TOOL) status

demo: venv ## deploy and invoke examples/area on the running cluster
	@$(CLUSTER_TOOL) demo

images: venv ## build the images
	@$(CLUSTER_TOOL) images

binaries: venv ## build Kubernetes, Helm, CoreDNS and the small ones into the cache
	@$(CLUSTER_TOOL) binaries

# --- tests ----------------------------------------------------------------------------------------

test: venv ## everything, on a machine where nothing is installed: lint, types, all tests
	@$(RUN)python -m tools.cluster.check

test-full: venv ## `make test`, then the long tests
	@$(RUN)python -m tools.cluster.check --full

unit: venv ## tests/unit: pure, in seconds
	@$(PYTEST) tests/unit

integration: venv ## tests/integration: real etcd and kube-apiserver
	@$(CLUSTER_TOOL) test-packages
	@$(PYTEST) tests/integration

e2e: venv ## tests/e2e: the cluster of `make up`
	@$(CLUSTER_TOOL) test-packages
	@$(PYTEST) -p no:randomly tests/e2e

full: venv ## the long tests (marker full), on the cluster of `make up`
	@$(CLUSTER_TOOL) test-packages
	@$(PYTEST) -p no:randomly -m full tests/unit tests/integration tests/e2e

lint: venv ## ruff, format, import contracts, freshness of generated files
	@$(RUN)ruff check .
	@$(RUN)ruff format --check .
	@$(RUN)lint-imports
	@$(RUN)python -m tools.crdgen --check
	@$(RUN)python -m tools.apitable --check

type: venv ## mypy --strict
	@$(RUN)mypy

fmt: venv ## format the sources
	@$(RUN)ruff check --fix .
	@$(RUN)ruff format .

golden: venv ## rewrite the golden files (tests/golden)
	@KLAMBDA_GOLDEN=write $(PYTEST) --quiet -p no:randomly tests/unit -k golden

crds: venv ## generate crds/*.yaml from the models, and the chart's copies
	@$(RUN)python -m tools.crdgen
	@cp crds/*.yaml helm/klambda/files/crds/

bench: bench-hop bench-init bench-events bench-scaling bench-cold ## all measurements

bench-burst: venv ## bursts from zero, and 500 Functions applied, on the cluster of `make up`
	@$(RUN)python -m tools.bench.burst

bench-memory: venv ## memory of gateway and operator by the number of Functions; no cluster
	@$(RUN)python -m tools.bench.memory

bench-starters: venv ## replicas against bare Pods under both client limits; no cluster
	@$(RUN)python -m tools.bench.starters

bench-cold: venv ## cold starts by phase, on the cluster of `make up`
	@$(RUN)python -m tools.bench.cold

bench-events: venv ## durable enqueues, events per second, what a flood costs others; no cluster
	@$(RUN)python -m tools.bench.events
	@$(RUN)python -m tools.bench.flood

bench-init: venv ## what init adds to a warm invocation, its memory, unpacking; no cluster
	@cd runtimes/init && go test -run '^$$' -bench Warm -benchtime 100000x .
	@cd runtimes/init && go test -run '^$$' -bench Unpack -benchtime 5x ./internal/unpack

bench-hop: venv ## the warm hop against Go's ReverseProxy: CPU, throughput, latency; no cluster
	@$(RUN)python -m tools.bench.hop

bench-scaling: venv ## scaling scenarios in virtual time, and the plots of docs/performance.md
	@$(RUN)python -c 'import matplotlib' 2> /dev/null || $(RUN)python -m pip install --quiet \
	  --disable-pip-version-check --require-hashes --no-deps -r requirements/bench.lock
	@$(RUN)python -m tools.bench.scaling

# --- what it is made with -------------------------------------------------------------------------

venv: $(STAMP) ## the virtual environment, from requirements/dev.lock

$(STAMP): requirements/dev.lock
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2> /dev/null; then \
	  echo "python3-venv is missing: installing it (needs root and apt)"; \
	  apt-get -qq update; DEBIAN_FRONTEND=noninteractive \
	    apt-get -qq install --yes --no-install-recommends python3-venv > /dev/null; \
	fi
	@echo "virtual environment from requirements/dev.lock ..."
	@$(PYTHON) -m venv $(VENV)
	@# --no-deps: the lock is the whole closure; older pips look for a newer release of what is
	@# asked for with extras (coverage[toml]) and then refuse it for want of a hash.
	@$(RUN)python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
	  -r requirements/dev.lock
	@$(RUN)python -m pip check --disable-pip-version-check > /dev/null
	@for part in common gateway operator store; do echo "$(CURDIR)/$$part"; done \
	  > "$$($(RUN)python -c 'import site; print(site.getsitepackages()[0])')/klambda-sources.pth"
	@rm -f $(VENV)/.lock-* && touch $@

$(UV):
	@$(RUN)python -m venv $(VENV)/uv
	@$(VENV)/uv/bin/python -m pip install --quiet --disable-pip-version-check uv

lock: venv $(UV) ## resolve all dependencies anew, within pyproject's and *.in's bounds
	@$(COMPILE) pyproject.toml --all-extras --python-version 3.11 -o requirements/dev.lock
	@$(COMPILE) pyproject.toml --extra operator --extra gateway --extra postgres --python-version 3.11 \
	  -c requirements/dev.lock -o requirements/control-plane.lock
	@$(COMPILE) requirements/bench.in --python-version 3.11 \
	  -c requirements/dev.lock -o requirements/bench.lock
	@$(COMPILE) requirements/compiler.in --python-version 3.11 -c requirements/dev.lock \
	  -o requirements/compiler.lock
	@$(COMPILE) runtimes/python3.13/requirements.in --python-version 3.13 --upgrade \
	  -o runtimes/python3.13/requirements.lock
	@for node in nodejs22.x nodejs24.x; do \
	  $(COMPILE) runtimes/$$node/build.in --python-version 3.13 -o runtimes/$$node/build.lock; done
	@sed -i '1,2c# Made by `make lock`.' requirements/*.lock runtimes/python*/*.lock runtimes/nodejs*/*.lock
