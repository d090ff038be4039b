# make play   installs into .venv and opens the window; without a display it serves a page and prints its address
# make test   installs the development tools too, and runs the tests
# make lint   ruff and mypy
# make docs   builds the documentation into build/site
# make gpu    tests the kernels on this machine's GPU and measures everything there, in under ten minutes

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt
# Where mypy and mkdocs find envs/ and kernels/ under the names they install as, worldsim.envs and worldsim.kernels.
TYPED := build/typed

.PHONY: play test lint docs typed gpu clean

play: $(VENV)/play.stamp
	@$(BIN)/worldsim-play

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest

lint: $(VENV)/dev.stamp typed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=$(TYPED) $(BIN)/mypy $(TYPED)/worldsim tests

docs: $(VENV)/docs.stamp typed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

typed:
	@rm -rf $(TYPED) && mkdir -p $(TYPED)/worldsim && ln -s "$(CURDIR)"/worldsim/* "$(CURDIR)"/envs "$(CURDIR)"/kernels $(TYPED)/worldsim

gpu: $(VENV)/dev.stamp
	@date -u; uname -n; git describe --always --dirty; nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
	$(BIN)/python -m pytest -m gpu tests/kernels
	$(BIN)/worldsim bench kernels --json docs/results/bench-kernels.json --plot docs/results/bench-kernels.svg
	$(BIN)/worldsim bench stream --preset 360p-250m 360p-1b --batch 1 --device cuda --json docs/results/bench-stream-360p.json
	$(BIN)/worldsim bench stream --device cuda --json docs/results/bench-stream-gpu.json
	$(BIN)/worldsim bench env --device cuda --json docs/results/bench-env-gpu.json
	@date -u

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
