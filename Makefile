# The same commands for people and for CI. `make help` lists them.

VENV     := .venv
RUN_VENV := .venv-run
BIN      := $(VENV)/bin
PYTHON   ?= python3
INSTALL   = -m pip install --quiet --disable-pip-version-check -c constraints.txt
ROOMS    := core training export calibration runtime samples
JOBS     ?= 2    # test processes, each with one thread
COMPILED := $(wildcard CMakeLists.txt cpp/CMakeLists.txt cpp/*/CMakeLists.txt cpp/*/*.[ch]pp cpp/include/*/*.hpp)

# A Python without ensurepip (Debian before python3-venv is installed) lends its own pip instead.
define new_venv
	@test -x $(1)/bin/pip || $(PYTHON) -m venv $(1) 2>/dev/null || \
		{ $(PYTHON) -m venv --clear --without-pip $(1) && \
		$(PYTHON) -m pip --python $(1)/bin/python install --quiet pip; }
endef

.DEFAULT_GOAL := help
.PHONY: help setup check test cpp demo bench tensorrt-check ci clean

help:  ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(VENV)/.stamp  ## make .venv with everything that development needs

$(VENV)/.stamp: pyproject.toml constraints.txt $(COMPILED)
	$(call new_venv,$(VENV))
	$(BIN)/python $(INSTALL) -e ".[dev]"
	touch $@

$(RUN_VENV)/.stamp: pyproject.toml constraints.txt $(COMPILED)
	$(call new_venv,$(RUN_VENV))
	$(RUN_VENV)/bin/python $(INSTALL) -e .
	touch $@

check: setup  ## lint, format, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Files in the order of their names: few long ones are left for the end. A process that crashed ends
# the run, which would wait for it for ever otherwise (xdist 3.8, loadfile).
test: setup  ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile \
		--no-loadscope-reorder --max-worker-restart 0

cpp: setup  ## build the C++ library and run its tests; needs a C++20 compiler
	$(BIN)/cmake -S . -B build/cpp -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja
	$(BIN)/cmake --build build/cpp
	$(BIN)/ctest --test-dir build/cpp --output-on-failure
	$(BIN)/python -c "from lipdeploy.core.compiled import COMPILED; assert COMPILED, 'not built'"

demo: $(RUN_VENV)/.stamp  ## run the bundled model on the bundled clip, as a device would: no torch
	$(RUN_VENV)/bin/lipdeploy demo

bench: setup  ## measure speed
	$(BIN)/python benchmarks/certificates.py
	$(BIN)/python benchmarks/head.py
	$(BIN)/python benchmarks/verify.py
	$(BIN)/python benchmarks/certify_memory.py
	$(BIN)/python benchmarks/training_step.py
	$(BIN)/python benchmarks/overlay.py
	$(BIN)/python benchmarks/stream.py

tensorrt-check: setup  ## build the bundled model with both generations of TensorRT-RTX; no GPU needed
	$(BIN)/python benchmarks/tensorrt_check.py --envs build/tensorrt samples/scene_s.onnx

ci: check test cpp demo  ## all that must pass

clean:  ## remove what the commands above made, but for runs/
	rm -rf $(VENV) $(RUN_VENV) build dist .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache
	find src/lipdeploy/cli $(ROOMS) tests -name __pycache__ -type d -prune -exec rm -rf {} +
