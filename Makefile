# Everything the project does from a shell. `make help` lists it.
BUDGET ?= fast
DATASET ?= auto
SEED ?= 0
DEVICE ?= cpu
HOSTS ?= newest oldest colab
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup course test test-all test-browser test-hosts check lab notebooks address wheels format student grade bench clean

help:  ## list what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'
	@echo "  options of make course: BUDGET=smoke|fast|paper DATASET=auto|mnist|digits or a folder; SEED=0;"
	@echo "  of make bench: DEVICE=cpu|cuda;"
	@echo "  of make test-hosts: HOSTS='newest oldest colab'; of make grade: SUBMISSIONS=folder GRADES=build/grading WORKERS=2"
	@echo "  UNCONFINED=yes"

setup: $(READY)  ## create .venv and install everything, once

# The stamp is written last: an installation that was interrupted is done again. Compiling on all cores is faster than
# pip's own way. Without it, each kernel would take 20 seconds to start where Python is told to write no bytecode. Some
# packages ship files that are not meant to be compiled: that they fail is no error.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --disable-pip-version-check --progress-bar off -q --no-compile -c constraints.txt -e '.[course,coursework,dev]'
	$(RUN) -m compileall -qq -j 0 -x '/tests/' $(VENV)/lib || true
	$(RUN) -m magnet_helpers compile
	@touch $(READY)

course: $(READY)  ## run all lessons in order, write build/, print the comparison table
	$(RUN) -m tools course --budget '$(BUDGET)' --dataset '$(DATASET)' --seed '$(SEED)'

# On all cores, one thread each: the threads of two processes on the same cores wait for each other.
test: export OMP_NUM_THREADS = 1
test: $(READY)  ## unit tests, then every notebook under nbval
	$(RUN) -m pytest -q -n auto --maxprocesses=4 --dist loadfile
	rm -rf build/nbval
	MAGNET_HOME='$(CURDIR)/build/nbval' MAGNET_BUDGET=smoke MAGNET_DATASET=digits MAGNET_SEED=0 \
		$(RUN) -m pytest -q -n auto --maxprocesses=4 --dist loadfile \
		--nbval-lax --nbval-cell-timeout=120 -p no:cacheprovider notebooks

test-hosts: $(READY)  ## every lesson alone in fresh environments, old, new and like Colab's (needs the network; an hour)
	$(RUN) -m tests.hosts.run $(HOSTS)

test-all: export OMP_NUM_THREADS = 1
test-all: test  ## make test, and the tests that take long: the real autograder with every answer (half an hour)
	$(RUN) -m pytest -q -n auto --maxprocesses=4 --dist loadfile -m long

test-browser: export OMP_NUM_THREADS = 1
test-browser: $(VENV)/.browser  ## the panels in JupyterLab, in a real browser (on Debian: apt-get install chromium)
	$(RUN) -m pytest -q -s tests/browser/test_panels_in_jupyterlab.py

# By itself: what drives the browser is 165 MB, and only this one test needs it.
$(VENV)/.browser: $(READY)
	$(RUN) -m pip install --disable-pip-version-check --progress-bar off -q -c constraints.txt -e '.[browser]'
	@touch $(VENV)/.browser

check: $(READY)  ## format, lint and types
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy

format: $(READY)  ## format the code
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

lab: $(READY)  ## open JupyterLab on the first lesson
	$(VENV)/bin/jupyter lab notebooks/00_start_here.ipynb

notebooks: $(READY)  ## rebuild notebooks/*.ipynb from notebooks/source/ and execute them (fast budget, MNIST)
	$(RUN) -m tools notebooks

student: $(READY)  ## the assignments without solutions, as a zip to hand out
	$(RUN) -m tools student

grade: $(READY)  ## grade a folder of submissions: make grade SUBMISSIONS=folder
	$(if $(SUBMISSIONS),,$(error say which folder: make grade SUBMISSIONS=folder))
	$(RUN) -m tools grade '$(SUBMISSIONS)' $(if $(GRADES),--grades '$(GRADES)') $(if $(WORKERS),--workers $(WORKERS)) $(if $(filter yes,$(UNCONFINED)),--unconfined)

address: $(READY)  ## write the repository's address (pyproject.toml) into README and notebooks, and the students' copies; executes none
	$(RUN) -m tools address

# The last two: what notebook hosts do not have. What an earlier build left would go into the wheel, modules too that are
# no longer there.
wheels: $(READY)  ## write dist/: what a notebook host without internet needs (README, Hosts)
	rm -rf dist build/lib build/bdist.*
	$(RUN) -m pip wheel -q --no-deps -w dist -c constraints.txt . advertorch adversarial-robustness-toolbox

bench: $(READY)  ## measure the speed beside a textbook's loop and other libraries
	TQDM_DISABLE=1 $(RUN) -m tools.benchmarks --device '$(DEVICE)' $(if $(filter cuda%,$(DEVICE)),--rounds 3 --full)

clean:  ## remove build/ (trained networks too) and .venv
	rm -rf build $(VENV)
