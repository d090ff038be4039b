# make play   installs into .venv and opens the default world
# make test   installs the development tools too, and runs the tests
# make lint   ruff and mypy

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt
# Where mypy finds envs/ and kernels/ under the names they install as, worldsim.envs and worldsim.kernels.
TYPED := build/typed

.PHONY: play test lint clean

play: $(VENV)/doom.stamp
	@$(BIN)/worldsim-play

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf $(TYPED) && mkdir -p $(TYPED)/worldsim && ln -s "$(CURDIR)"/worldsim/* "$(CURDIR)"/envs "$(CURDIR)"/kernels $(TYPED)/worldsim
	MYPYPATH=$(TYPED) $(BIN)/mypy $(TYPED)/worldsim tests

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache

# One stamp for each extra of pyproject.toml. The build tool comes first, so that its version too is from constraints.txt.
$(VENV)/%.stamp: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV): PyTorch is large, the first time takes minutes."
	$(PIP) setuptools
	$(PIP) --no-build-isolation --editable '.[$*]'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' || \
	  { echo "$(PYTHON) must be Python 3.10 to 3.13; choose one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "No virtual environment could be made; on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
