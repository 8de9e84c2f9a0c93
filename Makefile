# make demo and make test are all that a newcomer needs; make help lists the rest.
PYTHON ?= python3
TORCH ?= torch==2.13.0
BIN := .venv/bin
INSTALLED := .venv/.installed
TORCH_INSTALLED := .venv/.installed-torch
AXE := tests/browser/node_modules/.package-lock.json
OHIF := .viewers/ohif/index.html
DCMQI_INSTALLED := .venv/.installed-dcmqi
# Small linear algebra is quicker alone; tests open models and must not report it to anybody.
TESTS_IN := OPENBLAS_NUM_THREADS=1 ORT_DISABLE_TELEMETRY=1

# What is held to a deadline, and browsers, have the machine to themselves.
ALONE := tests/e2e/test_demo.py tests/e2e/test_stat_study.py tests/browser

.DEFAULT_GOAL := help
.PHONY: help install demo demo-viewer test campaign nemesis viewers bench bench-peers bench-speed bench-counts statement pictures lint format system system-tests system-viewers

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(INSTALLED)  ## make .venv with the lightbox command in it

$(INSTALLED): pyproject.toml deploy/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Python 3.11 to 3.13 is needed, $(PYTHON) is another: make PYTHON=python3.12 …" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
	  { echo "venv is missing: apt-get install python3-venv" >&2; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c deploy/constraints.txt -e '.[dev]'
	@touch $@

# torch is for training and for tests that compare with it; serve and the demo never import it.
$(TORCH_INSTALLED): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c deploy/constraints.txt '$(TORCH)'
	@touch $@

system:
	@deploy/install-system.sh

system-tests:
	@deploy/install-system.sh apt-packages-test.txt

# axe-core, which the browser tests load into Chromium; without npm they are skipped and say so.
$(AXE): tests/browser/package-lock.json | system-tests
	@if command -v npm >/dev/null 2>&1; then \
	  npm ci --prefix tests/browser --ignore-scripts --no-audit --no-fund --silent && touch $@; \
	else echo "npm is missing: the browser tests will be skipped" >&2; fi

# OHIF, 50 MB once; without npm or the network its tests are skipped and say so.
$(OHIF): conformance/viewers/install-ohif.sh | system-tests
	@$< $(dir $(@D)) && touch $@ || echo "OHIF cannot be fetched by npm: its tests will be skipped" >&2

# What 3D Slicer reads DICOM with.
$(DCMQI_INSTALLED): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check dcmqi==1.5.7 && touch $@ || \
	  echo "dcmqi cannot be installed: its tests will be skipped" >&2

system-viewers:
	@deploy/install-system.sh apt-packages-test.txt apt-packages-viewers.txt

demo: system $(INSTALLED)  ## send real studies through the service and look at what comes back
	$(BIN)/lightbox demo $(DEMO)

demo-viewer: system $(INSTALLED) $(OHIF)  ## the same, and OHIF on the archive, until a key is pressed
	exec env PYTHONPATH=conformance $(BIN)/python -m viewers.demo $(DEMO)

test: system-tests $(INSTALLED) $(TORCH_INSTALLED) $(AXE) lint  ## run all tests that this machine can run
	@$(TESTS_IN) $(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile $(ALONE:%=--ignore=%) && passed=yes || passed=no; \
	$(TESTS_IN) $(BIN)/python -m pytest -m "not slow" $(ALONE) && [ $$passed = yes ]

campaign: system-tests $(INSTALLED) $(TORCH_INSTALLED) $(AXE)  ## the longer tests that make test leaves out
	$(TESTS_IN) $(BIN)/python -m pytest -m slow

# Which tests those are is said in one place, the table of faults in deploy/FAULTS.md.
nemesis: system-tests $(INSTALLED)  ## prove every fault of deploy/FAULTS.md with real processes (half an hour)
	$(TESTS_IN) $(BIN)/python -m pytest $$($(BIN)/python tests/fault_table.py)

viewers: system-viewers $(INSTALLED) $(OHIF) $(DCMQI_INSTALLED)  ## our results in OHIF, Orthanc, dcmqi and PixelMed
	$(TESTS_IN) $(BIN)/python -m pytest conformance/viewers

bench-peers: .venv-bench/.installed  ## .venv-bench: packages that lightbox bench measures beside ours

.venv-bench/.installed: pyproject.toml deploy/constraints.txt deploy/bench-peers.txt
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -c deploy/constraints.txt -r deploy/bench-peers.txt -e .
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps grad-cam==1.5.7
	@touch $@

# Ratios of times need a quiet machine for some minutes; counts take hours the first time, on a
# machine that does anything else beside, and go on from what is in $(KEEP).
KEEP ?= $(HOME)/.cache/lightbox-bench
BENCH := OMP_WAIT_POLICY=PASSIVE ORT_DISABLE_TELEMETRY=1 .venv-bench/bin/lightbox bench
COUNTS := audit --only counts --keep $(KEEP)
SYNTHETIC := $(KEEP)/models/synthetic_lesions
bench: bench-speed bench-counts  ## measure maps and audits beside the peers; appends to the log

bench-speed: bench-peers  ## the ratios of times alone: ten minutes on a quiet machine
	mkdir -p $(KEEP)
	$(BENCH) fast --model brain_tumour_mri --rounds 60 --json $(KEEP)/fast.json
	$(BENCH) audit --model brain_tumour_mri --only cost --images 1 --grid 4 3 --grid 7 7 --json $(KEEP)/audit-cost.json
	$(BENCH) log conformance/BENCHMARKS.md $(KEEP)/fast.json $(KEEP)/audit-cost.json

bench-counts: bench-peers $(SYNTHETIC)/model.toml  ## evaluations to an error, intervals: no quiet machine is needed
	$(BENCH) $(COUNTS) --model brain_tumour_mri --images 4 --seeds 2 --grid 4 3 --grid 4 4 --json $(KEEP)/audit-counts.json
	$(BENCH) $(COUNTS) --model brain_tumour_mri --images 1 --seeds 1 --grid 7 7 --games 0 --json $(KEEP)/audit-counts-49.json
	LIGHTBOX__MODELS__PATH=$(KEEP)/models $(BENCH) $(COUNTS) --model synthetic_lesions --images 2 --seeds 3 --grid 4 3 --grid 4 4 --games 0 --json $(KEEP)/synthetic-counts.json
	LIGHTBOX__MODELS__PATH=$(KEEP)/models $(BENCH) $(COUNTS) --model synthetic_lesions --images 1 --seeds 1 --grid 7 7 --games 0 --json $(KEEP)/synthetic-counts-49.json
	$(BENCH) log conformance/BENCHMARKS.md $(KEEP)/audit-counts.json $(KEEP)/audit-counts-49.json $(KEEP)/synthetic-counts.json $(KEEP)/synthetic-counts-49.json

$(SYNTHETIC)/model.toml: models/training/synthetic_lesions.py | $(TORCH_INSTALLED)
	$(BIN)/python models/training/synthetic_lesions.py $(SYNTHETIC)

statement: $(INSTALLED)  ## print the tables of the conformance statement from the code
	PYTHONPATH=tests $(BIN)/python conformance/statement.py

pictures: $(INSTALLED)  ## draw the golden pictures anew; look at each before you commit it
	PYTHONPATH=tests $(BIN)/python conformance/golden.py

lint: $(INSTALLED)  ## ruff, mypy, import-linter, codespell
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --config pyproject.toml --no-cache > .venv/lint-imports.log || { cat .venv/lint-imports.log; exit 1; }
	$(BIN)/codespell service tests conformance deploy models README.md CHANGELOG.md

format: $(INSTALLED)  ## let ruff format and mend what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --quiet .
