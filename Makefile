# anycast-xdp. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
.DELETE_ON_ERROR:
.SUFFIXES:

BUILD ?= build
CLANG ?= clang
CXX ?= g++
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
V ?= 0
Q := $(if $(filter 1,$(V)),,@)
say = @printf '  %-5s %s\n' $(1) $(2)

VERSION := $(shell cat include/anycast_xdp/VERSION 2>/dev/null)
ARCH_INCLUDE := $(firstword $(wildcard /usr/include/$(shell uname -m)-linux-gnu))

# v3: arithmetic and jumps of 32 bits, 5.1 and newer.
BPF_CFLAGS := -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Werror -Wno-unused-function \
	-Iinclude -Ibpf $(addprefix -isystem ,$(ARCH_INCLUDE))
# Lines and names for backtraces; -g makes the compiler a third slower.
CXXFLAGS ?= -O2 -g1
# -Wno-restrict: g++ 12 sees overlaps in std::string's own operator+ (its bug 105651).
ALL_CXXFLAGS := -std=c++20 -Wall -Wextra -Wshadow -Werror -Wno-restrict $(CXXFLAGS) \
	-DAX_VERSION='"$(VERSION)"' -Iinclude -Iuser -I$(BUILD)/skel -MMD -MP
LIBS := -lbpf -lxdp -lelf -lz -lfmt -lpcap -lmnl -lcurl
TEST_LIBS := -lgtest -lgmock -lpthread

# Tests are compiled more often than they run for long.
TEST_CXXFLAGS ?= -O1 -g1

# ---- what is built from what: every folder's *.cpp, every bpf/*.bpf.c --------------------------
USER_SRC := $(filter-out user/main.cpp,$(wildcard user/*/*.cpp))
USER_OBJ := $(USER_SRC:%.cpp=$(BUILD)/%.o)
SKELS := $(patsubst bpf/%.bpf.c,$(BUILD)/skel/%.skel.h,$(wildcard bpf/*.bpf.c))
SUPPORT_OBJ := $(patsubst %.cpp,$(BUILD)/%.o,$(wildcard tests/support/*.cpp))
SUPPORT_SKELS := $(patsubst tests/support/%.bpf.c,$(BUILD)/skel/%.skel.h,$(wildcard tests/support/*.bpf.c))
TEST_SUITES := unit prog net
test_obj = $(patsubst %.cpp,$(BUILD)/%.o,$(wildcard tests/$(1)/*_test.cpp))

.PHONY: all build
all: $(BUILD)/anycast-xdp ## the binary
build: all

$(BUILD)/anycast-xdp: $(BUILD)/user/main.o $(BUILD)/libanycast.a
	$(call say,LINK,$@)
	$(Q)$(CXX) $(LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/libanycast.a: $(USER_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c
	$(call say,BPF,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -MF $(@:.o=.d) -MT $@ -c $< -o $@

$(BUILD)/bpf/%.bpf.o: tests/support/%.bpf.c
	$(call say,BPF,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -MF $(@:.o=.d) -MT $@ -c $< -o $@

# Verifiers before 5.7 know little of 32-bit values.
$(BUILD)/bpf/anycast_legacy%bpf.o: BPF_CFLAGS := $(subst -mcpu=v3,-mcpu=v2,$(BPF_CFLAGS))

$(BUILD)/skel/%.skel.h: $(BUILD)/bpf/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@

$(BUILD)/%.o: %.cpp | $(SKELS) $(SUPPORT_SKELS)
	$(call say,CXX,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CXX) $(ALL_CXXFLAGS) $(if $(filter tests/%,$<),$(TEST_CXXFLAGS) -Itests) -c $< -o $@

# A suite is its *_test.cpp and the test support; the demo is a program of its own.
define SUITE
$(BUILD)/$(1)_test: $(call test_obj,$(1)) $(BUILD)/tests/support/gtest_main.o $(BUILD)/libsupport.a \
		$(BUILD)/libanycast.a
	$$(call say,LINK,$$@)
	$$(Q)$$(CXX) $$(LDFLAGS) -o $$@ $$^ $$(LIBS) $$(TEST_LIBS)
endef
$(foreach suite,$(TEST_SUITES),$(eval $(call SUITE,$(suite))))
$(BUILD)/unit_test: $(patsubst %,$(BUILD)/tests/bench/%.o,contest machine memory report report_docs statistics wrapped)

$(BUILD)/libsupport.a: $(filter-out %/gtest_main.o,$(SUPPORT_OBJ))
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/demo: $(BUILD)/tests/net/demo.o $(BUILD)/libsupport.a $(BUILD)/libanycast.a
	$(call say,LINK,$@)
	$(Q)$(CXX) $(LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/loss_table: $(BUILD)/tests/net/loss_table.o $(BUILD)/libsupport.a $(BUILD)/libanycast.a
	$(call say,LINK,$@)
	$(Q)$(CXX) $(LDFLAGS) -o $@ $^ $(LIBS)

BENCH_SKELS := $(patsubst tests/bench/%.bpf.c,$(BUILD)/skel/%.skel.h,$(wildcard tests/bench/*.bpf.c))
$(BUILD)/bpf/%.bpf.o: tests/bench/%.bpf.c
	$(call say,BPF,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -Itests -MMD -MP -MF $(@:.o=.d) -MT $@ -c $< -o $@

# For the processor that Katran's Makefile-bpf builds for: llc's default.
$(BUILD)/bpf/katran_proxy.bpf.o: BPF_CFLAGS := $(subst -mcpu=v3,-mcpu=v1,$(BPF_CFLAGS))

BENCH_OBJ := $(patsubst %.cpp,$(BUILD)/%.o,$(wildcard tests/bench/*.cpp))
$(BENCH_OBJ): | $(BENCH_SKELS)
$(BUILD)/bench: $(BENCH_OBJ) $(BUILD)/libsupport.a $(BUILD)/libanycast.a
	$(call say,LINK,$@)
	$(Q)$(CXX) $(LDFLAGS) -o $@ $^ $(LIBS)

# ---- what people call ---------------------------------------------------------------------------
JOBS ?= $(shell nproc)
# Steps that need root are elevated where the caller is not.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
PACKAGES := $(shell sed 's/\#.*//' tools/packages)
# All of them, and none removed but for its configuration files, which satisfies `dpkg -s`.
installed = [ $$(dpkg-query -W -f '$${db:Status-Status}\n' $1 2>/dev/null | grep -cx installed) = $(words $1) ]

.PHONY: deps
deps: ## install Debian's packages that building and testing need (idempotent)
	$(Q)$(call installed,$(PACKAGES)) || { $(SUDO) apt-get update -qq && \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(PACKAGES) >/dev/null; }

MATRIX_PACKAGES := $(shell sed 's/\#.*//' tools/packages-matrix)
.PHONY: deps-matrix
deps-matrix: # what only the kernel matrix needs
	$(Q)$(call installed,$(MATRIX_PACKAGES)) || { $(SUDO) apt-get update -qq && \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(MATRIX_PACKAGES) >/dev/null; }

.PHONY: demo
demo: deps ## two edges, three backends, real BGP and TCP in namespaces: the main job, shown
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) $(BUILD)/anycast-xdp $(BUILD)/demo
	$(Q)$(SUDO) $(BUILD)/demo

# ---- other builds of the command, for the upgrade tests (tests/net/releases.h) -----------------
# The release before this one: what the newest tag before HEAD holds. Before the first there is a
# stand-in: this tree, calling itself by another version.
PREVIOUS_TAG := $(shell git describe --tags --abbrev=0 --match 'v*' HEAD^ 2>/dev/null)
OTHER_BUILDS := $(BUILD)/previous/anycast-xdp $(BUILD)/other-abi/anycast-xdp
# Of this tree: all sources that name what differs, compiled anew; the others' objects.
define OTHER_BUILD
$(1)_OBJ := $(patsubst %.cpp,$(BUILD)/$(1)/%.o,$(shell grep -lE '$(2)' user/*/*.cpp))
$$($(1)_OBJ): $(BUILD)/$(1)/%.o: %.cpp | $$(SKELS)
	$$(call say,CXX,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CXX) $(3) $$(filter-out -DAX_VERSION=%,$$(ALL_CXXFLAGS)) -c $$< -o $$@
$(BUILD)/$(1)/anycast-xdp: $(BUILD)/user/main.o $$($(1)_OBJ) $(BUILD)/libanycast.a
	$$(call say,LINK,$$@)
	$$(Q)$$(CXX) $$(LDFLAGS) -o $$@ $$^ $$(LIBS)
endef
# A define too, since ccache does not see that a header was found elsewhere.
$(eval $(call OTHER_BUILD,other-abi,AX_ABI_VERSION,-I$(BUILD)/other-abi/include -DAX_ABI_OTHER=99 -DAX_VERSION='"$(VERSION)"'))
$(other-abi_OBJ): $(BUILD)/other-abi/include/anycast_xdp/pins.h
# All headers, as they include each other.
$(BUILD)/other-abi/include/anycast_xdp/pins.h: $(wildcard include/anycast_xdp/*)
	$(Q)mkdir -p $(@D) && cp $^ $(@D)/
	$(Q)sed -i 's/\(define AX_ABI_VERSION\) .*/\1 99/' $@
ifeq ($(PREVIOUS_TAG),)
$(eval $(call OTHER_BUILD,previous,AX_VERSION,-DAX_VERSION='"0.0.0-stand-in"'))
else
$(BUILD)/previous/anycast-xdp: $(BUILD)/previous/$(PREVIOUS_TAG)/build/anycast-xdp
	$(Q)cp $< $@
$(BUILD)/previous/$(PREVIOUS_TAG)/build/anycast-xdp:
	$(call say,MAKE,$@)
	$(Q)mkdir -p $(BUILD)/previous/$(PREVIOUS_TAG)
	$(Q)git archive $(PREVIOUS_TAG) | tar x -C $(BUILD)/previous/$(PREVIOUS_TAG)
	$(Q)$(MAKE) --no-print-directory -C $(BUILD)/previous/$(PREVIOUS_TAG) BUILD=build all
endif

CHECK_PROGRAMS = all $(OTHER_BUILDS) $(TEST_SUITES:%=$(BUILD)/%_test)
VM_PROGRAMS = all $(OTHER_BUILDS) $(BUILD)/prog_test $(BUILD)/net_test $(BUILD)/vm_loads \
	$(MATRIX_OBJECTS) $(BUILD)/bench
.PHONY: programs
programs: deps deps-matrix # what check and test-vm run, so that both can run at once
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) $(sort $(CHECK_PROGRAMS) $(VM_PROGRAMS))

.PHONY: check
check: deps ## build everything and run all tests; the last line counts them
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) $(CHECK_PROGRAMS)
	$(Q)tools/run-suites $(TEST_SUITES:%=$(BUILD)/%_test)

.PHONY: test test-root
test: $(BUILD)/unit_test ## unit tests: no root, no kernel
	$(Q)$(BUILD)/unit_test
test-root: all $(OTHER_BUILDS) $(BUILD)/prog_test $(BUILD)/net_test ## the program under BPF_PROG_TEST_RUN, and namespaces
	$(Q)tools/run-suites $(BUILD)/prog_test $(BUILD)/net_test

.PHONY: test-loss
test-loss: deps ## loss figures beside the truth, row by row, at most 15 minutes; writes docs/loss.md (root)
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) all $(BUILD)/loss_table
	$(Q)$(SUDO) timeout 900 $(BUILD)/loss_table docs/loss.md

.PHONY: test-steering
test-steering: all $(BUILD)/net_test ## the fleet's long proof: 400 sessions, everything at once, ROUNDS=5 times
	$(Q)$(SUDO) env AX_SESSIONS=400 AX_ROUNDS=$(or $(ROUNDS),5) AX_SEED=$(or $(SEED),1) \
		$(BUILD)/net_test --gtest_filter='Proof.*'

BIG_ENDIAN_PACKAGES := g++-s390x-linux-gnu qemu-user-static
.PHONY: test-big-endian
test-big-endian: deps ## tables and digests where bytes go the other way round: s390x, emulated
	$(Q)$(call installed,$(BIG_ENDIAN_PACKAGES)) || { $(SUDO) apt-get update -qq && \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(BIG_ENDIAN_PACKAGES) >/dev/null; }
	$(Q)tools/big-endian

.PHONY: test-vm
test-vm: deps deps-matrix ## the same suites on other kernels under QEMU; KERNELS="5.10 6.1", ci or all
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) $(VM_PROGRAMS)
	$(Q)status=0 harness=; \
	$(if $(SUITES),,tests/vm/selftest/check --quick >$(BUILD)/vm-selftest.log 2>&1 & harness=$$!;) \
	tests/vm/run --kernels "$(or $(KERNELS),ci)" $(MATRIX_OBJECTS:%=--with %) $(OTHER_BUILDS:%=--with %) --with $(BUILD)/bench $(VM_CORPUS:%=--with %) $(VM_OPTIONS) -- \
		$(or $(SUITES),$(BUILD)/prog_test $(BUILD)/net_test --gtest_filter=$(VM_NET)) \
		$(if $(SUITES),,tests/vm/legacy --suite=$(BUILD)/prog_test tests/vm/upgrades --suite=$(BUILD)/net_test \
			tests/vm/bench --bench=$(BUILD)/bench) \
		$(BUILD)/vm_loads $(MATRIX_OBJECTS:%=--object=%) || status=1; \
	[ -z "$$harness" ] || wait $$harness || { cat $(BUILD)/vm-selftest.log; status=1; }; \
	[ -z "$$harness" ] || echo "the harness itself: $$(tail -n 1 $(BUILD)/vm-selftest.log)"; \
	tests/vm/verified || status=1; exit $$status

.PHONY: bench-instructions
bench-instructions: deps deps-matrix ## instructions a packet, in a guest that counts them: no noise
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) $(BUILD)/bench
	$(Q)tests/vm/run --kernels 6.18 --accel count --with $(BUILD)/bench \
		$(foreach object,$(OBJECTS),--with $(object)) -- \
		tests/vm/instructions --bench=$(BUILD)/bench $(OBJECTS:%=--object=%)
	$(Q)sed -n 's/\r//; s/^instructions: //p' $(BUILD)/vm/6.18/suites.log

.PHONY: test-boot
test-boot: deps deps-matrix ## an installed Debian 12 under QEMU: power cut, reboot, units that fail (root)
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) $(BUILD)/anycast-xdp
	$(Q)$(SUDO) env AX_BOOT_CACHE=$(HOME)/.cache/anycast-xdp/boot tests/boot/run $(BUILD)

# The program by every compiler that builds it, for the kernel matrix.
COMPILERS := 14 16 19
# Of the namespace suite, what differs between kernels.
VM_NET := Attach.IsNative*:Attach.AgainReplaces*:Attach.Works*:AttachRefuses.Foreign*:AttachRefuses.*Abi:Dispatcher.*:Neighbours.*:Kernel*:Releases.*:Egress.*:ResetFlows.Makes*:ResetFlows.*Others*
VM_OPTIONS ?= --time-limit 2100
# The captures of the corpus, where they are.
VM_CORPUS := $(wildcard ../shared/corpus)
MATRIX_OBJECTS := $(COMPILERS:%=$(BUILD)/bpf/anycast.clang-%.bpf.o) \
	$(COMPILERS:%=$(BUILD)/bpf/anycast_legacy.clang-%.bpf.o) \
	$(COMPILERS:%=$(BUILD)/bpf/egress.clang-%.bpf.o)
define BY_COMPILER
$(BUILD)/bpf/$(1).clang-%.bpf.o: bpf/$(1).bpf.c
	$$(call say,BPF,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)clang-$$* $$(BPF_CFLAGS) -MMD -MP -MF $$(@:.o=.d) -MT $$@ -c $$< -o $$@
endef
$(foreach object,anycast anycast_legacy egress,$(eval $(call BY_COMPILER,$(object))))

$(BUILD)/vm_loads: tests/vm/loads.cpp
	$(call say,CXX,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CXX) $(ALL_CXXFLAGS) -MF $@.d -MT $@ $< -o $@ $(LDFLAGS) -lbpf -lelf -lz

$(BUILD)/reasons_doc: $(BUILD)/tools/reasons_doc.o $(BUILD)/libanycast.a
	$(call say,LINK,$@)
	$(Q)$(CXX) $(LDFLAGS) -o $@ $^ -lfmt

.PHONY: docs
docs: $(BUILD)/reasons_doc ## regenerate docs/reasons.md and docs/malformed.md from the reason table
	$(Q)$(BUILD)/reasons_doc reasons > docs/reasons.md
	$(Q)$(BUILD)/reasons_doc malformed > docs/malformed.md

.PHONY: bench
bench: all $(BUILD)/bench ## ns per packet beside a floor and a model of Katran, in interleaved rounds (root)
	$(Q)$(SUDO) $(BUILD)/bench $(BENCH)

.PHONY: install
install: $(BUILD)/anycast-xdp ## binary, systemd's units, the agent's user, completion, docs below $(DESTDIR)
	install -D -m 0755 $(BUILD)/anycast-xdp $(DESTDIR)/usr/sbin/anycast-xdp
	install -D -m 0644 -t $(DESTDIR)/usr/lib/systemd/system tools/packaging/*.service
	install -D -m 0644 tools/packaging/anycast-xdp.sysusers $(DESTDIR)/usr/lib/sysusers.d/anycast-xdp.conf
	install -D -m 0644 tools/packaging/anycast-xdp.bash-completion $(DESTDIR)/usr/share/bash-completion/completions/anycast-xdp
	install -D -m 0644 -t $(DESTDIR)/usr/share/doc/anycast-xdp docs/*.md README.md CHANGELOG.md LICENSE

# Neither configuration nor what runs: detach first.
.PHONY: uninstall
uninstall: ## what install put there
	rm -f $(DESTDIR)/usr/sbin/anycast-xdp \
		$(patsubst tools/packaging/%,$(DESTDIR)/usr/lib/systemd/system/%,$(wildcard tools/packaging/*.service)) \
		$(DESTDIR)/usr/lib/sysusers.d/anycast-xdp.conf \
		$(DESTDIR)/usr/share/bash-completion/completions/anycast-xdp
	rm -rf $(DESTDIR)/usr/share/doc/anycast-xdp

SOURCES = $(shell git ls-files '*.h' '*.c' '*.cpp')
.PHONY: format lint
format: ## clang-format, in place
	$(Q)clang-format -i $(SOURCES)
lint: all $(BUILD)/reasons_doc ## formatting, shellcheck, include directions; TIDY=1: clang-tidy too
	$(Q)tools/lint $(BUILD)

# A unit is looked at again when its object is: after the first time, only what has changed.
TIDY_OK := $(patsubst %.cpp,$(BUILD)/tidy/%.ok,$(USER_SRC) user/main.cpp)
.PHONY: tidy
tidy: $(TIDY_OK) ## clang-tidy over user/, resumable
$(BUILD)/tidy/%.ok: %.cpp $(BUILD)/%.o .clang-tidy
	$(call say,TIDY,$<)
	$(Q)mkdir -p $(@D)
	$(Q)clang-tidy --quiet $< -- -std=c++20 -DAX_VERSION='"$(VERSION)"' -Iinclude -Iuser \
		-isystem $(BUILD)/skel 2> >(grep -v ' warnings generated' >&2)
	$(Q)touch $@

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BUILD)

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

-include $(shell find $(BUILD) -type f -name '*.d' 2>/dev/null)
.PRECIOUS: $(BUILD)/bpf/%.bpf.o $(BUILD)/skel/%.skel.h $(BUILD)/%.o
