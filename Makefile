# make lab      open the course in JupyterLab
# make course   run every notebook from top to bottom and print a table
# make test     run every test, notebooks included
# make site     build the course as static pages in build/site
# make slides   make a deck of slides from each lesson, in build/slides
# make bench    measure how fast the code of appendix F is, beside other libraries
#
# Each makes the environment .venv first if it is not there yet. With another Python:
# make lab PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# constraints.txt is the exact set that the tests ran with, on Python 3.11. Other versions
# of Python take the newest packages that requirements.txt allows.
EXACT := $(shell $(PYTHON) -c 'import sys; print("-c constraints.txt" * (sys.version_info[:2] == (3, 11)))')
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(EXACT)

.PHONY: lab course test site slides bench clean

lab: $(VENV)/course
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root)

course: $(VENV)/test
	$(BIN)/python tools/run_notebooks.py

test: $(VENV)/test
	$(BIN)/python -m pytest

site: $(VENV)/site
	rm -rf build/site
	$(BIN)/python -m sphinx -W --keep-going -q -b html -c site . build/site
	@echo "Open build/site/index.html"

slides: $(VENV)/site
	$(BIN)/python tools/make_slides.py

bench: $(VENV)/bench
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf $(VENV)

$(VENV)/course: requirements.txt constraints.txt
	@echo "Making the environment $(VENV) and installing the course's packages: some minutes."
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "the course needs Python 3.10 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements.txt
	@touch $@

$(VENV)/test: $(VENV)/course tests/requirements.txt site/requirements.txt
	$(PIP) -r requirements.txt -r tests/requirements.txt
	@touch $@

$(VENV)/site: $(VENV)/course site/requirements.txt
	$(PIP) -r requirements.txt -r site/requirements.txt
	@touch $@

# llms-from-scratch asks for TensorFlow and more, which its models don't need.
$(VENV)/bench: $(VENV)/course benchmarks/requirements.txt
	$(PIP) -r requirements.txt -r benchmarks/requirements.txt
	$(PIP) --no-deps "llms-from-scratch>=1.0.19"
	@touch $@
