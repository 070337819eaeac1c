# SPDX-License-Identifier: Apache-2.0
# Two commands do all set-up on a fresh machine with Python 3.10 to 3.13: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
# uv takes seconds where pip takes a minute, and chooses the build of torch for this machine's GPU by itself; TORCH names
# another one (cpu, cu130, rocm7.2, xpu). Where there is no uv, or torch's own indexes cannot be reached, pip installs.
UV ?= $(shell command -v uv)
TORCH ?= auto
install = $(if $(UV),$(UV) pip install --quiet --python $(BIN)/python --torch-backend $(TORCH) --constraint constraints.txt $(1) || )$(PIP) $(1)
comma := ,
OUT := demo_out
# A Blender for the tests of the extension: any bpy wheel of PyPI, and the Python that it was built for. In those of
# BPY_ALSO, of the same Python, the tests take the main way only: CI names two.
BPY ?= 4.5.15
BPY_ALSO ?=
BPY_PYTHON ?= python3.11
BLENDER := .venv-blender-$(BPY)
BLENDERS := $(BLENDER) $(BPY_ALSO:%=.venv-blender-%)
PYTEST = MATANYONE_BLENDERS="$(BLENDERS)" $(BIN)/python -m pytest

# The tests of `make quick`: values in, values out. None starts an engine, a Blender or another process for long.
QUICK := tests/architecture tests/wire tests/golden tests/runs tests/test_atomic.py tests/memory/test_bank.py \
  $(addprefix tests/matting/test_,schedule.py shot.py content_keys.py confidence.py blend.py) \
  $(addprefix tests/media/test_,sequence.py output_names.py views.py channels.py prompts.py mask_morphology.py) \
  $(addprefix tests/model/test_,registry.py licences.py) $(addprefix tests/cli/test_,exit_codes.py help.py) \
  $(addprefix tests/jobs/test_,segments.py retry.py) $(addprefix tests/engine/test_,scheduler.py faults.py)

MINUTES ?= 10
FINDS := fuzz_finds

.PHONY: bundle lock demo test test-blender blender blender-repo blender-window check quick quick-style quick-tests fuzz clean

demo: $(VENV)/engine
	$(BIN)/matanyone-engine matte "examples/plate/plate.####.exr" --mask examples/mask.1001.exr@1001 \
	  --colorspace lin_rec709_scene --out "$(OUT)/alpha.####.exr" --preview $(OUT)/preview.png
	$(BIN)/matanyone-engine evaluate "$(OUT)/alpha.####.exr" "examples/truth/alpha.####.exr" --plot $(OUT)/scores.png

# With one real Blender (20 s, 1 GB), installed beside the rest; without a Python for it its tests are skipped and say so.
test:
	$(MAKE) -j2 $(VENV)/test $(BLENDERS)
	$(MAKE) check

check: $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST)

# Under a minute on two idle cores: for while you work. `make check` runs the whole before you land.
quick: $(VENV)/test
	@$(MAKE) --no-print-directory -j2 --output-sync=target quick-style quick-tests

quick-style:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

quick-tests:
	$(BIN)/python -m pytest -q $(QUICK)

# make fuzz MINUTES=30: other damage each time; what is found lies in fuzz_finds/, and its seed is printed.
fuzz: $(VENV)/test
	$(BIN)/python tests/fuzz/lane.py --minutes $(MINUTES) --out $(FINDS)

# make test-blender BPY=5.0.1, make test-blender BPY=5.2.3 BPY_PYTHON=python3.13
# A Blender that is asked for by name and cannot be had is a failure here, where `make test` skips its tests.
test-blender: $(VENV)/test $(BLENDERS)
	@for each in $(BLENDERS); do test -f $$each/ready || { cat $$each/skipped; echo; exit 1; } >&2; done
	$(PYTEST) tests/hosts

# The Blender extension as one zip in dist/, built and validated by Blender's own tool.
blender: $(VENV)/test $(BLENDER)
	$(BIN)/python blender_addon/build.py

# The ten steps of docs/blender.md in a Blender with a window, by mouse and keys; what was on the screen is in dist/window.
# It says what is missing where there is no such Blender. WINDOW_BLENDER="chroot /opt/sid blender" names one.
WINDOW_BLENDER ?=
blender-window: $(VENV)/test
	$(BIN)/python benchmarks/blender_window.py tour --frames 6 --out dist/window --blender "$(WINDOW_BLENDER)"

# The same as a static repository of extensions in dist/blender: from a folder or a web server, Blender updates from it.
blender-repo: $(VENV)/test $(BLENDER)
	$(BIN)/python blender_addon/build.py --out dist/blender --repository

# A folder in dist/ that installs the engine where there is no network, with both add-ons: docs/install.md. TORCH_INDEX
# names an index that has torch for one accelerator.
bundle: $(VENV)/engine
	$(call install,--editable ".[engine$(comma)bundle]")
	$(BIN)/python install/bundle.py --out dist $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX))

# What is installed, pinned by digest, for all systems: needs uv. Only PyPI's torch is in it (docs/install.md).
lock:
	$(UV) pip compile --quiet --universal --upgrade --python-version 3.10 --extra engine --extra movies --generate-hashes \
	  --no-annotate --no-emit-index-url --no-header --constraint constraints.txt pyproject.toml --output-file install/lock.new
	printf '%s\n' '# SPDX-License-Identifier: Apache-2.0' '# Made by `make lock`: every release by digest.' \
	  | cat - install/lock.new > install/lock.txt
	rm install/lock.new

clean:
	rm -rf $(VENV) .venv-blender-* .wheels dist $(OUT) $(FINDS)

.PHONY: $(BLENDERS)
$(BLENDERS):
	$(PYTHON) tests/install_blender.py $@ $(@:.venv-blender-%=%) $(BPY_PYTHON)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/engine: $(VENV)/bin/python pyproject.toml constraints.txt
	$(call install,--editable ".[engine]")
	touch $@

$(VENV)/test: $(VENV)/engine
	$(call install,--editable ".[engine$(comma)test]")
	touch $@
