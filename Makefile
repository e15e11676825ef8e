# Everything runs in a virtual environment that `make env` makes from the lock in envs/.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export OMP_NUM_THREADS ?= 1

.PHONY: env env-baselines table report test test-slurm test-wheel benchmark lint format config docs container lock clean

env: $(READY)

$(READY): envs/torch.txt envs/requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "defectpool needs Python 3.11 or newer; call make PYTHON=python3.12")'
	@echo "Installing into $(VENV) what envs/requirements.txt lists; this takes minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --requirement envs/torch.txt
	$(BIN)/python -m pip install --quiet --requirement envs/requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Baselines of the map (map.baselines), each in an environment of its own.
env-baselines: .venv-matid/.ready .venv-soap/.ready

.venv-%/.ready: envs/%.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --requirement $<
	touch $@

# The campaign on the embedded materials: results/table.csv, results/table.md, results/plots/.
table: env
	PATH="$(abspath $(BIN)):$$PATH" snakemake

# Baselines, where the networks see the defect, and all of it in one file for any browser.
report: env
	PATH="$(abspath $(BIN)):$$PATH" snakemake evidence
	PATH="$(abspath $(BIN)):$$PATH" snakemake evidence --report results/report.zip

# Three workers for two cores: tests of SLURM mostly wait.
test: env
	$(BIN)/python -m pytest --numprocesses 3 --dist loadscope --no-loadscope-reorder

# Needs SLURM (Debian: slurmctld slurmd slurm-client munge slurmdbd mariadb-server).
test-slurm: env
	$(BIN)/python -m pytest tests/slurm

# The package in an empty environment.
test-wheel: env
	.ci/wheel $(abspath $(BIN))/python

benchmark: env
	for script in tests/benchmarks/*.py; do PYTHONPATH=scripts $(BIN)/python $$script || exit 1; done

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/codespell
	$(BIN)/python scripts/generate_config.py --check
	PATH="$(abspath $(BIN)):$$PATH" snakemake --lint

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

# Write config.yaml, its schema and the table of keys from the types.
config: env
	$(BIN)/python scripts/generate_config.py

# The pages of this repository as a website in site/html, with every link checked; it loads nothing
# from a server.
docs: env
	$(BIN)/python .ci/gather_pages.py site/pages
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --clean
	! grep -rlE '<(script|link)[^>]*(src|href)="?https?:' --include '*.html' site/html

# The container definition that Snakemake makes of envs/environment.yaml.
container: env
	PATH="$(abspath $(BIN)):$$PATH" .ci/containerize > envs/Dockerfile

# Pin what pyproject.toml asks for. Pins that still fit are kept; `make lock UPGRADE=--upgrade`
# takes the newest releases.
lock: env
	$(BIN)/uv pip compile --quiet pyproject.toml --extra workflow --group dev --excludes envs/torch.txt \
		--universal --python-version 3.11 --generate-hashes --no-annotate $(UPGRADE) \
		--custom-compile-command "make lock" --output-file envs/requirements.txt

clean:
	rm -rf results/[!R]* .snakemake
