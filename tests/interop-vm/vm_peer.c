/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The only program of the machine that tests/interop-vm/run starts: the end of
 * a connection on the sockets of that machine's kernel. What interop_peer.py is
 * beside it, in C, because there is nothing else on that machine.
 *
 *	vm_peer [options] listen PEER PORT      sends back what comes
 *	vm_peer [options] connect PEER PORT     sends /file; what comes is /got;
 *	                                        begins when there is a file /go
 *
 *	--sysctl NAME=VALUE     NAME as below /proc/sys
 *	--mtu BYTES  --vlan ID
 *	--key ALGORITHM,SEND,RECV,SECRET        as of interop_end; the first of
 *	                        two is the one that a connection begins with
 *	--next                  asks for the second key on the way
 *	--strangers             before, connections without a key and with a
 *	                        wrong one must not be answered
 *	--fast-open  --times N
 *
 * It is process 1 and has no console: what it says is in the file /said, in a
 * folder of the host's that is its root. For each connection that is what
 * TCP_INFO and TCP_AO_INFO know at its end, in the words of interop_end. Then
 * it waits until somebody ends the machine.
 *
 * Structures and numbers are those of linux/tcp.h of Linux 7.2, spelled out
 * because the host's header is older.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/if_vlan.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#define OWN4	     "192.0.2.1"
#define OWN4_MASK    "255.255.255.0"
#define OWN6	     "2001:db8::1"
#define OWN6_PREFIX  64
#define BYTES_MAX    (16 << 20)
#define SYSCTLS_MAX  8
#define KEYS_MAX     2
#define NEXT_AT	     (1 << 20) /* bytes received */
#define STRANGERS_S  2
#define FIRST_BYTES  1000 /* on the SYN */
#define CLOSED_MS    2000
#define TCP_IS_CLOSE 7 /* enum of net/tcp_states.h */

/* --- What linux/tcp.h has ------------------------------------------------- */

enum { AO_ADD_KEY = 38, AO_INFO = 40 };

#define AO_MAC_BYTES 12 /* RFC 5926 2.2 */

struct ao_add { /* struct tcp_ao_add */
	struct sockaddr_storage addr;
	char alg_name[64];
	int32_t ifindex;
	uint32_t set_current : 1, set_rnext : 1, reserved : 30;
	uint16_t reserved2;
	uint8_t prefix, sndid, rcvid, maclen, keyflags, keylen;
	uint8_t key[80];
} __attribute__((aligned(8)));

struct ao_info { /* struct tcp_ao_info_opt */
	uint32_t set_current : 1, set_rnext : 1, ao_required : 1,
		set_counters : 1, accept_icmps : 1, reserved : 27;
	uint16_t reserved2;
	uint8_t current_key, rnext;
	uint64_t pkt_good, pkt_bad, pkt_key_not_found, pkt_ao_required,
		pkt_dropped_icmp;
} __attribute__((aligned(8)));

/* struct tcp_info, where in it what is */
#define INFO_BYTES   280
#define INFO_STATE   0
#define INFO_OPTIONS 5
#define INFO_ECN     276 /* its lowest two bits: tcpi_ecn_mode */
#define ECN_MODE     3
#define ECN_ACCURATE 2

static const struct {
	const char *name;
	int at;
} info_fields[] = {
	{ "mss", 16 }, /* tcpi_snd_mss */
	{ "pmtu", 60 },	      { "retransmits", 100 },
	{ "marks_out", 196 }, { "marks_in", 248 }, /* tcpi_received_ce */
	{ "e0_out", 256 },    { "ce_out", 260 },
	{ "e0_in", 268 },     { "ce_in", 272 },
};

/* --- The machine ---------------------------------------------------------- */

struct options {
	const char *sysctls[SYSCTLS_MAX];
	const char *keys[KEYS_MAX];
	int sysctl_count, key_count;
	int mtu, vlan, times;
	bool next, strangers, fast_open;
};

static uint8_t out[BYTES_MAX], in[BYTES_MAX];

/* Process 1 must not end. */
static void __attribute__((noreturn, format(printf, 1, 2)))
die(const char *format, ...)
{
	int error = errno;
	va_list values;

	va_start(values, format);
	printf("failed: ");
	vprintf(format, values);
	printf(": %s\n", strerror(error));
	va_end(values);
	for (;;)
		pause();
}

static void must(int result, const char *what)
{
	if (result < 0)
		die("%s", what);
}

static void write_text(const char *folder, const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	if (!file || fputs(text, file) < 0 || fclose(file) != 0)
		die("%s", path);
}

static void set_sysctl(const char *setting)
{
	char *name = strdup(setting), *value = strchr(name, '=');

	if (!value)
		die("--sysctl %s", setting);
	*value++ = '\0';
	write_text("/proc/sys", name, value);
	free(name);
}

/* About an interface: the ioctl of netdevice(7). */
static void set_interface(int number, const char *name, struct ifreq *request)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	snprintf(request->ifr_name, IFNAMSIZ, "%s", name);
	if (ioctl(fd, (unsigned long)number, request) < 0)
		die("ioctl %#x of %s", (unsigned)number, name);
	close(fd);
}

static void set_addr4(int number, const char *name, const char *text)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	struct ifreq request = { 0 };

	inet_pton(AF_INET, text, &addr.sin_addr);
	memcpy(&request.ifr_addr, &addr, sizeof(addr));
	set_interface(number, name, &request);
}

static void set_addr6(const char *name)
{
	struct { /* struct in6_ifreq of linux/ipv6.h */
		struct in6_addr addr;
		uint32_t prefix_bits;
		int index;
	} request = { .prefix_bits = OWN6_PREFIX,
		      .index = (int)if_nametoindex(name) };
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	inet_pton(AF_INET6, OWN6, &request.addr);
	must(ioctl(fd, SIOCSIFADDR, &request), OWN6);
	close(fd);
}

/* While it is tentative nobody can have it, and clients would have another. */
static void await_addr6(void)
{
	struct sockaddr_in6 own = { .sin6_family = AF_INET6 };
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	inet_pton(AF_INET6, OWN6, &own.sin6_addr);
	while (bind(fd, (struct sockaddr *)&own, sizeof(own)) < 0)
		usleep(1000);
	close(fd);
}

/* Without duplicate address detection, so that addresses are there soon. */
static void bring_up(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_UP };
	char folder[64];

	snprintf(folder, sizeof(folder), "/proc/sys/net/ipv6/conf/%s", name);
	write_text(folder, "accept_dad", "0");
	set_interface(SIOCSIFFLAGS, name, &request);
}

static void add_vlan(const char *name, int id)
{
	struct vlan_ioctl_args request = { .cmd = ADD_VLAN_CMD, .u.VID = id };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	snprintf(request.device1, sizeof(request.device1), "%s", name);
	must(ioctl(fd, SIOCSIFVLAN, &request), "vlan");
	close(fd);
}

static void set_up(const struct options *options)
{
	struct ifreq request = { .ifr_mtu = options->mtu };
	char name[IFNAMSIZ] = "vec0";

	must(mount("proc", "/proc", "proc", 0, NULL), "/proc");
	for (int i = 0; i < options->sysctl_count; i++)
		set_sysctl(options->sysctls[i]);
	if (options->mtu)
		set_interface(SIOCSIFMTU, name, &request);
	bring_up(name);
	if (options->vlan) {
		add_vlan(name, options->vlan);
		snprintf(name, sizeof(name), "vec0.%d", options->vlan);
		bring_up(name);
	}
	set_addr4(SIOCSIFADDR, name, OWN4);
	set_addr4(SIOCSIFNETMASK, name, OWN4_MASK);
	set_addr6(name);
	await_addr6();
}

/* --- Sockets -------------------------------------------------------------- */

static struct sockaddr_storage to_addr(const char *text, int port)
{
	struct sockaddr_storage storage = { 0 };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;

	storage.ss_family = strchr(text, ':') ? AF_INET6 : AF_INET;
	v4->sin_port = htons((uint16_t)port); /* in the same place */
	if (inet_pton(storage.ss_family, text,
		      storage.ss_family == AF_INET6 ? (void *)&v6->sin6_addr
						    : &v4->sin_addr) != 1)
		die("%s", text);
	return storage;
}

static socklen_t addr_bytes(const struct sockaddr_storage *addr)
{
	return addr->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
					   : sizeof(struct sockaddr_in);
}

struct key {
	char algorithm[16], secret[64];
	unsigned send, recv;
};

static struct key parse_key(const char *text)
{
	struct key key;

	if (sscanf(text, "%15[^,],%u,%u,%63s", key.algorithm, &key.send,
		   &key.recv, key.secret) != 4)
		die("--key %s", text);
	return key;
}

static void add_md5_key(int fd, const struct sockaddr_storage *peer,
			const struct key *key)
{
	struct tcp_md5sig sign = { .tcpm_keylen =
					   (uint16_t)strlen(key->secret) };

	memcpy(&sign.tcpm_addr, peer, sizeof(*peer));
	memcpy(sign.tcpm_key, key->secret, sign.tcpm_keylen);
	must(setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &sign, sizeof(sign)),
	     "TCP_MD5SIG");
}

/* @first: who opens begins with it (a listener with what its peer asks for). */
static void add_ao_key(int fd, const struct sockaddr_storage *peer,
		       const struct key *key, bool first)
{
	struct ao_add add = { .set_current = first,
			      .set_rnext = first,
			      .prefix = peer->ss_family == AF_INET6 ? 128 : 32,
			      .sndid = (uint8_t)key->send,
			      .rcvid = (uint8_t)key->recv,
			      .maclen = AO_MAC_BYTES,
			      .keylen = (uint8_t)strlen(key->secret) };

	strcpy(add.alg_name, strcmp(key->algorithm, "aes-cmac")
				     ? "hmac(sha1)"
				     : "cmac(aes128)");
	memcpy(&add.addr, peer, sizeof(*peer));
	((struct sockaddr_in *)&add.addr)->sin_port = 0;
	memcpy(add.key, key->secret, add.keylen);
	must(setsockopt(fd, IPPROTO_TCP, AO_ADD_KEY, &add, sizeof(add)),
	     "TCP_AO_ADD_KEY");
}

static void add_keys(int fd, const struct sockaddr_storage *peer,
		     const struct options *options, bool opens)
{
	for (int i = 0; i < options->key_count; i++) {
		struct key key = parse_key(options->keys[i]);

		if (strcmp(key.algorithm, "md5") == 0)
			add_md5_key(fd, peer, &key);
		else
			add_ao_key(fd, peer, &key, opens && i == 0);
	}
}

/* RFC 5925 6.1: the peer is asked to sign with the second key. */
static void ask_for_next(int fd, const struct options *options)
{
	struct key key = parse_key(options->keys[1]);
	struct ao_info info = { .set_rnext = 1, .rnext = (uint8_t)key.recv };

	must(setsockopt(fd, IPPROTO_TCP, AO_INFO, &info, sizeof(info)),
	     "TCP_AO_INFO");
}

/* --- A connection --------------------------------------------------------- */

/* Of one connection; a server sends what is in @in. */
struct end {
	int fd;
	const uint8_t *data;
	size_t bytes, sent, received;
	bool is_server, peer_is_done, said_all, asked;
};

/* A server knows only now and then how much there is to send. */
static size_t to_send(const struct end *e)
{
	return e->is_server ? e->received : e->bytes;
}

static void receive(struct end *e)
{
	ssize_t n = recv(e->fd, in + e->received, BYTES_MAX - e->received,
			 MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	must((int)n, "recv");
	e->received += (size_t)n;
	e->peer_is_done = n == 0;
}

static void send_more(struct end *e)
{
	ssize_t n = send(e->fd, e->data + e->sent, to_send(e) - e->sent,
			 MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno == EAGAIN)
		return;
	must((int)n, "send");
	e->sent += (size_t)n;
}

/*
 * There and back. Our FIN goes last, so that the connection ends in CLOSED and
 * not in TIME-WAIT, of which the kernel has nothing to tell.
 */
static void exchange(struct end *e, const struct options *options)
{
	while (!e->peer_is_done || e->sent < to_send(e)) {
		struct pollfd wait = { .fd = e->fd };

		wait.events |= e->peer_is_done ? 0 : POLLIN;
		wait.events |= e->sent < to_send(e) ? POLLOUT : 0;
		must(poll(&wait, 1, -1), "poll");
		if (wait.revents & (POLLIN | POLLERR | POLLHUP))
			receive(e);
		if (wait.revents & POLLOUT)
			send_more(e);
		if (options->next && !e->asked && e->received >= NEXT_AT) {
			ask_for_next(e->fd, options);
			e->asked = true;
		}
	}
	must(shutdown(e->fd, SHUT_WR), "shutdown");
}

/*
 * Until our FIN is acknowledged, and no longer than a moment: if that ACK was
 * lost, nobody may be left to send it again. All else has been heard by then.
 */
static void await_closed(int fd, uint8_t info[INFO_BYTES])
{
	socklen_t bytes = INFO_BYTES;

	for (int ms = 0; ms < CLOSED_MS; ms++) {
		must(getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &bytes),
		     "TCP_INFO");
		if (info[INFO_STATE] == TCP_IS_CLOSE)
			return;
		usleep(1000);
	}
}

static uint32_t word_at(const uint8_t *info, int at)
{
	uint32_t word;

	memcpy(&word, info + at, sizeof(word));
	return word;
}

static void print_info(int fd)
{
	uint8_t info[INFO_BYTES] = { 0 };
	struct ao_info ao = { 0 };
	socklen_t bytes = sizeof(ao);

	await_closed(fd, info);
	printf("fast_open=%d ecn=%d accurate=%d",
	       !!(info[INFO_OPTIONS] & TCPI_OPT_SYN_DATA),
	       !!(info[INFO_OPTIONS] & TCPI_OPT_ECN),
	       (word_at(info, INFO_ECN) & ECN_MODE) == ECN_ACCURATE);
	for (size_t i = 0; i < sizeof(info_fields) / sizeof(*info_fields); i++)
		printf(" %s=%u", info_fields[i].name,
		       word_at(info, info_fields[i].at));
	if (getsockopt(fd, IPPROTO_TCP, AO_INFO, &ao, &bytes) == 0)
		printf(" current=%u next=%u auth_good=%llu auth_bad=%llu"
		       " auth_key=%llu auth_missing=%llu",
		       ao.current_key, ao.rnext,
		       (unsigned long long)ao.pkt_good,
		       (unsigned long long)ao.pkt_bad,
		       (unsigned long long)ao.pkt_key_not_found,
		       (unsigned long long)ao.pkt_ao_required);
	printf("\n");
}

static int new_socket(const struct sockaddr_storage *peer)
{
	int fd = socket(peer->ss_family, SOCK_STREAM, 0);

	must(fd, "socket");
	return fd;
}

static void serve(const struct sockaddr_storage *peer,
		  const struct options *options)
{
	struct sockaddr_storage any = { .ss_family = peer->ss_family };
	int fd = new_socket(peer), backlog = 16;

	((struct sockaddr_in *)&any)->sin_port =
		((const struct sockaddr_in *)peer)->sin_port;
	add_keys(fd, peer, options, false);
	if (options->fast_open)
		must(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &backlog,
				sizeof(backlog)),
		     "TCP_FASTOPEN");
	must(bind(fd, (struct sockaddr *)&any, addr_bytes(&any)), "bind");
	must(listen(fd, backlog), "listen");
	puts("ready");
	for (int i = 0; i < options->times; i++) {
		struct end e = { .is_server = true, .data = in };

		e.fd = accept(fd, NULL, NULL);
		must(e.fd, "accept");
		exchange(&e, options);
		print_info(e.fd);
		close(e.fd);
	}
}

static size_t read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	size_t bytes;

	if (!file)
		die("%s", path);
	bytes = fread(out, 1, BYTES_MAX, file);
	fclose(file);
	return bytes;
}

static void write_file(const char *path, size_t bytes)
{
	FILE *file = fopen(path, "w");

	if (!file || fwrite(in, 1, bytes, file) != bytes || fclose(file) != 0)
		die("%s", path);
}

static void call(const struct sockaddr_storage *peer,
		 const struct options *options)
{
	const struct sockaddr *to = (const struct sockaddr *)peer;
	struct end e = { .data = out, .bytes = read_file("/file") };
	ssize_t n = 0;

	e.fd = new_socket(peer);
	add_keys(e.fd, peer, options, true);
	if (options->fast_open)
		n = sendto(e.fd, out, FIRST_BYTES, MSG_FASTOPEN, to,
			   addr_bytes(peer));
	else
		n = connect(e.fd, to, addr_bytes(peer));
	must((int)n, "connect");
	e.sent = (size_t)n;
	exchange(&e, options);
	print_info(e.fd);
	close(e.fd);
	write_file("/got", e.received);
}

/* Nobody is to hear anything, not even a reset. */
static void call_unheard(const struct sockaddr_storage *peer,
			 const struct options *keys)
{
	struct timeval limit = { .tv_sec = STRANGERS_S };
	int fd = new_socket(peer);

	add_keys(fd, peer, keys, true);
	must(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)),
	     "SO_SNDTIMEO");
	if (connect(fd, (const struct sockaddr *)peer, addr_bytes(peer)) == 0)
		errno = 0;
	if (errno != EINPROGRESS)
		die("a stranger was answered");
	close(fd);
}

static void call_as_strangers(const struct sockaddr_storage *peer,
			      const struct options *options)
{
	struct options theirs = { 0 };
	struct key key = parse_key(options->keys[0]);
	char wrong[128];

	call_unheard(peer, &theirs);
	snprintf(wrong, sizeof(wrong), "%s,%u,%u,%s", key.algorithm, key.send,
		 key.recv, "not-what-it-is-..");
	theirs.keys[theirs.key_count++] = wrong;
	call_unheard(peer, &theirs);
}

static void connect_all(const struct sockaddr_storage *peer,
			const struct options *options)
{
	while (access("/go", F_OK) != 0)
		usleep(1000);
	if (options->strangers)
		call_as_strangers(peer, options);
	for (int i = 0; i < options->times; i++)
		call(peer, options);
}

/* --- What is asked for ---------------------------------------------------- */

static void take(struct options *options, int option)
{
	if (option == 's' && options->sysctl_count < SYSCTLS_MAX)
		options->sysctls[options->sysctl_count++] = optarg;
	else if (option == 'k' && options->key_count < KEYS_MAX)
		options->keys[options->key_count++] = optarg;
	else if (option == 'm')
		options->mtu = atoi(optarg);
	else if (option == 'v')
		options->vlan = atoi(optarg);
	else if (option == 't')
		options->times = atoi(optarg);
	else if (option == 'n')
		options->next = true;
	else if (option == 'u')
		options->strangers = true;
	else if (option == 'f')
		options->fast_open = true;
	else
		die("options");
}

static void speak_into(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);

	for (int i = 0; i < 3; i++)
		dup2(fd, i);
	setvbuf(stdout, NULL, _IOLBF, 0);
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
		{ "sysctl", required_argument, NULL, 's' },
		{ "key", required_argument, NULL, 'k' },
		{ "mtu", required_argument, NULL, 'm' },
		{ "vlan", required_argument, NULL, 'v' },
		{ "times", required_argument, NULL, 't' },
		{ "next", no_argument, NULL, 'n' },
		{ "strangers", no_argument, NULL, 'u' },
		{ "fast-open", no_argument, NULL, 'f' },
		{ NULL, 0, NULL, 0 },
	};
	struct options options = { .times = 1 };
	struct sockaddr_storage peer;
	int option;

	speak_into("/said");
	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1)
		take(&options, option);
	if (argc - optind != 3)
		die("what to do");
	set_up(&options);
	peer = to_addr(argv[optind + 1], atoi(argv[optind + 2]));
	if (strcmp(argv[optind], "connect") == 0)
		connect_all(&peer, &options);
	else
		serve(&peer, &options);
	puts("done");
	for (;;)
		pause();
}
