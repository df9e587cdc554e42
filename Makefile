# `make` alone lists the targets.
PYTHON ?= python3
LISTEN ?= 127.0.0.1:8080
TEST_WORKERS ?= 6
# Hundreds of tests start the program: where bytecode may not be kept, each would compile it anew.
PYTEST  = PYTHONDONTWRITEBYTECODE= $(abspath $(BIN))/python -m pytest
FAST   := tests/core tests/live tests/upstream tests/wire tests/structure
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
PROTO  := proto/livequery/v1/livequery.proto

.DEFAULT_GOAL := help
.PHONY: help demo test test-lowest test-newest test-pythons bench bench-quick check format wheel compiled test-compiled test-compiled-quick generate lock browser pictures postgresql soak interop interop-quick clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.runtime ## embedded tier + bridge + departures board (LISTEN=127.0.0.1:8080)
	@exec $(BIN)/python -m bridge demo --listen $(LISTEN)

test: $(VENV)/.dev browser postgresql ## the whole suite
	$(PYTEST) -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

test-lowest: $(VENV)/.dev ## the fast part of the suite with the lowest versions that pyproject.toml allows
	@BIN=$(BIN) tools/test-resolution lowest

test-newest: $(VENV)/.dev ## the same with the newest
	@BIN=$(BIN) tools/test-resolution highest

test-pythons: $(VENV)/.dev ## the suite with every Python that pyproject.toml names (PYTHONS='python3.12 …')
	@BIN=$(BIN) TEST_WORKERS=$(TEST_WORKERS) tools/test-pythons

soak: $(VENV)/.dev browser postgresql ## the longer runs
	$(BIN)/python -m pytest -m soak --timeout 3600

interop: $(VENV)/.dev ## tiers of seven languages and fabriq's wire: plain, TLS, mTLS, behind proxies: docs/interop.md (25 minutes)
	INTEROP_REPORT=docs/interop.md $(BIN)/python -m pytest -m interop -n 2 --dist loadgroup tests/interop

interop-quick: $(VENV)/.dev ## the part of it that CI runs: every tier once, without a proxy (in INTEROP_SECONDS=480)
	INTEROP_SECONDS=$${INTEROP_SECONDS:-480} $(BIN)/python -m pytest -m interop -n 2 --dist loadgroup tests/interop -k '(equal and direct and plain) or (equal and nginx and mTLS) or interop_fabriq or interop_verify or one_stream'

bench: $(VENV)/.dev postgresql ## the bridge beside its peers: bench/report.md (40 minutes; installs Envoy, nginx, Nchan, builds Centrifugo, Mercure)
	$(BIN)/python -m bench run
	$(BIN)/python -m bench.tier

bench-quick: $(VENV)/.dev ## guard against regressions, by ratio (4 minutes)
	$(BIN)/python -m bench quick

check: $(VENV)/.dev ## format, lint, types, floors, contract, stubs, Dockerfile, vulnerabilities
	$(BIN)/ruff format --check .
	$(BIN)/ruff check --no-cache . # a cache remembers how imports were sorted before files moved
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/buf lint
	@BIN=$(BIN) tools/check-breaking
	@BIN=$(BIN) tools/check-stubs
	$(BIN)/hadolint Dockerfile
	@BIN=$(BIN) tools/check-vulnerabilities

format: $(VENV)/.dev ## rewrite the sources in house style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: $(VENV)/.dev ## dist/: the wheel, and beside it its bill of materials (CycloneDX)
	@BIN=$(BIN) tools/build-wheel

compiled: $(VENV)/.dev ## dist/: the wheel with its hot modules compiled by mypyc (needs a C compiler; 2 to 4 minutes)
	$(BIN)/python tools/compiled/build.py

test-compiled: $(VENV)/.dev browser postgresql ## the whole suite and the longer runs on the compiled build
	$(BIN)/python tools/compiled/build.py tree
	cd build/compiled && $(PYTEST) -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder
	cd build/compiled && $(abspath $(BIN))/python -m pytest -m soak --timeout 3600

test-compiled-quick: $(VENV)/.dev ## the fast part of it, and the edge
	$(BIN)/python tools/compiled/build.py tree
	cd build/compiled && $(PYTEST) -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder $(FAST) tests/edge tests/auth

generate: $(VENV)/.dev ## stubs from proto/
	$(BIN)/python -m grpc_tools.protoc -Iproto --python_out=. --pyi_out=. --grpc_python_out=. $(PROTO)

lock: $(VENV)/.dev ## pin what pyproject.toml asks for, with hashes
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --custom-compile-command 'make lock' -o requirements/runtime.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --custom-compile-command 'make lock' --extra dev -c requirements/runtime.txt \
		-o requirements/dev.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --custom-compile-command 'make lock' --extra compile -c requirements/dev.txt \
		-o requirements/compile.txt pyproject.toml

browser: # Chromium for the page's test: Debian's own, fetched where that is possible
	@tools/find-chromium

postgresql: # a server for the tests of its store: Debian's own, fetched where that is possible
	@tools/find-postgresql

pictures: $(VENV)/.dev browser ## take the pictures of docs/pictures/ anew
	PYTHONPATH=. $(BIN)/python tools/take-pictures

clean: ## forget the virtual environment and caches
	rm -rf $(VENV) $(VENV)-lowest $(VENV)-highest $(VENV)-python-* .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@echo 'setting up $(VENV) …' >&2
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements/runtime.txt | $(VENV)/bin/python
	@echo 'installing what the bridge needs …' >&2
	@$(PIP) install --require-hashes -r requirements/runtime.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt | $(VENV)/bin/python
	@echo 'installing what development needs …' >&2
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@ $(VENV)/.runtime
