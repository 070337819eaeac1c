# SPDX-License-Identifier: Apache-2.0
# Two commands do all set-up on a fresh machine with Python 3.10 to 3.13: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
OUT := demo_out
BLENDER := .venv-blender

.PHONY: demo test test-blender check clean

demo: $(VENV)/engine
	$(BIN)/matanyone-engine matte "examples/plate/plate.####.exr" --mask examples/mask.1001.exr@1001 \
	  --colorspace lin_rec709_scene --out "$(OUT)/alpha.####.exr" --preview $(OUT)/preview.png
	$(BIN)/matanyone-engine evaluate "$(OUT)/alpha.####.exr" "examples/truth/alpha.####.exr" --plot $(OUT)/scores.png

test: check

check: $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

# Needs Python 3.11, which the bpy wheel was built for, and room for 1 GB.
test-blender: $(VENV)/test $(BLENDER)/ready
	MATANYONE_BLENDER_PYTHON=$(BLENDER)/bin/python $(BIN)/python -m pytest tests/hosts

clean:
	rm -rf $(VENV) $(BLENDER) $(OUT)

$(BLENDER)/ready:
	python3.11 -m venv $(BLENDER)
	$(BLENDER)/bin/python -m pip --disable-pip-version-check install --quiet bpy==4.5.15
	touch $@

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/engine: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable ".[engine]"
	touch $@

$(VENV)/test: $(VENV)/engine
	$(PIP) --editable ".[engine,test]"
	touch $@
