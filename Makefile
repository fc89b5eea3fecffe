# make demo   learn a synthetic inspection line and judge its parts
# make test   run the tests
# make test-slow  run those that take minutes: every method and published experiment
# make lint   ruff and mypy
# make docs   the documentation as a site, site/index.html
# make faults the long fault campaign: damaged files, commands killed at random
# make dist   wheel, source distribution and list of dependencies in dist/, checked
# make lowest  the core of the tests with the lowest versions that pyproject.toml allows
# make audit   known vulnerabilities of dist/'s list, from OSV files: ADVISORIES=DIR
# make release-check   dist/ installed by name in an empty environment, outside, and used there
#
# Each sets up .venv first, under the versions of constraints.txt, and again only when
# pyproject.toml or constraints.txt changed. Another interpreter: make test PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input -c constraints.txt

# Tests are compiled once, whatever the shell that make is called from says.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-slow lint docs faults dist lowest audit release-check
.DELETE_ON_ERROR:

demo: $(VENV)/installed-train
	$(BIN)/blemish demo

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

test-slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile -m "slow and not gpu"

lint: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy benchmarks

docs: $(VENV)/installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "The site is in site/: open site/index.html"

faults: $(VENV)/installed-dev
	$(BIN)/python tests/faults/campaign.py benchmarks/results/faults.json

dist: $(VENV)/installed-train
	$(INSTALL) -e ".[release]"
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
	    --of JSON -o dist/blemish.cdx.json $(BIN)/python

lowest: $(VENV)/created
	$(INSTALL) uv
	$(BIN)/python benchmarks/check_versions.py lowest --python $(PYTHON)

audit: dist
	$(BIN)/python benchmarks/audit.py dist/blemish.cdx.json $(ADVISORIES)

release-check: dist
	$(BIN)/python benchmarks/check_release.py dist

# A file and not the folder: a set-up that was interrupted is done again.
$(VENV)/created:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/installed-train: pyproject.toml constraints.txt $(VENV)/created
	@echo "Installing what training needs into $(VENV): once, some minutes, about 1 GB"
	$(INSTALL) -e ".[train]"
	touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt $(VENV)/created
	@echo "Installing all extras and the test tools into $(VENV): once, some minutes, about 2.6 GB"
	$(INSTALL) -e ".[all,dev]"
	touch $(VENV)/installed-train $@
