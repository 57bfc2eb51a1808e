# The commands of the README. Without make, run what the recipes run.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo

.PHONY: demo test test-slow test-faults gpu-program docs notebooks clean

$(VENV)/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test]"
	touch $@

demo: $(VENV)/installed
	$(BIN)/python -m lsts_jax.data.synthvid --out $(DEMO)/synthvid --videos 120 --val-videos 12 --frames 40
	$(BIN)/python train.py --config configs/demo.py --workdir $(DEMO)
	$(BIN)/python evaluate.py --workdir $(DEMO)
	$(BIN)/python predict.py --workdir $(DEMO) --source $(DEMO)/synthvid/Data/VID/val/ILSVRC2015_val_00000000 --output $(DEMO)/watch
	@echo "trained detector   $(DEMO)"
	@echo "scores             $(DEMO)/eval/metrics.json"
	@echo "annotated video    $(DEMO)/watch/ILSVRC2015_val_00000000.mp4"

test: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(VENV)/installed
	$(BIN)/python -m pytest -m slow

test-faults: $(VENV)/installed
	$(BIN)/python -m pytest -m faults -s
	$(BIN)/python -m tests.fuzz --seconds 60

gpu-program: $(VENV)/installed
	jax=$$($(BIN)/python -c "import jax; print(jax.__version__)") && $(BIN)/python -m pip install --quiet \
	  --disable-pip-version-check -e ".[gpu-program]" jax-cuda12-plugin==$$jax jax-cuda12-pjrt==$$jax
	JAX_PLATFORMS=cpu $(BIN)/python -m benchmarks.gpu_program $(if $(JSON),--json $(JSON))

docs: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict
	@echo "site               build/site/index.html"

notebooks:
	$(PYTHON) notebooks/stamp.py

clean:
	rm -rf $(VENV) build *.egg-info .jax_cache
