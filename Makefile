# All the set-up a new user needs: `make demo` shows it working, `make test` proves it.
PYTHON ?= python3
VENV := .venv
TEST_VENV := .venv-test
OLDEST_VENV := .venv-oldest
OLDEST_PYTHON ?= python3.10

.PHONY: demo test test-oldest check export-full gpu-train gpu-train-dry clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed
	$(VENV)/bin/storm-edge demo --out out

# Two processes, each with threads of its own where a test wants them; idle ones take over tests of the other.
PYTEST_JOBS ?= 2
test: $(TEST_VENV)/installed
	$(TEST_VENV)/bin/python -m pytest -n $(PYTEST_JOBS) --dist worksteal

# The oldest Python and the oldest packages that pyproject.toml allows, without the workshop (torch, onnx): the tests of
# what a robot installs. Those that need the workshop skip.
test-oldest: $(OLDEST_VENV)/installed
	$(OLDEST_VENV)/bin/python -m pytest --without torch --without onnx --without onnxscript

# What CI asks for beside the tests: style, types, and that rooms import only downwards.
check: $(TEST_VENV)/installed
	$(TEST_VENV)/bin/ruff check .
	$(TEST_VENV)/bin/ruff format --check .
	$(TEST_VENV)/bin/mypy
	$(TEST_VENV)/bin/lint-imports

# Every graph of the full tier with random weights, through export, calibration and TensorRT-RTX; about half an hour.
# The sam2 package asks for torchvision, which its networks do not use.
export-full: $(TEST_VENV)/installed
	$(TEST_VENV)/bin/python -m pip install --quiet --no-deps sam2 iopath portalocker hydra-core omegaconf \
		antlr4-python3-runtime==4.9.3 tqdm
	$(TEST_VENV)/bin/python -m benchmarks run export --tier full --random-weights 0 --recordings 1 --held-out 4

# All that a GPU machine without a network is asked to do: train, export, measure. It installs nothing: on such a machine
# name the Python and the packages that are there, as in `PYTHONPATH=SITE make gpu-train PYTHON=python3 MINUTES=120`.
MINUTES ?= 60
GPU_OUT ?= runs/gpu
gpu-train:
	$(PYTHON) -m benchmarks.gpu_train --minutes $(MINUTES) --out $(GPU_OUT)

# The same with a few items each, on a CPU: what is run before a GPU's time is spent.
gpu-train-dry:
	$(PYTHON) -m benchmarks.gpu_train --dry-run --out $(GPU_OUT)-dry

# The lean install: what a robot needs, without torch.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(TEST_VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(TEST_VENV)
	$(TEST_VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

$(OLDEST_VENV)/installed: pyproject.toml constraints-oldest.txt
	$(OLDEST_PYTHON) -m venv $(OLDEST_VENV)
	$(OLDEST_VENV)/bin/python -m pip install --quiet --constraint constraints-oldest.txt --editable . pytest hypothesis
	touch $@

clean:
	rm -rf $(VENV) $(TEST_VENV) $(OLDEST_VENV) out
