# Every task of the project. `make help` lists them.
# Installs only into .venv, from the hashed locks in requirements/; a second run installs nothing.
# All paths are relative, so that a checkout may lie in a path with spaces.
SHELL := /bin/sh
PYTHON := .venv/bin/python
UV := $(PYTHON) -m uv --quiet
COMPILE := $(UV) pip compile --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11
RUNTIME := .venv/.installed-runtime
DEVELOPMENT := .venv/.installed-development

.DEFAULT_GOAL := help
.PHONY: help install run test soak check bench lock

help: ## List these targets
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)$$/\1	\2/p' Makefile | while IFS='	' read -r target what; do printf '  make %-9s %s\n' "$$target" "$$what"; done

install: $(DEVELOPMENT) ## Install everything that running, tests and checks need into .venv

run: $(RUNTIME) ## Start the whole product here: database, Valkey, web, worker, timers (Ctrl-C stops it)
	@exec $(PYTHON) -m config.supervisor

test: $(DEVELOPMENT) ## Run the tests on SQLite and PostgreSQL, then browser, acceptance, races and faults
	@exec $(PYTHON) -m tests.run

soak: $(DEVELOPMENT) ## Run the long races, crash loops and fuzzing (SOAK_ROUNDS, SOAK_SEED)
	@exec $(PYTHON) -m tests.run --soak

check: $(DEVELOPMENT) ## Check format, lint, types, templates, imports, migrations and deployment settings
	@exec $(PYTHON) -m tests.check

bench: $(DEVELOPMENT) ## Measure speed
	@exec $(PYTHON) -m bench

lock: $(RUNTIME) ## Resolve requirements/*.in into the hashed locks again, at the newest versions
	$(COMPILE) --upgrade requirements/installer.in --output-file requirements/installer.txt
	$(COMPILE) --upgrade requirements/runtime.in --output-file requirements/runtime.txt
	$(COMPILE) --upgrade requirements/development.in --output-file requirements/development.txt

# .venv/.installer: a virtual environment with the pinned uv in it.
.venv/.installer: requirements/installer.txt
	@for python in python3.11 python3 python3.12 python3.13; do \
	    if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "Making .venv with $$("$$python" --version)"; \
	        "$$python" -m venv .venv && exec $(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes \
	            -r requirements/installer.txt; \
	    fi; \
	done; \
	test -x $(PYTHON) || { echo "Python 3.11 with its venv module is needed (Debian: apt-get install python3 python3-venv)." >&2; exit 1; }
	@touch $@

$(RUNTIME): requirements/runtime.txt .venv/.installer
	@echo "Installing requirements/runtime.txt into .venv"
	@$(UV) pip install --python $(PYTHON) --require-hashes -r requirements/runtime.txt
	@touch $@

$(DEVELOPMENT): requirements/development.txt $(RUNTIME)
	@echo "Installing requirements/development.txt into .venv"
	@$(UV) pip sync --python $(PYTHON) --require-hashes requirements/development.txt
	@touch $@
