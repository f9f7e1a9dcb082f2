# make help lists the targets. Everything of substance is in scripts/.
.PHONY: help setup dev build test lint release soak fuzz bench mutants clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1 ~ \2/p' Makefile | awk -F '~' '{ printf "%-15s %s\n", $$1, $$2 }'

setup: ## find or install every tool (quick when there is nothing to do; the other targets do it, too)
	@scripts/setup

dev: ## build and run the relay on this machine with a stand-in for Nylas, and send a sample mail through it
	@scripts/dev

build: ## build the Worker into build/
	@scripts/build

test: ## lint and run all tests
	@scripts/test

lint: ## formatting, clippy (native and wasm), licences, unused dependencies
	@scripts/test --lint

release: ## the built Worker as an archive for people without Rust, into release/
	@scripts/release

soak: ## the simulator over many messages: make soak MESSAGES=1000000
	@scripts/with-tools cargo run --release -p simulator -- soak $(or $(MESSAGES),1000000)

fuzz: ## what strangers send, in many forms: make fuzz TARGET=redaction EXECUTIONS=1000000 SEED=1, or INPUT=FILE
	@FUZZ_TARGET=$(TARGET) FUZZ_EXECUTIONS=$(EXECUTIONS) FUZZ_SEED=$(SEED) FUZZ_INPUT=$(INPUT) FUZZ_CORPUS=$(CORPUS) \
		scripts/with-tools scripts/fuzz

bench: ## the relay beside handlers in JavaScript, measured: make bench ARGS="--rounds 3" (ARGS=--help: all options)
	@scripts/bench $(ARGS)

mutants: ## whether a test fails for each change of the source: make mutants ARGS="-f src/signature.rs" (hours for all)
	@scripts/mutants $(ARGS)

clean: ## remove what was built here (tools in the cache folder stay)
	rm -rf build target .wrangler node_modules release
