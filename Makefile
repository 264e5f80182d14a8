# One command each, on a fresh machine with python3 (3.11 or later), a C++ compiler and make:
#
#   make demo    the main job: eight turns on examples/layernorm.py, without a GPU or an API key
#   make test    what CI runs: every test that this machine can run
#   make lint    ruff, ruff format, mypy --strict and clang-format
#
# `make demo PYTHON=python3.12 TORCH=torch==2.11.0` chooses another Python or torch.

PYTHON ?= python3
VENV   ?= .venv
# Installed first, and only where no torch is importable: nobody's own build is ever replaced.
TORCH  ?= torch==2.13.0

BIN   := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test lint clean
.DEFAULT_GOAL := setup

setup: $(READY)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "refine_agent needs Python 3.11 or later; name one with: make PYTHON=python3.12"; exit 1; }
	@command -v $${CXX:-c++} >/dev/null || command -v g++ >/dev/null \
	  || { echo "no C++ compiler was found, and kernels have to be built; install one (Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' \
	  || { echo "this Python cannot make environments; install its venv package (Debian, Ubuntu: apt install python3-venv)"; exit 1; }
	@echo "setting up $(VENV): torch first, then the rest; the first time takes a few minutes"
	@[ -t 1 ] || quiet=--quiet; \
	if $(PYTHON) -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)'; then \
	  echo "using the torch that $(PYTHON) already has"; \
	  $(PYTHON) -m venv --system-site-packages $(VENV); \
	else \
	  $(PYTHON) -m venv $(VENV); \
	  $(BIN)/python -c 'import torch' 2>/dev/null || $(BIN)/python -m pip install $$quiet "$(TORCH)"; \
	fi && \
	$(BIN)/python -m pip install $$quiet --editable '.[dev,mcp,notebook]'
	@touch $@

demo: setup
	$(BIN)/python -m refine_agent optimize examples/layernorm.py --turns 8

# What is judged and what is not go side by side, since neither asserts how long anything took; what
# does comes last and has the machine to itself.
RUNS   := tests/test_demo.py tests/notebooks tests/cli/test_for_real.py tests/judge
TIMED  := tests/bench tests/cheats
PYTEST := $(BIN)/python -m pytest --durations=10

test: setup
	@report=$$(mktemp); failed=0; \
	$(PYTEST) -p no:cacheprovider $(RUNS) >$$report 2>&1 & runs=$$!; \
	trap 'kill $$runs 2>/dev/null; rm -f $$report' EXIT; trap 'exit 130' INT TERM; \
	$(PYTEST) $(addprefix --ignore=,$(RUNS) $(TIMED)) || failed=1; \
	echo "waiting for $(RUNS)"; \
	wait $$runs || failed=1; cat $$report; \
	$(PYTEST) $(TIMED) || failed=1; \
	exit $$failed

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror refine_agent/builder/light/*.h refine_agent/builder/light/*.cpp

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist *.egg-info
