# Two commands for a fresh machine with Python 3.11 and make: `make train` and `make test`.
PYTHON ?= python3.11
BIN = .venv/bin
ADDONS_BIN = .venv-addons/bin
# Two processes: most tests wait for TensorFlow to trace, on one core.
PYTEST = -m pytest -n 2 --dist worksteal --durations=20

# Or each process that imports TensorFlow compiles all of its Python again.
unexport PYTHONDONTWRITEBYTECODE

NOTEBOOKS = $(wildcard notebooks/*.ipynb)

.PHONY: train test test-slow test-all test-addons notebooks notebooks-outputs $(NOTEBOOKS) docs lint \
	constraints clean

train: .venv/installed
	$(BIN)/siamese-nn train

test: .venv/installed
	$(BIN)/python $(PYTEST) -m "not slow"

# What is killed, what takes several processes, and most trainings.
test-slow: .venv/installed .venv-runtime/installed
	$(BIN)/python $(PYTEST) -m slow

# All at once, with the lines that no test runs.
test-all: .venv/installed
	$(BIN)/python $(PYTEST) --cov=siamese_nn --cov-report=term-missing:skip-covered

# Without what knows no Keras.
test-addons: .venv-addons/installed
	$(ADDONS_BIN)/python $(PYTEST) -m "not once"

notebooks: $(NOTEBOOKS)
$(NOTEBOOKS): .venv/installed
	$(BIN)/python notebooks/run.py $(STORE) $@
# All three draw faces into data/toy.
notebooks/03_hyperparameter_sweep.ipynb notebooks/04_verify_identify_cluster.ipynb: notebooks/01_lfw_a_pairs_and_training.ipynb
# Stores their outputs, to be committed after a look. `make notebooks` only compares.
notebooks-outputs: STORE = --store
notebooks-outputs: $(NOTEBOOKS)

# The site, into build/site: each link, and that no page loads anything from another host, is checked.
docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	$(BIN)/python tests/check_site.py build/site

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The second stack: TensorFlow 2.15 with TensorFlow Addons.
.venv-addons/installed: EXTRAS = dev,addons
.venv/installed: EXTRAS = dev,dev-onnx,docs
CONSTRAINED = --constraint constraints$(*:.venv%=%).txt
%/installed: setup.cfg pyproject.toml constraints.txt constraints-addons.txt
	$(PYTHON) -m venv $*
	$*/bin/pip install --quiet --no-compile $(CONSTRAINED) --editable '.[$(EXTRAS)]'
	touch $@

# The verifier without TensorFlow, in an environment without it.
.venv-runtime/installed: $(addprefix siamese_nn/,$(shell cat runtime/shared.txt)) $(wildcard runtime/*.* runtime/*/*.py runtime/*/*/*.py)
	$(PYTHON) -m venv .venv-runtime
	.venv-runtime/bin/pip install --quiet --no-compile $(if $(CONSTRAINED),--constraint constraints-runtime.txt) './runtime[onnx,app]'
	touch $@

# Writes down the newest versions. They are committed once `.ci/run` has passed with them.
constraints: clean
	$(MAKE) .venv/installed .venv-addons/installed .venv-runtime/installed CONSTRAINED=
	$(BIN)/pip freeze --exclude-editable >constraints.txt
	$(ADDONS_BIN)/pip freeze --exclude-editable >constraints-addons.txt
	.venv-runtime/bin/pip freeze --exclude siamese_nn_runtime >constraints-runtime.txt

clean:
	rm -rf .venv .venv-addons .venv-runtime build runtime/build *.egg-info runtime/*.egg-info
