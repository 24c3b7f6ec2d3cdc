# Sets up everything in this folder (.uv, .venv) and nothing outside it but pip's and uv's caches.
#   make study   the study on built-in data, a quarter of an hour on two processor cores if no run is on record
#   make test    format, lint, types, tests
#   make slow    the longer tests; with a Chromium or Chrome, every notebook in JupyterLab too
PYTHON ?= python3
CRREID = .venv/bin/crreid

.PHONY: study test slow lab clean

study: .venv/complete
	$(CRREID) study --profile quick --jobs 2

test: .venv/complete
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/python -m pytest

slow: .venv/complete
	.venv/bin/python -m pytest -m slow

lab: .venv/complete
	.venv/bin/jupyter lab notebooks

.venv/complete: pyproject.toml uv.lock .uv/bin/uv
	UV_PYTHON_DOWNLOADS=never .uv/bin/uv sync --frozen --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')"
	touch $@

.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet uv

clean:
	rm -rf .venv .uv
