# make demo          run a notebook as an Airflow task, on this machine, without a cloud account
# make demo UI=1     the same, and keep Airflow's UI running until Ctrl-C
# make test          run all checks and tests, on the newest Airflow
# make test-ui       look at pages in a real browser: Debian's Chromium, which it installs
# make pictures      take the pictures of the docs from real runs, with the same browser
# make test-install   install the package beside Managed Airflow, and the wheel with the lowest versions
# make test-on SET=lowest   run the tests that use Airflow, with the versions of constraints/lowest.txt
# make test-sets     the same for all sets in constraints/, and for PYTHONS="python3.12 …"; results: docs/versions.md
# make chaos         kill Airflow's processes at every step of a task; results: docs/chaos.md
# make soak          run 500 jobs for ten minutes while one request in twenty fails; results: docs/soak.md
# make sizing        run Airflow with two of each node and Celery, and kill them; results: docs/sizing.md (15 minutes)
# make live          ask the real service about docs/assumptions.md: PROJECT= LOCATION= BUCKET= SERVICE_ACCOUNT= [TEMPLATE=]
# make languages     run notebooks in R, with Debian's kernel; results: docs/languages.md
# make bench         measure the costs of this package and of other providers; results: docs/benchmarks.md (an hour)
# make docs          build the site: build/docs/index.html; `make docs-serve` shows it at http://127.0.0.1:8000
# make release-check build wheel and sdist into dist/, and check that a release is complete
# PYTHON=/path/to/python3 (3.11 or newer) selects another Python.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# Airflow's commands take twice as long to start without their compiled modules.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
SETS := $(patsubst constraints/%.txt,%,$(wildcard constraints/*.txt))
# api/, notebooks/ and emulator/ do not import Airflow (tests/test_walls.py).
OFF_AIRFLOW := $(addprefix tests/,api chaos conftest.py contract demo docs emulator foreign live notebooks packaging support \
	system test_walls.py ui)
ON_AIRFLOW := $(filter-out $(OFF_AIRFLOW),$(filter-out tests/__%,$(wildcard tests/*)))
# On all sets kills; on Airflow 3.4 also loops, and tries that run again without using a retry.
ON_PROCESSES = $(patsubst %,tests/system/test_%.py,kills $(if $(filter next,$(SET)),loops reschedules))
IN = $(VENV)/bin/python -m

ON_DEBIAN := tests/run/test_result_languages.py tests/foreign/test_notebooks.py

.PHONY: help demo test test-ui pictures test-install test-on test-sets chaos soak sizing live languages bench docs docs-serve release-check clean constraints

help:
	@sed -n 's/^# //p' Makefile

demo: $(VENV)/.demo
	@$(IN) demo $(if $(UI),--ui)

test: $(VENV)/.dev
	$(IN) ruff check
	$(IN) ruff format --check
	$(IN) mypy
	$(IN) pytest -n 4 --dist worksteal --ignore tests/system --ignore tests/ui tests/watch tests
	$(IN) pytest -n 3 --dist loadfile tests/system

CHROMIUM = command -v chromium >/dev/null || { apt-get -qq update && apt-get -qq install --yes --no-install-recommends chromium; }

# `make test-ui SET=managed-3.1` for the versions of a set.
UI_ENV = $(if $(SET),.venv-$(SET),$(VENV))
test-ui: $(if $(SET),,$(VENV)/.dev)
	$(if $(SET),@.ci/install $(UI_ENV) constraints/$(SET).txt dev)
	$(CHROMIUM)
	$(UI_ENV)/bin/python -m uv pip install --quiet --python $(UI_ENV)/bin/python --constraint constraints/newest.txt --group browser
	$(UI_ENV)/bin/python -m pytest $(if $(SET),-W ignore) tests/ui

pictures:
	UI_PICTURES=docs/img $(MAKE) --no-print-directory test-ui

test-install: $(VENV)/.dev
	$(IN) pytest -m index tests/packaging

# The tests that use Airflow, and then those of its processes. These run once more if they failed: the triggerer of
# Airflow 3.1 may end by itself ("Response read out of order"). Older versions raise warnings of their own.
ENV = .venv-$(SET)$(if $(PYTHON),-py$(shell $(PYTHON) -c 'import sys; print("{}.{}".format(*sys.version_info))'))

test-on:
	@[ -f "constraints/$(SET).txt" ] || { echo "There is no set '$(SET)'. Give one of these as SET: $(SETS)" >&2; exit 2; }
	@.ci/install $(ENV) constraints/$(SET).txt dev
	$(ENV)/bin/python -m pytest -n 4 --dist worksteal -W ignore --junitxml $(ENV)/results.xml \
		--override-ini junit_suite_name="$$(git rev-parse --short HEAD)" $(ON_AIRFLOW)
	$(ENV)/bin/python -m pytest -n 2 --dist loadfile -W ignore $(ON_PROCESSES) || \
		$(ENV)/bin/python -m pytest -W ignore --last-failed $(ON_PROCESSES)

test-sets:
	@failed=; \
	for set in $(SETS); do $(MAKE) --no-print-directory test-on SET=$$set || failed="$$failed $$set"; done; \
	for python in $(PYTHONS); do \
		$(MAKE) --no-print-directory test-on SET=newest PYTHON=$$python || failed="$$failed $$python"; \
	done; \
	.venv-newest/bin/python .ci/versions; \
	[ -z "$$failed" ] || { echo "Sets with failures:$$failed" >&2; exit 1; }

# About 35 minutes for each database. CHAOS contains options: `make chaos CHAOS="--database sqlite --number 7"`.
chaos: $(VENV)/.dev
	$(IN) uv pip install --quiet --python $(VENV)/bin/python asyncpg psycopg2-binary
	$(IN) chaos --page docs/chaos.md $(CHAOS)

soak: $(VENV)/.dev
	AIRFLOW_HOME=$$(mktemp -d) AIRFLOW__LOGGING__LOGGING_LEVEL=WARNING $(IN) chaos.soak --page docs/soak.md

# In an environment of its own. `make sizing SIZING="--tasks 300"` has a larger wave. Celery 5.7.0 does not work with the Celery
# provider of Airflow 3.3.2.
sizing:
	command -v redis-server >/dev/null || { apt-get -qq update && apt-get -qq install --yes --no-install-recommends redis-server; }
	@.ci/install .venv-sizing constraints/newest.txt demo
	.venv-sizing/bin/python -m uv pip install --quiet --python .venv-sizing/bin/python --constraint constraints/newest.txt \
		apache-airflow-providers-celery 'celery<5.7' redis asyncpg psycopg2-binary
	.venv-sizing/bin/python -m sizing --page docs/sizing.md $(SIZING)

live: $(VENV)/.dev
	@$(IN) live --project "$(PROJECT)" --location "$(LOCATION)" --bucket "$(BUCKET)" --service-account "$(SERVICE_ACCOUNT)" \
		$(if $(TEMPLATE),--template "$(TEMPLATE)") $(if $(YES),--yes)

languages: $(VENV)/.dev
	dpkg --status r-cran-irkernel >/dev/null || { apt-get -qq update && apt-get -qq install --yes --no-install-recommends r-cran-irkernel; }
	{ printf '%s\n' '# Notebooks in R' '' "\`make languages\`, $$(date +%F), commit \`$$(git rev-parse --short HEAD)\`," \
		"$$(dpkg-query --show --showformat='$${Package} $${Version}' r-base-core r-cran-irkernel | sed 's/r-cran/, r-cran/')." \
		'' '```'; \
	  $(IN) pytest -m debian --verbose --no-header $(ON_DEBIAN); echo '```'; } | tee docs/languages.md

# Adds a browser and PostgreSQL's clients to the environment. BENCH contains the parts to measure again:
# `make bench BENCH="imports submission"`. On two cores: imports 2 minutes, emulator 2, waiting 35 (with the submission at
# the same time), triggerers 13, shared 4 (with the workers at the same time).
bench: $(VENV)/.dev
	$(CHROMIUM)
	$(IN) uv pip install --quiet --python $(VENV)/bin/python --constraint constraints/newest.txt --group browser \
		asyncpg psycopg2-binary
	$(IN) bench $(BENCH)

# A stamp file says that the environment matches pyproject.toml and the constraints.
$(VENV)/.demo: pyproject.toml constraints/newest.txt
	@.ci/install $(VENV) constraints/newest.txt demo
	@touch $@

$(VENV)/.dev: pyproject.toml constraints/newest.txt
	@.ci/install $(VENV) constraints/newest.txt test
	@touch $@ $(VENV)/.demo

# The newest versions, for all Pythons and systems: a constraint for a package that is not installed is harmless.
COMPILE = $(IN) uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --upgrade \
	--no-annotate --no-header --no-emit-index-url --all-extras --group pyproject.toml:dev
PLAIN = sed 's/ ;.*//'

# `lowest` has the lowest version that pyproject.toml allows for each package, and what Airflow itself needs as of that
# time: Airflow 3.1.0 does not work with newer versions of fastapi, pyjwt and structlog. A managed set has what Google's
# image of Managed Airflow has, as of the day of its release, and the newest versions that fit of what the image lacks.
# `next` allows pre-releases of Airflow's own packages only. A set for one Python does not need different versions of a
# package for different Pythons.
FOR_3_11 = $(filter-out --universal --fork-strategy fewest,$(COMPILE))
NEXT = apache-airflow>=3.4.0a1 apache-airflow-core>=3.4.0a1 apache-airflow-task-sdk>=1.4.0a1

# $(call as_of,DAY,PACKAGES): these and all that they need, in the newest versions of a day.
as_of = printf '%s\n' $2 | $(IN) uv pip compile --quiet --python-version 3.11 --exclude-newer $1 \
	--no-annotate --no-header --no-emit-index-url -
# $(call managed,DAY,AIRFLOW,GOOGLE_PROVIDER,COMMON_COMPAT)
managed = $(FOR_3_11) --constraint <($(call as_of,$1,apache-airflow==$2 apache-airflow-providers-google==$3 \
	apache-airflow-providers-common-compat==$4)) pyproject.toml | $(PLAIN)

constraints:
	$(COMPILE) --group pyproject.toml:docs --group pyproject.toml:test pyproject.toml | $(PLAIN) > constraints/newest.txt
	$(VENV)/bin/python .ci/floors | $(FOR_3_11) --constraint <($(call as_of,2025-09-26,apache-airflow-core==3.1.0) | \
		sed '/^apache-airflow-providers/d; s/==/<=/') pyproject.toml - | $(PLAIN) > constraints/lowest.txt
	$(call managed,2026-03-03,3.1.7,20.0.0,1.13.1) > constraints/managed-3.1.txt
	$(call managed,2026-08-26,3.3.1,22.3.0,1.18.0) > constraints/managed-3.3.txt
	printf '%s\n' $(foreach each,$(NEXT),'$(each)') | $(FOR_3_11) pyproject.toml - | $(PLAIN) > constraints/next.txt

docs: $(VENV)/.dev
	$(IN) uv pip install --quiet --python $(VENV)/bin/python --constraint constraints/newest.txt --group docs
	AIRFLOW_HOME=$$(mktemp -d) $(IN) sphinx --fail-on-warning --nitpicky --keep-going --quiet docs build/docs

docs-serve: docs
	$(IN) http.server --bind 127.0.0.1 --directory build/docs 8000

release-check: docs
	@.ci/release-check $(VENV)/bin/python

clean:
	rm -rf $(VENV) .venv-* .nbjobs/demo-* build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
