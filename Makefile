# All the set-up a new user needs: `make demo` shows it working, `make test` proves it.
PYTHON ?= python3
VENV := .venv
TEST_VENV := .venv-test
OLDEST_VENV := .venv-oldest
OLDEST_PYTHON ?= python3.10

.PHONY: demo test test-oldest check export-full clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed
	$(VENV)/bin/storm-edge demo --out out

test: $(TEST_VENV)/installed
	$(TEST_VENV)/bin/python -m pytest

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
