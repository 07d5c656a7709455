# The commands of this project. `make demo` and `make test` set up what they need.

CARGO ?= cargo
GUESTS = plugins/build.sh
KAFKA  = tests/kafka/fetch.sh
FUZZ   = tests/schemathesis/fetch.sh

.PHONY: help demo test soak bench guests kafka fuzz lint

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: ## what a budget does, in about a minute; needs no Kafka
	$(CARGO) build --release --package gristmill
	target/release/gristmill demo

test: lint guests kafka fuzz ## every test; the first run fetches Apache Kafka, a guest toolchain and schemathesis
	$(CARGO) build --workspace
	$(CARGO) test --workspace --no-fail-fast

soak: guests kafka ## a long run that `test` leaves out: the host is killed at random, again and again
	$(CARGO) build --workspace
	GRISTMILL_LONG=1 $(CARGO) test --package gristmill-tests --test behaviour -- --nocapture killed_at_random

lint: ## format, lints, licences
	$(CARGO) fmt --all --check
	cd plugins && $(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	tests/deny.sh

bench: guests kafka ## the table of figures, beside a bare librdkafka drain; some rows of it: make bench ONLY=b,h
	$(CARGO) build --release --package gristmill
	$(CARGO) bench --package gristmill-tests --bench table -- $(if $(ONLY),--only $(ONLY))

guests: ## the plugins in plugins/, built to target/plugins
	$(GUESTS)

kafka: ## Apache Kafka's jars, fetched to target/kafka
	$(KAFKA)

fuzz: ## schemathesis, which tests the admin API, installed to target/tools
	$(FUZZ)
