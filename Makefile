# Every target sets up its own environment: the first one on a fresh machine creates .venv and
# installs into it, later ones find the stamp and go on.
#
#   make demo    compress a bundled sample, render it at 280 x 280, print figures, write a picture
#   make test    the fast tests
#   make test-browser    the viewer in Chromium, which must be there already
#   make docs    the site, in build/site; make figures draws those of its pictures that take minutes
#   make test-all, lint, typecheck, bench, clean
#   make release-check    sdist and wheel in new environments: every command, with and without torch
#   make fuzz    a campaign of EXECUTIONS executions (docs/trust.md)
#
# PYTHON chooses the interpreter (3.11 or later), PIP_FLAGS is handed to pip, TEST_FLAGS to pytest
# (TEST_FLAGS= runs the tests in one process).

PYTHON ?= python3
PIP_FLAGS ?=
# One process for each core; a file's tests stay together, as they share what they make.
TEST_FLAGS ?= --numprocesses auto --dist loadfile
EXECUTIONS ?= 1000000
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.velcodec-installed

# The tests' models are so small that more threads only wait for each other.
test test-all test-browser fuzz: export OMP_NUM_THREADS ?= 1

.PHONY: setup demo test test-all test-browser fuzz lint typecheck bench figures docs release-check \
	clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) \
		--constraint constraints.txt --editable '.[test]'
	touch $@

demo: setup
	$(BIN)/velcodec demo --force

test: setup
	$(BIN)/python -m pytest -m 'not slow' $(TEST_FLAGS)

test-all: setup
	$(BIN)/python -m pytest $(TEST_FLAGS)

# The viewer's page in a real browser: Chromium, which is not installed from here (Debian: chromium).
test-browser: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) \
		--constraint constraints.txt --editable '.[browser,view]'
	$(BIN)/python -m pytest -m browser tests/view

# Corpora, and what was found, are kept in build/fuzz.
fuzz: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) \
		--constraint constraints.txt --editable '.[fuzz,io]'
	$(BIN)/python tests/fuzz/campaign.py build/fuzz $(EXECUTIONS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

typecheck: setup
	$(BIN)/mypy

# Decoding beside the machine's ceilings, start-up and memory of the commands, generated models per
# second, the fit, entropy coding, bounds on generated models, archives of up to 100,000 records; then
# of the published models in VELCODEC_REAL_DATA the tables of README.md and docs/figures.md, which it
# rewrites, and bytes, PSNR, SSIM, MAE and seconds of every .npy file.
bench: setup
	$(BIN)/python -m benchmarks.decode --json docs/performance-decode.json --picture docs/img/performance.png
	$(BIN)/python -m benchmarks.commands --json docs/performance-commands.json
	$(BIN)/python benchmarks/generator.py
	$(BIN)/python benchmarks/fit.py
	$(BIN)/python -m benchmarks.symbols
	$(BIN)/python benchmarks/bounds.py
	$(BIN)/python benchmarks/archive.py
ifdef VELCODEC_REAL_DATA
	$(BIN)/python -m benchmarks.sizes --write
	$(BIN)/velcodec evaluate $(sort $(wildcard $(VELCODEC_REAL_DATA)/*.npy))
else
	@echo 'skipped: VELCODEC_REAL_DATA does not name a folder of .npy files'
endif

# The pictures of the documentation that are drawn in a few minutes; docs/figures.md has the commands
# of all. Those of the viewer need Chromium, and are left out where there is none.
figures: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) \
		--constraint constraints.txt --editable '.[fwi,view,browser]'
	set -e; for each in $(filter-out examples/common.py,$(wildcard examples/*.py)); do \
		$(BIN)/python $$each build/examples; done
	mkdir -p docs/img/examples
	cp build/examples/*.png docs/img/examples/
	$(BIN)/velcodec demo --out build --force
	cp build/velcodec-demo.png docs/img/demo.png
	$(BIN)/python -m velcodec.synth.picture docs/img/generator.png
	$(BIN)/python -m velcodec.synth.picture --volumes docs/img/generator-volumes.png
	$(BIN)/python -m benchmarks.averages docs/img/averages.png
	if test -n "$$VELCODEC_BROWSER" || command -v chromium; then \
		$(BIN)/python -m benchmarks.view --pictures docs/img; fi

# The site, in build/site: it needs no network to be read.
docs: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) \
		--constraint constraints.txt --editable '.[docs]'
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -b html docs build/site

# The sdist, the wheel that it builds, and that wheel installed by PYTHON outside of the checkout:
# by itself, with all extras, and as those install it who only read. Nothing is uploaded.
RELEASE := build/release
SMOKE := $(CURDIR)/tests/release/smoke.py
INSTALL := -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS)

release-check: export OMP_NUM_THREADS ?= 1
release-check:
	rm -rf $(RELEASE)
	set -e; for each in tools full reader; do $(PYTHON) -m venv $(RELEASE)/$$each; done
	$(RELEASE)/tools/bin/python $(INSTALL) build twine
	$(RELEASE)/tools/bin/python -m build --outdir $(RELEASE)/dist
	$(RELEASE)/tools/bin/python -m twine check --strict $(RELEASE)/dist/*
	! tar -tvf $(RELEASE)/dist/*.tar.gz | grep '^[lh]'  # links would not unpack everywhere
	$(RELEASE)/full/bin/python $(INSTALL) --constraint constraints.txt $(RELEASE)/dist/*.whl
	cd $(RELEASE) && full/bin/python $(SMOKE) smoke
	set -e; for wheel in $(RELEASE)/dist/*.whl; do \
		$(RELEASE)/full/bin/python $(INSTALL) --constraint constraints.txt "$$wheel[all]"; done
	cd $(RELEASE) && full/bin/python $(SMOKE) smoke
	$(RELEASE)/full/bin/python $(SMOKE) --requirements > $(RELEASE)/reader.txt
	$(RELEASE)/reader/bin/python $(INSTALL) --requirement $(RELEASE)/reader.txt
	$(RELEASE)/reader/bin/python $(INSTALL) --no-deps $(RELEASE)/dist/*.whl
	cd $(RELEASE) && reader/bin/python $(SMOKE) smoke

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -f velcodec-demo.png velcodec-demo.vlat
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
