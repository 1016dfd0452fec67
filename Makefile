# make demo: train a small diffusion model and watch flowers emerge from noise, about six minutes on a laptop
# make lab:  open JupyterLab on the notebooks
# make install: install everything into .venv, and nothing else
# <!-- repository -->
# make test: the tests and a short version of all labs, in about 15 minutes; make test-all: also the slow tests
# make gpu-test: the labs with the models for a GPU, a few steps each
# make bench: speed compared with the textbook way, within 20 minutes; make bench-quality: quality, within 80
# make bench-peers: other diffusion libraries on the same flowers; it also installs PyTorch
# make site: the course as a website with live figures, in out/site; it needs Node.js
# <!-- end -->
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
EXTRAS := lab
# <!-- repository -->
EXTRAS := lab,instructor
# <!-- end -->

.PHONY: demo lab install lint test test-all gpu-test bench bench-quality bench-peers site clean

demo: $(VENV)/installed
	$(BIN)/diffusion-lab demo $(ARGS)

lab: $(VENV)/installed
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)

install: $(VENV)/installed

# <!-- repository -->
# A worker runs whole files, because their tests share models and sandboxes. tests/conftest.py sorts the files, with the
# slowest first. There are four workers for two cores, because sandboxes and browsers often wait.
IN_PARALLEL := --numprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/pyright --pythonpath $(BIN)/python

test: lint
	$(BIN)/python -m pytest -m "not slow" --nbval solutions tests $(IN_PARALLEL)

test-all: test
	$(BIN)/python -m pytest -m slow $(IN_PARALLEL)

gpu-test: $(VENV)/installed-test
	DIFFUSION_LAB_PROFILE=gpu-test $(BIN)/python -m pytest --nbval-lax solutions

bench: $(VENV)/installed
	$(BIN)/python -m benchmarks.speed $(ARGS)

bench-quality: $(VENV)/installed
	$(BIN)/python -m benchmarks.quality $(ARGS)

bench-peers: $(VENV)/installed
	$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[peers]'
	$(BIN)/python -m benchmarks.peers $(ARGS)

site: $(VENV)/installed
	$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[site]'
	$(BIN)/python docs/build_site.py $(ARGS)

$(VENV)/installed-test: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV); the first time this takes a few minutes ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[test,jax]'
	@touch $@
# <!-- end -->

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' || \
	  { echo "Diffusion Lab needs Python 3.10 to 3.13; name one with 'make PYTHON=python3.12 ...'."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(VENV)/installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV); the first time this takes a few minutes ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

clean:  # deletes what was installed, not what was trained
	rm -rf $(VENV)
