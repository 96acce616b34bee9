# All the set-up a new user needs: `make demo` shows it working, `make test` proves it.
PYTHON ?= python3
VENV := .venv
TEST_VENV := .venv-test

.PHONY: demo test check clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed
	$(VENV)/bin/storm-edge demo --out out

test: $(TEST_VENV)/installed
	$(TEST_VENV)/bin/python -m pytest

# What CI asks for beside the tests: style, types, and that rooms import only downwards.
check: $(TEST_VENV)/installed
	$(TEST_VENV)/bin/ruff check .
	$(TEST_VENV)/bin/ruff format --check .
	$(TEST_VENV)/bin/mypy
	$(TEST_VENV)/bin/lint-imports

# The lean install: what a robot needs, without torch.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(TEST_VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(TEST_VENV)
	$(TEST_VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) $(TEST_VENV) out
