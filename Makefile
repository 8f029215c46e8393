# make demo    burn a data centre on this machine, and see that nothing is lost
# make soak    half an hour of load without a fault, in which nothing may move: MINUTES=60 ACT_AFTER=350ms
# make lab-matrix   every grey failure, into docs/matrix.md: ROWS="primary-cut parted" TIMES=3
# make lab-fuzz     faults by chance, also several at once: SECONDS=600 SEED=1, or one episode again: SCHEDULE=file
# make test    everything: lint, types, floors, unit, lab (root)
# make check   the quick half: no root, no engines
# make sim     nights of faults in virtual time: EPISODES=200 SEED=1 NIGHTS=plain|looking|takeover, or one again: SCHEDULE=file
# make table   measure what takeovers take, against their bounds (root, 25 minutes): docs/takeover-table.md
# make bench   speed and memory, as ratios side by side
# make lab-test ALL=1   the lab's tests with every row of the fault matrix, not only the quick ones
# make lab-test, make unit, make lint: the parts of make test;  make lock: write requirements.lock anew
.DEFAULT_GOAL := help
.PHONY: help demo soak lab-matrix lab-fuzz test check sim table bench lint unit lab-test lock root engines clean

python := .venv/bin/python
demo_flags ?=
MINUTES ?= 30
ACT_AFTER ?=
EPISODES ?= 200
SEED ?= 1
NIGHTS ?= plain
SCHEDULE ?=
ROWS ?=
TIMES ?= 1
SECONDS ?= 600
ALL ?=

help:
	@sed -n 's/^# //p' Makefile

.venv/ready: requirements.lock pyproject.toml scripts/setup-venv
	@scripts/setup-venv

root:
	@[ "$$(id -u)" = 0 ] || { echo "binome: data centres are built from network namespaces, which needs root: sudo make $(MAKECMDGOALS)" >&2; exit 3; }

engines: root
	@scripts/setup-engines $(MAKECMDGOALS)

demo: root .venv/ready engines
	@.venv/bin/binome demo $(demo_flags)

soak: root .venv/ready engines
	@.venv/bin/binome lab soak --minutes "$(MINUTES)" --act-after "$(ACT_AFTER)"

lab-matrix: root .venv/ready engines
	@.venv/bin/binome lab matrix $(ROWS) --times "$(TIMES)" --write docs

lab-fuzz: root .venv/ready engines
	@.venv/bin/binome lab fuzz --seconds "$(SECONDS)" --seed "$(SEED)" --schedule "$(SCHEDULE)"

test: root lint unit lab-test

check: lint unit

lint: .venv/ready
	@$(python) -m ruff check .
	@$(python) -m ruff format --check .
	@$(python) -m mypy
	@.venv/bin/lint-imports --no-cache

unit: .venv/ready
	@$(python) -m pytest -q -m "not lab"

lab-test: root .venv/ready engines
	@BINOME_MATRIX=$(if $(ALL),all,quick) $(python) -m pytest -q -m lab

sim: .venv/ready
	@$(python) -m binome.sim --episodes "$(EPISODES)" --seed "$(SEED)" --nights "$(NIGHTS)" --schedule "$(SCHEDULE)"

table: root .venv/ready engines
	@$(python) scripts/takeover-table

bench: .venv/ready engines
	@bench/run

lock: .venv/ready
	@scripts/lock

clean:
	rm -rf .venv
