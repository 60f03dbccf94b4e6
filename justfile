# All there is to do; `just` lists it.

default:
    @just --list

# what CI runs: lint, types, import rules, then the tests
check: lint test

# the whole suite, both databases
test *args:
    uv run pytest -n auto {{ args }}

# everything that breaks processes: the runs under load, a sync, then one signup at each of its points; takes hours
faults *args: (faults-runs args) faults-syncs faults-points

# kill processes under load, 10,000 signups and 100 kills on each database, or `--signups 60 --kills 6 --accounts 4`
faults-runs *args:
    uv run python -m tests.faults.run --database sqlite --out faults-report {{ args }}
    uv run python -m tests.faults.run --database sqlite --processes serve,serve,worker --signups 1000 --kills 20 --out faults-report {{ args }}
    uv run python -m tests.faults.run --database postgresql --out faults-report {{ args }}
    uv run python -m tests.faults.run --crm servicetitan --database sqlite --signups 1000 --kills 50 --out faults-report {{ args }}
    uv run python -m tests.faults.run --crm servicetitan --database postgresql --signups 1000 --kills 50 --out faults-report {{ args }}

# kill processes while contacts are synced, 5,000 of them and 40 kills on each database, or `--contacts 400 --kills 6`
faults-syncs *args:
    uv run python -m tests.faults.sync_run --database sqlite {{ args }}
    uv run python -m tests.faults.sync_run --database postgresql {{ args }}

# kill one signup at each of its points, on each database, and all else of tests/faults
faults-points:
    GATEWAY_FAULTS=whole uv run pytest tests/faults -n 0

# formatting, lint, types, import rules, spelling, and that generated files are up to date
lint:
    uv run ruff format --check .
    uv run ruff check .
    uv run mypy
    uv run lint-imports
    uv run codespell
    uv run validate-pyproject pyproject.toml schemas/pyproject.toml plugins/*/pyproject.toml
    uv run gateway export-schemas --check
    uv run python docs/sdk_page.py --check

# mend what can be mended by itself
fix:
    uv run ruff format .
    uv run ruff check --fix .
    uv run gateway export-schemas
    uv run python docs/sdk_page.py

# one referral from signup to reward on this machine
demo *args:
    uv run gateway demo {{ args }}

# how fast it is against what bounds it, as one table; `just bench accept --pairs 3` measures a line
bench *args:
    uv run python -m bench {{ args }}

# write an Alembic revision from the tables
revision message:
    uv run python -m gateway.storage.migrate "{{ message }}"

# the changelog as the next release would show it
changelog:
    uv run towncrier build --draft --version next
