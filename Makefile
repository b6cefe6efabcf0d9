# make setup | run | test | test-postgres | prove | bench | compiled | ux | screenshots | coverage | lint | format | lock
# make sbom | audit-packages | clean
# Everything made lies in .venv/ and in the ignored var/.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := run
.PHONY: setup run test test-postgres prove bench compiled ux screenshots coverage lint format lock sbom audit-packages clean chromium

PYTHON ?= python3
PORT ?= 8000
# One worker more than two processors, as one waits for its browser; in the order of tests/conftest.py.
PYTEST ?= -n 3 --dist loadfile --no-loadscope-reorder
BIN := .venv/bin

setup: .venv/ready

# A stamp newer than the requirements makes the second run free.
.venv/ready: requirements-dev.txt
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || .ci/ensure python3-venv
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@echo "Installing the packages named in requirements-dev.txt into .venv"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.txt
	@touch $@

run: setup
	@export INFUSION_MODE=demo; \
	$(BIN)/python manage.py migrate --verbosity 0; \
	$(BIN)/python manage.py collectstatic --no-input --verbosity 0; \
	$(BIN)/python manage.py demo --verbosity 0; \
	echo "Infusion Units (demo) is at http://127.0.0.1:$(PORT)/ - sign in as nurse, billing, admin or admin2, password infusion-demo"; \
	exec $(BIN)/gunicorn -c python:infusion.with_worker infusion.wsgi --workers 2 --threads 4 --limit-request-line 8190 --bind 127.0.0.1:$(PORT) --log-level warning

# The tests run even where lint finds something, so that one run tells everything.
test: setup chromium
	@status=0; \
	$(MAKE) --no-print-directory lint || status=1; \
	$(BIN)/pytest $(PYTEST) || status=1; \
	exit $$status

# The same suite on a PostgreSQL that lives only as long as the command.
test-postgres: setup chromium
	@.ci/with-postgres $(BIN)/pytest $(PYTEST)

# R01-R60 at full size, on SQLite and then on PostgreSQL where a row is about both, written to docs/proof.md.
# What measures how long people wait runs alone. It ends with what took how long; a row that is short or missing fails.
# Hours: a run that was cut short goes on where it was, with what var/proof keeps, and a complete one begins anew.
PROVE := $(BIN)/pytest -o python_files='prove_*.py test_*.py'
prove: export INFUSION_PROVE ?= 1
prove: setup chromium
	@command -v soffice >/dev/null || .ci/ensure libreoffice-calc-nogui
	@$(PROVE) -n 2 --dist loadfile -m 'not alone' --proof=var/proof/1.json tests/prove $$($(BIN)/python -m tests.prove.table suite) || true
	@$(PROVE) -n 0 -m alone --proof=var/proof/2.json tests/prove || true
	@.ci/with-postgres $(PROVE) -n 2 --dist loadfile -m 'both and not alone' --proof=var/proof/3.json tests/prove || true
	@.ci/with-postgres $(PROVE) -n 0 -m 'both and alone' --proof=var/proof/4.json tests/prove || true
	@$(BIN)/python -m tests.prove.table docs/proof.md var/proof/{1,2,3,4}.json

# The engine beside others, as machine code and as Python, over a million lines and on a cluster of this machine, a
# forecast and a list of 10,000 encounters, a day of billing worked on such a list by keyboard, and a list of a million on
# PostgreSQL.
bench: setup chromium compiled
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-archive.txt
	@cd var/compiled && ../../$(BIN)/pytest -q $(PYTEST) tests/rules
	@cd var/compiled && ../../$(BIN)/pytest -n 0 -s -o python_files='bench_*.py' tests/bench/bench_engine.py tests/bench/bench_archive.py
	@$(BIN)/pytest -n 0 -s -o python_files='bench_*.py' tests/bench
	@WORKLIST_ENCOUNTERS=10000 $(BIN)/pytest -n 0 -s tests/browser/test_worklist.py -k by_keyboard
	@.ci/with-postgres $(BIN)/pytest -n 0 -s -o python_files='bench_*.py' tests/bench/bench_million.py

# The program with its rules compiled to machine code, as the container image has them, in a copy of its own.
compiled: setup
	@command -v cc >/dev/null || .ci/ensure gcc
	@test -e "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" || .ci/ensure python3-dev
	@rm -rf var/compiled && mkdir -p var/compiled
	@git ls-files -z infusion payers static templates tests manage.py | xargs -0 cp --parents -t var/compiled
	@PATH="$(CURDIR)/$(BIN):$$PATH" ops/compile var/compiled
	@cp pyproject.toml var/compiled

# What using it takes, measured and written to docs/ux.md, what measures how long people wait by itself. A row that is
# short or missing fails.
UX := $(BIN)/pytest -o python_files='ux_*.py' --rows=var/ux.json
ux: setup chromium
	@mkdir -p var && rm -f var/ux.json
	@$(UX) -n 2 --dist worksteal -m 'not alone' tests/ux || true
	@$(UX) -n 0 -m alone --table=docs/ux.md tests/ux

# Pictures of every nurse page, into docs/images/nurse.
screenshots: setup chromium
	@$(BIN)/pytest -o python_files='pictures_*.py' tests/ux

# Every branch of the rules and of the access rules, or it fails.
coverage: setup
	@$(BIN)/pytest $(PYTEST) tests/rules tests/web/test_roles.py --cov --cov-report=term-missing

# libatomic1 is what the browser driver's own runtime asks of a bare Debian.
chromium: setup
	@command -v chromium >/dev/null || .ci/ensure chromium
	@$(BIN)/playwright --version >/dev/null 2>&1 || .ci/ensure libatomic1

lint: setup
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/djlint --quiet --lint templates

format: setup
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# Written without addresses, so that they work with whichever package index a machine is set to.
LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11
lock: setup
	$(LOCK) $(UPGRADE) pyproject.toml --output-file requirements.txt
	$(LOCK) $(UPGRADE) pyproject.toml --group dev --constraints requirements.txt --output-file requirements-dev.txt
	$(LOCK) $(UPGRADE) pyproject.toml --extra archive --constraints requirements.txt --output-file requirements-archive.txt
	$(LOCK) $(UPGRADE) --group compile --constraints requirements-dev.txt --output-file requirements-compile.txt

# What a release is made of, as CycloneDX, with the hashes that it is pinned to.
sbom: setup
	@mkdir -p var
	@$(BIN)/cyclonedx-py requirements --output-format JSON --output-file var/sbom.json requirements.txt 2>/dev/null
	@echo "var/sbom.json"

# Whether a pinned package has a known weakness. Asks the advisory database of the Python Packaging Authority.
audit-packages: setup
	@$(BIN)/pip-audit --disable-pip --no-deps --require-hashes --strict --requirement requirements.txt --requirement requirements-archive.txt --requirement requirements-compile.txt

clean:
	rm -rf .venv var .mypy_cache .pytest_cache .ruff_cache
