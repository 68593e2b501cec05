# The two commands of a newcomer are `make run` and `make test`; `make help` lists the rest.
SHELL := /bin/bash
GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
export CGO_ENABLED = 0
LDFLAGS := -s -w -X main.version=$(VERSION)

.PHONY: help build build-all packages size run docs test test-fast test-all lint fuzz bench golden clean

help: ## list these targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

build: ## bin/provision for this machine
	scripts/build bin/provision '$(LDFLAGS)'

build-all: ## every platform into dist/, and refuse a binary over its ceiling
	scripts/build-all '$(LDFLAGS)'

packages: ## .deb, .rpm, .apk, tarballs, bills of materials and checksums of every platform into dist/packages; PACKAGE is for scripts/package: other folders, fewer targets
	VERSION=$(VERSION) scripts/package $(PACKAGE)

run: build ## detect this machine, then (as root) a safe demonstration in namespaces
	bin/provision --detect
	scripts/demo bin/provision

docs: ## write anew what the pages show of the program: the reference, the keys of JSON, the picture and (as root) the transcript in the README
	$(GO) test ./cmd/provision -run 'Reference|PageOfKeys|TableOfOutputs' -update
	$(GO) run ./scripts/picture docs/data-way.svg
	scripts/transcript

test: ## what CI runs: lint, pure tests, fuzzers, namespaces, one VM, ARMv6; some 20 minutes on two cores
	scripts/test full

test-fast: ## what needs no root, no namespace and no VM
	scripts/test fast

test-all: ## everything: the full matrix, soaks and long crash rigs
	scripts/test all

lint: ## gofmt, vet (three systems), staticcheck, govulncheck where its database answers
	scripts/lint

fuzz: ## every fuzz target for FUZZTIME (default 30s) each
	scripts/fuzz $(FUZZTIME)

bench: build ## benchmarks, and ratios against what people would otherwise run
	scripts/lab/setup bench || true # what is missing then is skipped, by name
	$(GO) test -tags lab ./scripts/lab/e2e -run xxx -bench Peers -benchtime 1x -v
	$(GO) test -tags lab -c -o bin/bench-serve ./scripts/bench/serve && bin/bench-serve -provision bin/provision
	$(GO) test -tags lab -c -o bin/bench-routing ./scripts/bench/routing && bin/bench-routing -provision bin/provision
	$(GO) test -tags lab -p 1 ./scripts/lab/tunnels/selftest ./scripts/lab/tunnels/client -run xxx -bench . -v
	PROVISION_BINARY=$(CURDIR)/bin/provision $(GO) test -tags lab ./scripts/lab/tunnels/people -run xxx -bench . -v
	$(GO) test -tags lab ./scripts/lab/tunnels -run xxx -bench . -benchtime 1x -timeout 20m -v
	$(GO) test -tags lab ./scripts/bench/gadget -run . -count=1 -v -args -provision $(CURDIR)/bin/provision
	$(GO) test -run xxx -bench . ./provision/... ./backends/... ./dnsdhcp/... ./routing/...

golden: ## rewrite the golden files of the planners, to be read with git diff
	$(GO) test $$(git grep -l 'flag.Bool("update"' -- "*_test.go" | xargs -n1 dirname | sort -u | sed "s|^|./|") -update

clean:
	rm -rf bin dist
