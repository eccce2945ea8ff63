# Every target makes .venv first; it is made again only when pyproject.toml or constraints.txt change.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help install demo stack test check fmt docs chart prove bench heads card contents clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "Vedette needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 2; }
	@test -x $(BIN)/pip || "$(PYTHON)" -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[shadow,bench,openvino,evaluate,dev]'
	@touch $@

install: $(READY) ## make .venv with all that the other targets need

demo: $(READY) ## the whole road on a simulated log: no broker, no GPU, no network
	$(BIN)/vedette demo

stack: $(READY) ## all of deploy/compose.yaml as processes of this machine, without containers
	$(BIN)/python -m deploy.stack

# Three files at a time on two cores: those that wait for servers leave a tenth of them idle.
# In the order of the files: xdist's own begins with those of many tests, and the longest files, of
# one test or two in tests/live, would come last, one worker idle.
test: $(READY) ## every test but the long ones, with real Kafka and PostgreSQL where they can be had
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not prove and not bench" -n 3 --dist loadfile \
	    --no-loadscope-reorder

check: $(READY) ## ruff and mypy; writes nothing
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

fmt: $(READY) ## let ruff rewrite what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(READY) ## write docs/reference and the committed rules from the code again
	$(BIN)/python -m deploy.reference
	$(BIN)/python -m deploy.values_schema
	$(BIN)/vedette rules > deploy/rules.yml
	$(BIN)/vedette rules -c deploy/compose/vedette.yaml > deploy/compose/rules.yml

# Modules by the name of their command.
HELM := helm.sh/helm/v3/cmd/helm@v3.22.0
KUBECONFORM := github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
TOOLS := .cache/go/bin

$(TOOLS)/helm: ; GOBIN="$(CURDIR)/$(TOOLS)" go install $(HELM)
$(TOOLS)/kubeconform: ; GOBIN="$(CURDIR)/$(TOOLS)" go install $(KUBECONFORM)
.cache/schemas: deploy/schemas.py $(READY)
	$(BIN)/python -m deploy.schemas
	@touch $@

chart: $(READY) $(TOOLS)/helm $(TOOLS)/kubeconform .cache/schemas ## lint, render and check the Helm chart; needs Go
	$(BIN)/python -m deploy.render

prove: $(READY) ## long simulations and crash campaigns
	$(BIN)/python -m pytest -m prove --timeout 3600

heads: $(READY) ## train the shipped heads on ../shared/data again
	$(BIN)/python -m training.fit

card: $(READY) ## how good the shipped heads are on sources never trained on
	$(BIN)/python -m training.card

bench: $(READY) ## what this machine does, as a table
	$(BIN)/python -m tests.bench.road
	$(BIN)/python -m tests.bench.ingest
	$(BIN)/python -m tests.bench.evaluate
	$(BIN)/python -m tests.bench.shadow
	$(BIN)/python -m tests.bench.readout
	$(BIN)/python -m tests.bench.packing
	$(BIN)/python -m tests.bench.watch
	$(BIN)/python -m tests.bench.burn
	$(BIN)/python -m tests.bench.pages
	$(BIN)/python -m tests.bench.readers
	$(BIN)/python -m tests.bench.local
	$(BIN)/python -m tests.bench.reference
	$(BIN)/python -m tests.bench.ways
	$(BIN)/python -m tests.bench.cold
	$(BIN)/vedette bench engine

contents: $(READY) ## what the image holds, by package: its build without an engine; minutes and 6 GB
	rm -rf .cache/image && $(BIN)/python -m deploy.image cpu .cache/image

clean: ## remove .venv and everything else that was made here
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
