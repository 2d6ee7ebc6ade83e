/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Steering frames to queues by a BPF program; see tap_steer.h.
 *
 * Theory of operation: the kernel asks the program, for each frame that it
 * sends into the tap, which queue it is for. The program writes the frame's
 * addresses, ports and protocol into a key and looks it up in a hash map; the
 * value is the queue. Keys are whole, so a queue is its flow's alone: there is
 * no collision as in the hash of a NIC. Fragments, frames with a VLAN tag and
 * whatever is cut short are not looked up; they go to queue 0.
 *
 * The program is so short that it is written in instructions, and loaded by
 * bpf(2) itself. That takes CAP_BPF, or CAP_SYS_ADMIN: root, and not the root
 * of a user namespace.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <tow/error.h>
#include "dev/tap_steer.h"

_Static_assert(sizeof(struct tap_flow) == 40, "the program knows the layout");

static int call_bpf(int what, union bpf_attr *attr, size_t bytes)
{
	return (int)syscall(SYS_bpf, what, attr, bytes);
}

/* ---- the program ---- */

/*
 * Instructions, by what they do. The key is on the stack, below the frame
 * pointer R10; R6 is the frame, as LD_ABS wants it; R7 is where the ports are.
 * LD_ABS ends the program with 0 when the frame is too short.
 */
#define KEY	 (-40)
#define PORTS	 (-8)
#define PROTOCOL (-4)
#define VERSION	 (-3)
/* clang-format off */
#define R(n)		BPF_REG_##n
#define MOVE(d, s)	{ BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0 }
#define SET(d, n)	{ BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, n }
#define MATH(op, d, n)	{ BPF_ALU64 | op | BPF_K, d, 0, 0, n }
#define LOAD(d, s, at)	{ BPF_LDX | BPF_MEM | BPF_W, d, s, at, 0 }
#define FRAME(size, at) { BPF_LD | BPF_ABS | size, 0, 0, 0, at }
#define STORE(size, at, n) { BPF_ST | BPF_MEM | size, R(10), 0, at, n }
#define STORE_BYTE(at, s)  { BPF_STX | BPF_MEM | BPF_B, R(10), s, at, 0 }
#define MAP(d, fd)	{ BPF_LD | BPF_IMM | BPF_DW, d, BPF_PSEUDO_MAP_FD, 0, fd }
#define NONE		{ 0, 0, 0, 0, 0 } /* the second half of MAP */
#define CALL(f)		{ BPF_JMP | BPF_CALL, 0, 0, 0, f }
#define EXIT		{ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 }
#define IF(op, d, n, here, to) \
			{ BPF_JMP | op | BPF_K, d, 0, (to) - (here) - 1, n }
#define GOTO(here, to)	{ BPF_JMP | BPF_JA, 0, 0, (to) - (here) - 1, 0 }

enum { VERSION6 = 24, LOOK_UP = 31, OTHER = 51, PROGRAM_LENGTH = 53 };

static int load_program(int map)
{
	const struct bpf_insn program[PROGRAM_LENGTH] = {
		[0] = MOVE(R(6), R(1)),
		/* a VLAN tag that the kernel keeps beside the frame */
		[1] = LOAD(R(0), R(6),
			   offsetof(struct __sk_buff, vlan_present)),
		[2] = IF(BPF_JNE, R(0), 0, 2, OTHER),
		/* an empty key */
		[3] = STORE(BPF_DW, KEY, 0),
		[4] = STORE(BPF_DW, KEY + 8, 0),
		[5] = STORE(BPF_DW, KEY + 16, 0),
		[6] = STORE(BPF_DW, KEY + 24, 0),
		[7] = STORE(BPF_DW, KEY + 32, 0),
		/* the EtherType */
		[8] = FRAME(BPF_H, 12),
		[9] = IF(BPF_JEQ, R(0), 0x86dd, 9, VERSION6),
		[10] = IF(BPF_JNE, R(0), 0x0800, 10, OTHER),
		/* IPv4: more fragments, or a fragment offset? */
		[11] = FRAME(BPF_H, 14 + 6),
		[12] = IF(BPF_JSET, R(0), 0x3fff, 12, OTHER),
		[13] = FRAME(BPF_B, 14 + 9),
		[14] = STORE_BYTE(PROTOCOL, R(0)),
		[15] = STORE(BPF_B, VERSION, 4),
		/* the ports are behind a header of so many words */
		[16] = FRAME(BPF_B, 14),
		[17] = MOVE(R(7), R(0)),
		[18] = MATH(BPF_AND, R(7), 15),
		[19] = MATH(BPF_LSH, R(7), 2),
		[20] = MATH(BPF_ADD, R(7), 14),
		/* both addresses */
		[21] = SET(R(2), 14 + 12),
		[22] = SET(R(4), 8),
		[23] = GOTO(23, LOOK_UP),
		/* IPv6, without extension headers: those are no ports */
		[VERSION6] = FRAME(BPF_B, 14 + 6),
		[25] = STORE_BYTE(PROTOCOL, R(0)),
		[26] = STORE(BPF_B, VERSION, 6),
		[27] = SET(R(7), 14 + 40),
		[28] = SET(R(2), 14 + 8),
		[29] = SET(R(4), 32),
		[30] = GOTO(30, LOOK_UP),
		/* skb_load_bytes(frame, R2, key, R4) */
		[LOOK_UP] = MOVE(R(1), R(6)),
		[32] = MOVE(R(3), R(10)),
		[33] = MATH(BPF_ADD, R(3), KEY),
		[34] = CALL(BPF_FUNC_skb_load_bytes),
		[35] = IF(BPF_JNE, R(0), 0, 35, OTHER),
		/* skb_load_bytes(frame, R7, ports, 4) */
		[36] = MOVE(R(1), R(6)),
		[37] = MOVE(R(2), R(7)),
		[38] = MOVE(R(3), R(10)),
		[39] = MATH(BPF_ADD, R(3), PORTS),
		[40] = SET(R(4), 4),
		[41] = CALL(BPF_FUNC_skb_load_bytes),
		[42] = IF(BPF_JNE, R(0), 0, 42, OTHER),
		/* the queue, if the flow has one */
		[43] = MAP(R(1), map),
		[44] = NONE,
		[45] = MOVE(R(2), R(10)),
		[46] = MATH(BPF_ADD, R(2), KEY),
		[47] = CALL(BPF_FUNC_map_lookup_elem),
		[48] = IF(BPF_JEQ, R(0), 0, 48, OTHER),
		[49] = LOAD(R(0), R(0), 0),
		[50] = EXIT,
		[OTHER] = SET(R(0), 0),
		[52] = EXIT,
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
		.insns = (uint64_t)(uintptr_t)program,
		.insn_cnt = PROGRAM_LENGTH,
		.license = (uint64_t)(uintptr_t) "BSD",
	};

	return call_bpf(BPF_PROG_LOAD, &attr, sizeof(attr));
}
/* clang-format on */

static int make_map(unsigned flows_max)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_HASH,
		.key_size = sizeof(struct tap_flow),
		.value_size = sizeof(uint32_t),
		.max_entries = flows_max,
	};

	return call_bpf(BPF_MAP_CREATE, &attr, sizeof(attr));
}

int tap_steer_open(struct tap_steer *steer, unsigned flows_max)
{
	int error;

	steer->program = -1;
	steer->map = make_map(flows_max);
	if (steer->map < 0)
		return -errno;
	steer->program = load_program(steer->map);
	if (steer->program >= 0)
		return 0;
	error = -errno;
	tap_steer_close(steer);
	return error;
}

void tap_steer_close(struct tap_steer *steer)
{
	if (steer->program >= 0)
		close(steer->program);
	if (steer->map >= 0)
		close(steer->map);
	steer->map = steer->program = -1;
}

int tap_steer_attach(const struct tap_steer *steer, int tap)
{
	int program = steer->program;

	return ioctl(tap, TUNSETSTEERINGEBPF, &program) < 0 ? -errno : 0;
}

void tap_steer_detach(int tap)
{
	int none = -1;

	(void)ioctl(tap, TUNSETSTEERINGEBPF, &none);
}

/* ---- the map ---- */

int tap_steer_add(const struct tap_steer *steer, const struct tap_flow *flow,
		  uint32_t queue)
{
	union bpf_attr attr = {
		.map_fd = (uint32_t)steer->map,
		.key = (uint64_t)(uintptr_t)flow,
		.value = (uint64_t)(uintptr_t)&queue,
		.flags = BPF_ANY,
	};

	return call_bpf(BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr)) < 0 ? -errno
								      : 0;
}

void tap_steer_remove(const struct tap_steer *steer,
		      const struct tap_flow *flow)
{
	union bpf_attr attr = {
		.map_fd = (uint32_t)steer->map,
		.key = (uint64_t)(uintptr_t)flow,
	};

	(void)call_bpf(BPF_MAP_DELETE_ELEM, &attr, sizeof(attr));
}

/* ---- who else has a queue ---- */

/* An attribute inside of others, or NULL. */
static const struct rtattr *find_attribute(const struct rtattr *at, int bytes,
					   unsigned type)
{
	for (; RTA_OK(at, bytes); at = RTA_NEXT(at, bytes))
		if ((at->rta_type & NLA_TYPE_MASK) == type)
			return at;
	return NULL;
}

static unsigned number_in(const struct rtattr *inside, unsigned type)
{
	const struct rtattr *at = find_attribute(
		RTA_DATA(inside), (int)RTA_PAYLOAD(inside), type);
	uint32_t number = 0;

	if (at && RTA_PAYLOAD(at) == sizeof(number))
		memcpy(&number, RTA_DATA(at), sizeof(number));
	return number;
}

static unsigned count_queues(const struct nlmsghdr *answer, int bytes)
{
	const struct ifinfomsg *info = NLMSG_DATA(answer);
	const struct rtattr *at;

	if (!NLMSG_OK(answer, (uint32_t)bytes) ||
	    answer->nlmsg_type != RTM_NEWLINK)
		return 0;
	at = find_attribute(IFLA_RTA(info), (int)IFLA_PAYLOAD(answer),
			    IFLA_LINKINFO);
	if (at)
		at = find_attribute(RTA_DATA(at), (int)RTA_PAYLOAD(at),
				    IFLA_INFO_DATA);
	return at ? number_in(at, IFLA_TUN_NUM_QUEUES) +
			       number_in(at, IFLA_TUN_NUM_DISABLED_QUEUES)
		  : 0;
}

unsigned tap_steer_queues(const char *name)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
	} ask = {
		.header = { .nlmsg_len = sizeof(ask),
			    .nlmsg_type = RTM_GETLINK,
			    .nlmsg_flags = NLM_F_REQUEST },
		.info = { .ifi_index = (int)if_nametoindex(name) },
	};
	union {
		struct nlmsghdr header;
		uint8_t bytes[8192];
	} answer;
	int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	ssize_t got = -1;

	if (sock < 0)
		return 0;
	if (send(sock, &ask, sizeof(ask), 0) == (ssize_t)sizeof(ask))
		got = recv(sock, &answer, sizeof(answer), 0);
	close(sock);
	return got > 0 ? count_queues(&answer.header, (int)got) : 0;
}
