# Each target installs what it needs and this machine lacks, and says so (see .ci/setup).

SHELL := /bin/bash
export PATH := $(CURDIR)/target/tools/bin:$(HOME)/.cargo/bin:$(PATH):/usr/sbin:/sbin

# Where the demos listen.
LISTEN ?= 127.0.0.1:8080

.PHONY: help demo demo-odoo check test deny figures

help:
	@echo 'make demo              a stand-in fleet of three tenants behind the gateway, with live traffic;'
	@echo '                       LISTEN=127.0.0.1:8081 if the port 8080 is taken'
	@echo 'make demo-odoo         the same with a real Odoo 19 and two databases'
	@echo 'make check             formatting and lints'
	@echo 'make test              everything that CI checks'
	@echo 'make deny              licences, banned crates, sources'
	@echo 'make figures           what the gateway costs; ONLY=name measures one figure'

demo:
	@.ci/setup build
	@cargo build --package fleetgate
	@target/debug/fleetgate demo --listen $(LISTEN)

demo-odoo:
	@.ci/setup build odoo
	@cargo build --package fleetgate
	@tests/real/odoo/demo.sh target/debug/fleetgate $(LISTEN)

check:
	@.ci/setup build
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

# One run of the test runner, whose summary is the last line.
test:
	@.ci/setup test odoo
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo-deny --locked check bans licenses sources
	cargo build --locked --package fleetgate-core --target wasm32-wasip1
	cargo build --locked --workspace --bins --tests
	cargo nextest run --locked --workspace

deny:
	@.ci/setup deny
	cargo-deny --locked check bans licenses sources

figures:
	@.ci/setup figures
	@cargo run --quiet --locked --profile bench --package fleetgate-benches --bin figures -- $(if $(ONLY),--only $(ONLY))
