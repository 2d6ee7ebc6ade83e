# SPDX-License-Identifier: BSD-2-Clause
#
# Beside the programs of bench/*.c: what they share, and the peers, which link
# nothing of Towpath. Read by the Makefile.

BENCH_COMMON := $(call objects_of,$(sort $(wildcard bench/common/*.c)))
PEER_SOURCES := $(sort $(wildcard bench/peers/*.c))
PEERS := $(call programs_of,bench/peers,bench/peers,$(PEER_SOURCES))
BENCH_CFLAGS += -Ibench/common -Ibench/tow
$(BUILD)/obj/bench/peers/lwip_tx.o: AREA_FLAGS += \
	-isystem /usr/include/lwip
PEER_LIBS_lwip_tx := -llwip

BENCH_STACK := $(call objects_of,$(sort $(wildcard bench/tow/*.c)))

# The benches of the stack; those of peers have no use for it.
$(BENCH): $(BENCH_COMMON) $(BENCH_STACK)

# What they share comes after the library on the linker's line; so once more.
BENCH_LIBS += $(BUILD)/libtow-all.a

$(PEERS): $(BUILD)/bench/peers/%: $(BUILD)/obj/bench/peers/%.o $(BENCH_COMMON)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ $(PEER_LIBS_$*) $(LIBS)

.PHONY: bench-peers
bench-peers: $(PEERS)
bench: $(PEERS)
