# SPDX-License-Identifier: BSD-2-Clause
#
# The sources, by layer. The Makefile reads this, and so may a firmware's: it
# takes CORE_SOURCES and BARE_SOURCES, adds its own plat_panic() and driver,
# and puts include/ and src/ on the include path. TOWPATH is where the tree
# lies, with a slash at its end; empty when make runs in it.

VERSION := $(shell sed -n 's/.*return "\(.*\)";/\1/p' \
	$(TOWPATH)src/base/version.c)
SOVERSION := 0

# The freestanding core: each layer includes itself and those before it.
CORE_LAYERS := base wire buf net dhcp udp tcp stack

# What needs a hosting system, but for src/plat/bare*.c.
HOSTED_LAYERS := dev plat host

# A subset builds a library without the others: make LAYERS='base wire'.
LAYERS ?= $(CORE_LAYERS) $(HOSTED_LAYERS)

sources_of = $(sort $(wildcard $(addsuffix /*.c,$(addprefix $(TOWPATH)src/,$1))))

CORE_SOURCES := $(call sources_of,$(CORE_LAYERS))
BARE_SOURCES := $(sort $(wildcard $(TOWPATH)src/plat/bare*.c))
LIB_SOURCES := $(filter-out $(BARE_SOURCES),$(call sources_of,$(LAYERS)))

PUBLIC_HEADERS := $(sort $(wildcard $(TOWPATH)include/tow/*.h))
CMD_SOURCES := $(sort $(wildcard $(TOWPATH)cmd/*.c))
EXAMPLE_SOURCES := $(sort $(wildcard $(TOWPATH)examples/*.c))
BENCH_SOURCES := $(sort $(wildcard $(TOWPATH)bench/*.c))

# A file with tests in it is a program; what lies beside it is shared by all.
paren := (
tests_in = $(sort $(shell grep -lsE '^[A-Z_]*TEST[$(paren)]' $(TOWPATH)$1/*.c))
UNIT_SOURCES := $(call tests_in,tests/unit)
SIM_SOURCES := $(call tests_in,tests/sim)
FUZZ_SOURCES := $(sort $(wildcard $(TOWPATH)tests/fuzz/fuzz_*.c))
TEST_HELPERS := $(filter-out $(UNIT_SOURCES) $(SIM_SOURCES) $(FUZZ_SOURCES) \
	$(addprefix $(TOWPATH)tests/,test_main.c fuzz_replay.c), \
	$(sort $(wildcard $(addsuffix /*.c,$(addprefix $(TOWPATH), \
	tests tests/unit tests/sim tests/fuzz)))))
PACKETDRILL_SOURCES := $(sort $(wildcard $(TOWPATH)tests/conformance/pd_*.c))
E2E_SCRIPTS := $(sort $(filter-out %/lib.sh,$(wildcard $(TOWPATH)tests/e2e/*.sh)))
E2E_SOURCES := $(sort $(wildcard $(TOWPATH)tests/e2e/*.c))
MAN_PAGES := $(sort $(wildcard $(TOWPATH)man/*.[1-9]))
