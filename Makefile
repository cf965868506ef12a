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

BPF_CFLAGS := -target bpf -mcpu=v2 -O2 -g -Wall -Wextra -Werror -Wno-unused-function \
	-Iinclude -Ibpf $(addprefix -isystem ,$(ARCH_INCLUDE))
CXXFLAGS ?= -O2 -g
ALL_CXXFLAGS := -std=c++20 -Wall -Wextra -Wshadow -Werror $(CXXFLAGS) \
	-DAX_VERSION='"$(VERSION)"' -Iinclude -Iuser -I$(BUILD)/skel -MMD -MP
LIBS := -lbpf -lxdp -lelf -lz -lfmt -lpcap -lmnl
TEST_LIBS := -lgtest -lgmock -lpthread

# ---- what is built from what: every folder's *.cpp, every bpf/*.bpf.c --------------------------
USER_SRC := $(filter-out user/main.cpp,$(wildcard user/*/*.cpp))
USER_OBJ := $(USER_SRC:%.cpp=$(BUILD)/%.o)
SKELS := $(patsubst bpf/%.bpf.c,$(BUILD)/skel/%.skel.h,$(wildcard bpf/*.bpf.c))
SUPPORT_OBJ := $(patsubst %.cpp,$(BUILD)/%.o,$(wildcard tests/support/*.cpp))
SUPPORT_SKELS := $(patsubst tests/support/%.bpf.c,$(BUILD)/skel/%.skel.h,$(wildcard tests/support/*.bpf.c))
TEST_SUITES := unit prog net
test_obj = $(patsubst %.cpp,$(BUILD)/%.o,$(wildcard tests/$(1)/*_test.cpp))

.PHONY: all
all: $(BUILD)/anycast-xdp

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

$(BUILD)/skel/%.skel.h: $(BUILD)/bpf/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@

$(BUILD)/%.o: %.cpp | $(SKELS) $(SUPPORT_SKELS)
	$(call say,CXX,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CXX) $(ALL_CXXFLAGS) $(if $(filter tests/%,$<),-Itests) -c $< -o $@

define SUITE
$(BUILD)/$(1)_test: $(call test_obj,$(1)) $(SUPPORT_OBJ) $(BUILD)/libanycast.a
	$$(call say,LINK,$$@)
	$$(Q)$$(CXX) $$(LDFLAGS) -o $$@ $$^ $$(LIBS) $$(TEST_LIBS)
endef
$(foreach suite,$(TEST_SUITES),$(eval $(call SUITE,$(suite))))

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.PRECIOUS: $(BUILD)/bpf/%.bpf.o $(BUILD)/skel/%.skel.h $(BUILD)/%.o
