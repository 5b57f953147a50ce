# Everything the book needs. `make help` lists it; README.md gives the same without make.

PYTHON ?= python3
PORT ?= 8000
# For torch without CUDA: make test TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
NB ?=
FAMILY ?=
# Anything: also the rows of the comparison records that are up to date.
EVERY ?=
# Notebooks that run at a time; all processors by default.
JOBS ?=
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

BOOK := .venv-book/bin/python
ALL := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help book serve test test-deps lint notebooks bands compare bench trust lab new url clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

book: .venv-book/.ready ## the site in both languages, strictly; needs no torch
	$(BOOK) book/build.py

serve: .venv-book/.ready ## build the site and serve it on localhost (PORT=8000)
	$(BOOK) book/build.py --serve --port $(PORT)

test: .venv/.ready lint ## everything that CI runs; NB=memory_bank/patchcore for one method, no site
	$(ALL) -m pytest -n 2 --nbval --nbval-current-env --nbval-sanitize-with tests/nbval.cfg \
	  $(if $(NB),--nb $(NB)) notebooks tests

lint: .venv/.ready ## code style, in files and notebooks
	$(ALL) -m ruff check .
	$(ALL) -m ruff format --check .

test-deps: ## what the tests need besides Python: Chromium, a Korean font, OpenCV's libraries, axe-core
	@sh .ci/test-deps

notebooks: .venv/.ready ## run notebooks and store their outputs; NB=memory_bank/patchcore for one
	$(ALL) book/tools/run.py $(if $(JOBS),--jobs $(JOBS)) $(NB)

bands: .venv/.ready ## expected bands from five seeds, then run and store; NB=... for one
	$(ALL) book/tools/bands.py $(if $(JOBS),--jobs $(JOBS)) $(NB)

compare: .venv/.ready ## run methods on other data sets, keep a record; FAMILY=memory_bank, EVERY=1 for all rows
	$(ALL) book/tools/compare.py $(if $(EVERY),--all) $(if $(JOBS),--jobs $(JOBS)) $(FAMILY)

bench: .venv/.ready ## time on one thread, memory and size against the budget; NB=... for one
	$(ALL) book/tools/bench.py $(NB)

trust: .venv/.ready ## break notebooks and pages on purpose and see it caught; NB=... for one
	$(ALL) book/tools/trust.py $(NB)

lab: .venv/.ready ## open the notebooks in JupyterLab
	$(ALL) -m jupyter lab notebooks

new: .venv/.ready ## lay out a planned method, show a written one: METHOD=family/name
	@test -n "$(METHOD)" || { echo "usage: make new METHOD=family/name"; exit 2; }
	$(ALL) book/tools/new_method.py $(METHOD)

url: .venv-book/.ready ## write the repository's address everywhere: URL=https://github.com/owner/name
	@test -n "$(URL)" || { echo "usage: make url URL=https://github.com/owner/name"; exit 2; }
	$(BOOK) book/tools/set_url.py $(URL)

clean: ## remove what was built; the environments .venv and .venv-book stay
	rm -rf _build build dist .pytest_cache .ruff_cache

# --- Environments: made once, brought up to date when their requirements change -------------------

define environment
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or newer is needed; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." \
	    "Give another one: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(1)/bin/python || $(PYTHON) -m venv $(1) || { rm -rf $(1); \
	  echo "Could not make $(1). On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
endef

.venv-book/.ready: book/requirements.txt
	$(call environment,.venv-book)
	$(BOOK) $(PIP_INSTALL) -r book/requirements.txt
	@touch $@

.venv/.ready: requirements.txt book/requirements.txt pyproject.toml
	$(call environment,.venv)
	$(if $(TORCH_INDEX),$(ALL) $(PIP_INSTALL) torch torchvision --index-url $(TORCH_INDEX))
	$(ALL) $(PIP_INSTALL) -r requirements.txt
	@touch $@
