# SPDX-License-Identifier: BSD-2-Clause
#
# Towpath's one Makefile: GNU make, run in the top folder. `make help` says
# what it can do. Everything it makes lies in build/<conf>/:
#
#	obj/            objects, in the shape of the tree, with what they include
#	libtow-all.a    the library with its inner names, for tests and the command
#	libtow.a .so    the library as users get it: tow_* and nothing else
#	tow             the command
#	examples/ bench/ unit/ sim/ fuzz/    a program per source
#
# All objects are position independent and have hidden visibility, so that one
# compilation serves both libraries. A change of compiler or flags is noticed
# by the file `flags` and rebuilds.

CONF ?= release
BUILD ?= build/$(CONF)
# One spelling, or the dependencies of one would not count for the other.
override BUILD := $(patsubst $(CURDIR)/%,%,$(BUILD))
PREFIX ?= /usr/local
INCLUDEDIR ?= $(PREFIX)/include
LIBDIR ?= $(PREFIX)/lib
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
ifeq ($(origin CC),default)
CC := $(if $(filter fuzz,$(CONF)),clang,gcc)
endif
AR ?= ar
LD ?= ld
OBJCOPY ?= objcopy

include sources.mk

.SUFFIXES:
.SECONDARY:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

# --- Flags -------------------------------------------------------------------

WERROR ?= -Werror
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wvla -Wpointer-arith $(WERROR)

SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer
# TOW_CHECKS has the stack look at its invariants after each event.
CONF_release := -O2 -g
CONF_debug := -O0 -g3 -DTOW_CHECKS
CONF_asan := -O1 -g -DTOW_CHECKS $(SANITIZE)
CONF_fuzz := -O1 -g -DTOW_CHECKS $(SANITIZE) -fsanitize=fuzzer-no-link
CONF_FLAGS := $(CONF_$(CONF))
ifeq ($(CONF_FLAGS),)
$(error CONF=$(CONF): there are release, debug, asan and fuzz)
endif

BASE_FLAGS = -std=c11 $(WARNINGS) $(CONF_FLAGS) -fPIC -fvisibility=hidden \
	-fno-common -Iinclude $(CFLAGS) $(CPPFLAGS)

# By folder, the most specific one wins. Defined to nothing, as a source that
# says #define _GNU_SOURCE itself does.
AREA_FLAGS = -Isrc -D_GNU_SOURCE=
$(foreach l,$(CORE_LAYERS),$(eval $(BUILD)/obj/src/$l/%.o: AREA_FLAGS = -Isrc))
$(BUILD)/obj/cmd/%.o: AREA_FLAGS = -Isrc -I. -D_GNU_SOURCE=
$(BUILD)/obj/bench/%.o: AREA_FLAGS = -Isrc -Icmd -I. -D_GNU_SOURCE= \
	$(BENCH_CFLAGS)
$(BUILD)/obj/examples/%.o: AREA_FLAGS = -D_GNU_SOURCE=
TEST_FLAGS := -Isrc -Icmd -Itests -Itests/unit -I. -D_GNU_SOURCE=
$(BUILD)/obj/tests/%.o: AREA_FLAGS = $(TEST_FLAGS)
$(BUILD)/obj/tests/fuzz/%.o: AREA_FLAGS = $(TEST_FLAGS) -Wno-missing-prototypes

LIBS := -luring -lcrypto -lpthread
CMD_LIBS := -lhttp_parser -lcrypt -lm $(LIBS)
LINK = $(CC) $(CONF_FLAGS) $(CFLAGS) $(LDFLAGS) -Wl,--as-needed

# --- Sayings -----------------------------------------------------------------

ifeq ($(V),1)
say = @:
Q :=
else ifneq ($(findstring s,$(firstword -$(MAKEFLAGS))),)
say = @:
Q := @
else
say = @printf '  %-5s %s\n' $1 $2
Q := @
endif

# --- Objects -----------------------------------------------------------------

objects_of = $(patsubst %.c,$(BUILD)/obj/%.o,$1)
LIB_OBJECTS := $(call objects_of,$(LIB_SOURCES))
CMD_OBJECTS := $(call objects_of,$(CMD_SOURCES))

# A broken test must not keep others from building theirs, so each source is a
# program of its own.
programs_of = $(patsubst $1/%.c,$(BUILD)/$2/%,$3)
UNIT := $(call programs_of,tests/unit,unit,$(UNIT_SOURCES))
SIM := $(call programs_of,tests/sim,sim,$(SIM_SOURCES))
FUZZ := $(call programs_of,tests/fuzz,fuzz,$(FUZZ_SOURCES))
EXAMPLES := $(call programs_of,examples,examples,$(EXAMPLE_SOURCES))
E2E := $(call programs_of,tests/e2e,e2e,$(E2E_SOURCES))
BENCH := $(call programs_of,bench,bench,$(BENCH_SOURCES))
COMMAND := $(if $(CMD_SOURCES),$(BUILD)/tow)
LIBRARIES := $(if $(LIB_SOURCES),$(BUILD)/libtow.a $(BUILD)/libtow.so)

flags_now = $(CC) $(BASE_FLAGS) $(LDFLAGS)
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(flags_now)' | cmp -s - $@ || echo '$(flags_now)' >$@

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE_FLAGS) $(AREA_FLAGS) -MMD -MP -c -o $@ $<

-include $(shell test -d $(BUILD)/obj && find $(BUILD)/obj -name '*.d')

# --- Libraries ---------------------------------------------------------------

# Thin: refers to the objects where they are. Written anew each time, so that
# a source that went away does not linger in it.
$(BUILD)/libtow-all.a: $(LIB_OBJECTS)
	@rm -f $@
	$(Q)$(AR) rcsT $@ $(LIB_OBJECTS)

$(BUILD)/libcmd.a: $(CMD_OBJECTS)
	@rm -f $@
	$(Q)$(AR) rcsT $@ $(CMD_OBJECTS)

$(BUILD)/libtest.a: $(call objects_of,$(TEST_HELPERS))
	@rm -f $@
	$(Q)$(AR) rcsT $@ $^

$(BUILD)/libtow.o: $(LIB_OBJECTS)
	$(Q)$(LD) -r -o $@ $(LIB_OBJECTS)
	$(Q)$(OBJCOPY) --localize-hidden $@

$(BUILD)/libtow.a: $(BUILD)/libtow.o
	$(call say,AR,$@)
	@rm -f $@
	$(Q)$(AR) rcs $@ $<

SONAME := libtow.so.$(SOVERSION)
$(BUILD)/libtow.so: $(LIB_OBJECTS) src/libtow.map
	$(call say,LD,$@)
	$(Q)$(LINK) -shared -Wl,-soname,$(SONAME) \
		-Wl,--version-script=src/libtow.map -o $@ $(LIB_OBJECTS) $(LIBS)
	@ln -sf libtow.so $(BUILD)/$(SONAME)

# --- Programs ----------------------------------------------------------------

$(BUILD)/tow: $(CMD_OBJECTS) $(BUILD)/libtow-all.a
	$(call say,LD,$@)
	$(Q)$(LINK) -o $@ $(CMD_OBJECTS) $(BUILD)/libtow-all.a $(CMD_LIBS)

# Examples see what users see: the public headers and the library as shipped.
$(BUILD)/examples/%: $(BUILD)/obj/examples/%.o $(BUILD)/libtow.a
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ $(LIBS)

# Tests see everything, the command's parts too.
INNER := $(if $(CMD_SOURCES),$(BUILD)/libcmd.a) $(BUILD)/libtow-all.a
TEST_INNER := $(if $(TEST_HELPERS),$(BUILD)/libtest.a) $(INNER)
TEST_MAIN := $(BUILD)/obj/tests/test_main.o

define link_test
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ $(CMD_LIBS)
endef

# The stack under packetdrill: see tests/conformance/pd.h.
PACKETDRILL := $(BUILD)/tow-packetdrill.so
$(PACKETDRILL): $(call objects_of,$(PACKETDRILL_SOURCES)) $(BUILD)/libtow-all.a
	$(call say,LD,$@)
	$(Q)$(LINK) -shared -o $@ $^ -ldl $(LIBS)

$(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.o $(TEST_MAIN) $(TEST_INNER)
	$(link_test)
$(BUILD)/unit/test_packetdrill: | $(PACKETDRILL)
$(BUILD)/sim/%: $(BUILD)/obj/tests/sim/%.o $(TEST_MAIN) $(TEST_INNER)
	$(link_test)

# Ends of connections for the scripts, of what is public only.
$(BUILD)/e2e/%: $(BUILD)/obj/tests/e2e/%.o $(BUILD)/libtow-all.a
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ $(LIBS)

# Under CONF=fuzz libFuzzer brings its main; else one replays the corpus.
ifeq ($(CONF),fuzz)
$(BUILD)/fuzz/%: LDFLAGS += -fsanitize=fuzzer
$(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(TEST_INNER)
	$(link_test)
else
$(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o \
		$(BUILD)/obj/tests/fuzz_replay.o $(TEST_INNER)
	$(link_test)
endif

# A benchmark of a peer needs the peer's library.
BENCH_LIBS ?=
$(BUILD)/bench/%: $(BUILD)/obj/bench/%.o $(INNER)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ $(BENCH_LIBS) $(BENCH_LIBS_$*) $(CMD_LIBS)

-include bench/bench.mk

# --- Goals -------------------------------------------------------------------

.PHONY: all lib tests examples bench fuzz packetdrill interop-vm check check-unit check-sim \
	check-fuzz check-examples check-e2e check-static freestanding format \
	install clean help FORCE

all: lib $(COMMAND)
lib: $(LIBRARIES)
tests: $(UNIT) $(SIM) $(FUZZ) $(EXAMPLES) $(PACKETDRILL) $(E2E)
examples: $(EXAMPLES)

# T=word picks the programs whose name has the word in it; ONLY=word picks the
# tests by theirs.
pick = $(if $(T),$(foreach p,$1,$(if $(findstring $(T),$(notdir $p)),$p)),$1)
run_tests = BUILD=$(BUILD) CONF=$(CONF) scripts/run-tests
check: all tests
	$(Q)$(run_tests) $(UNIT) $(SIM) $(FUZZ) $(EXAMPLES)
check-unit: $(call pick,$(UNIT))
	$(Q)$(run_tests) $^ $(if $(ONLY),-- $(ONLY))
check-sim: $(call pick,$(SIM))
	$(Q)$(run_tests) $^ $(if $(ONLY),-- $(ONLY))
check-fuzz: $(call pick,$(FUZZ))
	$(Q)$(run_tests) $^
check-examples: $(call pick,$(EXAMPLES))
	$(Q)$(run_tests) $^
# ./demo builds a release: it is shown with that, not with sanitizers.
E2E_WANTED := $(filter-out $(if $(filter asan,$(CONF)),%/demo.sh),$(E2E_SCRIPTS))
check-e2e: all $(E2E)
	$(Q)$(run_tests) $(call pick,$(E2E_WANTED)) $(if $(ONLY),-- $(ONLY))

check-static: lib
	$(Q)scripts/check-layers
	$(Q)scripts/check-copies
	$(Q)scripts/check-style
	$(Q)scripts/check-man
	$(Q)scripts/check-docs
	$(Q)scripts/check-rfc
	$(Q)scripts/check-symbols $(BUILD)/libtow.a $(BUILD)/libtow.so

freestanding:
	$(Q)scripts/check-freestanding build/freestanding '$(CC)'

format:
	clang-format-14 -i $$(git ls-files '*.c' '*.h')

# Runs every target, or those that T names, for FUZZ_S seconds each. What they
# find to be new stays in build/fuzz/, and so does an input that crashes.
FUZZ_S ?= 60
ifeq ($(CONF),fuzz)
fuzz: $(call pick,$(FUZZ))
	$(Q)scripts/run-fuzz $(BUILD) $(FUZZ_S) $^
else
fuzz:
	$(Q)$(MAKE) --no-print-directory CONF=fuzz CC=clang BUILD=build/fuzz \
		FUZZ_S='$(FUZZ_S)' T='$(T)' fuzz
endif

packetdrill: $(PACKETDRILL)

# By hand only: it takes a kernel's source and its build.
interop-vm: $(BUILD)/e2e/interop_end
	$(Q)tests/interop-vm/run --end $< $(if $(KERNEL),--kernel '$(KERNEL)') \
		$(if $(KERNEL_SOURCE),--kernel-source '$(KERNEL_SOURCE)') \
		$(if $(ONLY),--only '$(ONLY)')

bench: all $(BENCH)
	@echo 'built in $(BUILD)/bench; now: bench/run NAME'

install: all
	$(Q)scripts/install $(BUILD) '$(DESTDIR)' $(PREFIX) $(LIBDIR) \
		$(INCLUDEDIR) $(BINDIR) $(MANDIR) $(VERSION) $(SOVERSION)

clean:
	rm -rf build

help:
	@sed -n 's/^#: \{0,1\}//p' Makefile

#: make                    build/release/: libtow.a, libtow.so, tow
#: make CONF=debug|asan    the same in build/debug/, build/asan/
#: make CC=clang           with another compiler; BUILD=DIR for another folder
#: make V=1                show the commands; WERROR= lets warnings pass
#:
#: make check              unit and sim tests, fuzz corpus, examples
#: make check-unit T=tcp   unit tests in files with tcp in their name;
#:                         ONLY=reset picks the tests by name
#: make check-sim check-fuzz check-examples check-e2e     the others alone
#: make check-static       layers, copies, format, man pages, documents,
#:                         requirements, symbols
#: make format             put all sources into the project's format
#: make freestanding       the core without a C library, for x86-64 and Arm
#: make fuzz FUZZ_S=600    libFuzzer on each target, T= picks (needs clang)
#: make bench              what bench/run needs
#: make examples           the examples
#: make packetdrill        build/<conf>/tow-packetdrill.so: docs/conformance.md
#: make interop-vm KERNEL_SOURCE=DIR    connections with another Linux, which is
#:                         built for it: docs/conformance.md; no part of ./check
#:
#: make install DESTDIR= PREFIX=/usr/local
#: make clean
#:
#: ./check runs everything, ./demo shows it.
