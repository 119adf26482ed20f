# The repository's own commands. Everything runs in .venv, which packaging/bootstrap.py makes and keeps up to date.
PYTHON ?= python3
BIN := .venv/bin
# Tests and benchmarks reach nothing but loopback. The window may: models are downloaded there.
test fuzz bench package: export HF_HUB_OFFLINE := 1

.PHONY: run setup test fuzz lint bench package clean

run: setup        ## set up, then open the window, or run the demo in the terminal where there is no display
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ] || [ "$$(uname)" = Darwin ]; then $(BIN)/seirenes app; else $(BIN)/seirenes demo; fi

setup:            ## bring .venv up to date; a second time takes well under a second
	@$(PYTHON) packaging/bootstrap.py

test: setup       ## all tests: offscreen, no network, on all cores, the same examples each time
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

fuzz: setup       ## the property tests alone, with new random examples
	HYPOTHESIS_PROFILE=random $(BIN)/python -m pytest -q -n auto --maxprocesses 4 -m hypothesis

lint: setup       ## style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup      ## benchmarks: ratios measured side by side in one run; each is stopped after five minutes
	$(BIN)/python tests/bench/run_all.py

package: setup    ## build the wheel, install it in a clean environment, smoke-test it there
	$(BIN)/python packaging/package.py

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
