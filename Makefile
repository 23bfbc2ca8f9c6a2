# Every target sets up what it needs: .venv with the locked packages.
PYTHON ?= python3
PORT ?= 4000
CHAOS ?= 5
FUZZ ?= 100000
SEED ?= 1
TIMES ?= 10
BUSY ?= 6
EXTRAS := --extra server --extra autogen --extra sql --extra mcp --extra agent-framework
BIN := .venv/bin
READY := .venv/.ready
COMPILED := .venv/.compiled
PYTHON_IS_NEW := import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=…")
UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo $(BIN)/uv)

.PHONY: setup demo gallery test test-all test-again test-any-time test-any-machine check-slack lint format bench chaos fuzz mutants lock clean

setup: $(READY) $(BIN)/countersign

# Nothing is compiled here: that takes longer than the first start, which compiles what it imports.
$(READY): requirements.lock | $(filter $(BIN)/uv,$(UV))
	@$(PYTHON) -c '$(PYTHON_IS_NEW)'
	@$(PYTHON) -m venv --without-pip .venv
	$(UV) pip sync --quiet --python .venv --require-hashes --no-build requirements.lock
	@touch $@

# The command of this checkout, which needs no installed package. A path with a space would break a `#!` line.
$(BIN)/countersign: $(READY)
	@printf '%s\n' '#!/bin/sh' 'here=$$(cd "$$(dirname "$$0")/../.." && pwd)' \
		'PYTHONPATH="$$here$${PYTHONPATH:+:$$PYTHONPATH}" exec "$$here/.venv/bin/python" -m countersign "$$@"' > $@
	@chmod +x $@

# Where the machine has no uv, pip brings the one in the lock.
$(BIN)/uv:
	@$(PYTHON) -c '$(PYTHON_IS_NEW)'
	$(PYTHON) -m venv .venv
	awk '/^[^ ]/ { wanted = /^uv==/ } wanted' requirements.lock | $(BIN)/pip install --quiet --require-hashes -r /dev/stdin

demo: $(READY)
	@$(BIN)/python -m demo --port $(PORT)

# Plays every story in a browser, and writes docs/gallery.md and its pictures.
gallery: $(READY)
	@$(BIN)/python -m tests.gallery

# What is compiled once is there for all the processes that the tests start, wherever this is set.
unexport PYTHONDONTWRITEBYTECODE

# Compiles once what the tests import: each of pytest's workers would do it again, at the same time.
$(COMPILED): $(READY)
	@$(BIN)/pytest -q --collect-only -p no:xdist -m "not slow" >/dev/null
	@touch $@

# Everything that is deterministic, on real parts; wants neither a browser nor PostgreSQL.
test: $(COMPILED)
	$(BIN)/pytest -q -n 5 --dist worksteal -m "not slow"

# The rest: kills, browsers, PostgreSQL, clusters, chaos; and again, at length, what `make test` tries with a few examples.
test-all: lint
	LONG=1 $(BIN)/pytest -q -n 4 --dist worksteal --maxfail 10 -m "slow or longer or hypothesis"

# Whether make test depends on how fast or busy the machine is: ten times, beside six processes that do nothing else.
test-again: $(READY)
	@busy=; trap 'kill $$busy' EXIT; for n in $$(seq $(BUSY)); do yes >/dev/null & busy="$$busy $$!"; done; \
	for n in $$(seq $(TIMES)); do $(MAKE) --no-print-directory test || exit 1; done

# The tests at each hour of a day and on odd dates, in clones; ONLY="03:00,leap-day" takes some of the runs.
test-any-time: $(READY)
	@$(BIN)/python -m tests.any_time time

# The same under one condition at a time: another zone, locale, order, umask; no network.
test-any-machine: $(READY)
	@$(BIN)/python -m tests.any_time machine

# Asks the real Slack whether it takes every view that we draw, and posts nothing: SLACK_BOT_TOKEN=xoxb-…
check-slack: $(READY)
	@$(BIN)/python -m tests.check_slack

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)
	$(BIN)/python -m bench

chaos: $(READY)
	@$(BIN)/python -m tests.chaos --minutes $(CHAOS) --seed $(SEED)

fuzz: $(READY)
	@$(BIN)/python -m tests.fuzz --count $(FUZZ) --seed $(SEED)

mutants: $(READY)
	@$(BIN)/python -m tests.mutants

lock: $(READY)
	$(BIN)/uv pip compile pyproject.toml --group dev $(EXTRAS) --universal --generate-hashes --no-strip-extras --no-header --quiet -o requirements.lock

clean:
	rm -rf .venv .any_time .pytest_cache .mypy_cache .ruff_cache
