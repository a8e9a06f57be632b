# Everything that a person or a machine runs here. `make help` lists it.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

GO ?= go
# How many packages are compiled and tested at a time. Race-built tests of the
# embedded NATS server take about 2 GB each while they are linked.
P ?= 2
# How long one package's tests may take, and each fuzz target runs.
TIMEOUT ?= 30m
FUZZTIME ?= 30s

TOOL := $(GO) tool -modfile=tools/go.mod
RUN_DATA := .data/run

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## Build bin/carillon, bin/scheduler and bin/worker
	@mkdir -p bin
	$(GO) build -o bin ./cmd/...

.PHONY: run
run: build redis ## Send the sample broadcasts to the sandbox, from nothing to the report
	@rm -rf $(RUN_DATA)
	@CARILLON_DATA=$(RUN_DATA) CARILLON_LISTEN=127.0.0.1:0 ./bin/carillon dev --once

.PHONY: dev
dev: build redis ## The same, staying up, with the data in .carillon
	@./bin/carillon dev

# Redis holds what is hot and nothing else, so any redis-server or
# valkey-server on the PATH will do; Carillon runs it as its own child. RUNLEVEL
# keeps the package from starting a server of the system's own.
.PHONY: redis
redis: ## Make sure that a redis-server or valkey-server is there
	@if command -v redis-server valkey-server >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
		echo "make: no redis-server or valkey-server on the PATH: install one (Debian: apt-get install redis-server; macOS: brew install redis)" >&2; exit 1; \
	fi; \
	echo "make: no redis-server on the PATH: installing Debian's package redis-server" >&2; \
	export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
	{ apt-get update -q && apt-get install -q -y --no-install-recommends redis-server; } >&2 </dev/null

.PHONY: test
test: redis ## Everything that CI holds against the code, but for lint
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	if [ -n "$$unformatted" ]; then echo "make: not formatted, run gofmt -w on: $$unformatted" >&2; exit 1; fi
	$(GO) mod tidy -diff
	$(GO) vet ./...
	@mkdir -p bin
	FAULTS_TABLE=$(CURDIR)/bin/faults.md $(GO) test -race -shuffle=on -p $(P) -timeout $(TIMEOUT) ./...
	@cat bin/faults.md
	@$(MAKE) test-deploy

# Of the end-to-end tests those that break something; make test has them too.
.PHONY: chaos
chaos: redis ## Break everything while it sends, and print what that did; LONG=1 for longer, README=1 writes the table there
	@mkdir -p bin
	$(GO) test -count=1 -v -run '^TestPromises|^TestChaos' ./internal/model $(if $(LONG),-chaos.long)
	$(GO) test -c -o bin/chaos.test ./internal/e2e
	@cd internal/e2e && ../../bin/chaos.test -test.run '^TestChaos' -test.timeout 60m $(if $(LONG),-chaos.long) $(if $(README),-chaos.readme)

# A module of its own. Without the race detector: what runs side by side in its
# tests are the engines, and all of Kubernetes' types would be compiled again.
.PHONY: test-deploy
test-deploy: redis ## The manifests of deploy/k8s, a part of make test
	cd deploy && $(GO) mod tidy -diff
	cd deploy && $(GO) vet ./...
	cd deploy && $(GO) test -shuffle=on -timeout $(TIMEOUT) ./...

# Where images go: into a directory, as an OCI layout, unless KO_DOCKER_REPO
# names a registry. The base comes from one.
IMAGES ?= bin/images

.PHONY: images
images: ## Images of the binaries by ko, without Docker; KO_DOCKER_REPO=REGISTRY/carillon TAG=… pushes them
	@mkdir -p $(IMAGES)
	@if [ -n "$${KO_DOCKER_REPO:-}" ]; then set -- --push=true --tags="$${TAG:?TAG says which version}"; \
	else export KO_DOCKER_REPO=carillon; set -- --push=false --oci-layout-path=$(IMAGES); fi; \
	$(GO) tool -modfile=tools/ko/go.mod ko build --base-import-paths "$$@" $(wildcard ./cmd/*)

.PHONY: test-images
test-images: ## What make images builds, on an empty base; not a part of make test, for ko takes minutes to compile
	cd tools/ko && $(GO) test -timeout $(TIMEOUT) ./...

.PHONY: tidy
tidy: ## go.mod of the program and of what stands on it
	$(GO) mod tidy
	cd deploy && $(GO) mod tidy
	cd tools/ko && $(GO) mod tidy

.PHONY: lint
lint: ## golangci-lint with .golangci.yml
	$(TOOL) golangci-lint run ./...
	cd deploy && $(GO) tool -modfile=../tools/go.mod golangci-lint run --config ../.golangci.yml ./...

.PHONY: vuln
vuln: ## Known vulnerabilities in what is called; asks vuln.go.dev
	$(TOOL) govulncheck ./...

.PHONY: fuzz
fuzz: ## Every fuzz target, FUZZTIME each (30s)
	@grep -rho --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . --with-filename | sort | while IFS=: read -r file func; do \
		dir=$$(dirname "$$file"); target=$${func#func }; \
		echo "$$dir $$target"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$dir" </dev/null; \
	done

.PHONY: bench
bench: redis ## Figures as ratios, taken in one run
	$(GO) run ./internal/bench

.PHONY: generate
generate: ## Write anew what is generated: the sample contacts, docs/reasons.md, rulebook.md, configuration.md, permissions.md, cli.md, states.md, the schema of flows
	$(GO) run ./examples/internal/generate > examples/contacts.csv.new && mv examples/contacts.csv.new examples/contacts.csv
	$(GO) test ./pkg/reason ./pkg/policy ./internal/config ./internal/role ./internal/cli ./internal/arch -run '^(TestDocument|TestStatesAreDrawn)$$' -update
	$(GO) test ./internal/flow/schema -run '^TestSchemaIsCurrent$$' -update
	cd deploy && $(GO) test . -run '^TestRolesAreThoseOfTheTable$$' -update

.PHONY: clean
clean: ## Remove what was built and the data of `make run`
	rm -rf bin $(RUN_DATA)
