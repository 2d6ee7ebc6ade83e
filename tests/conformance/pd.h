/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PD_H
#define PD_H

/*
 * tow-packetdrill.so: the stack under packetdrill, in virtual time.
 *
 *	packetdrill                      tow-packetdrill.so
 *	  script ---- system calls --->  pd_socket.c pd_io.c pd_option.c ...
 *	         <--- packets --------   pd_device.c, a device without a link
 *	         ---- packets -------->     |
 *	         <--- the clock -------  pd_world.c --- tow_poll()
 *
 * No tun, no root, no waiting: the clock is a number that moves when the
 * script sleeps or waits for a packet. Sockets are thin: what Linux calls an
 * option or an error is said in the words of tow/tcp.h, and nothing in the
 * stack knows that it is being tested.
 *
 * One mutex covers everything. Calls that block run in packetdrill's second
 * thread and really sleep; see pd_block().
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <tow/stack.h>
#include <tow/tcp.h>
#include <tow/udp.h>
#include "base/base.h"
#include "conformance/pd_abi.h"

enum sock_kind {
	SOCK_KIND_TCP,
	SOCK_KIND_UDP,
	SOCK_KIND_EPOLL,
	SOCK_KIND_PIPE, /* a real one; splice() is what needs to know */
};

/* An option that was set; kept until there is a connection to set it on. */
struct setting {
	enum tow_tcp_option option;
	int64_t value;
};
#define SETTINGS_MAX 24

/* epoll_ctl()'s interest in one descriptor. */
struct interest {
	struct interest *next;
	int fd;
	uint32_t seen; /* edge-triggered: what was reported already */
	unsigned edge; /* and when: the socket's count of news */
	struct epoll_event event;
};

struct sock {
	struct sock *next;
	int fd;
	int family;
	enum sock_kind kind;
	bool nonblock;

	struct tow_tcp *tcp;
	struct tow_listener *listener;
	struct tow_tcp *waiting; /* accepted from it, not by the script yet */
	struct tow_udp *udp;
	struct tow_endpoint local;
	bool bound;
	struct setting settings[SETTINGS_MAX];
	int setting_count;

	bool fast_connect;	/* TCP_FASTOPEN_CONNECT */
	bool no_cookie;		/* TCP_FASTOPEN_NO_COOKIE */
	bool deferred;		/* connected so, and the SYN waits for data */
	bool fast_open_set;	/* TCP_FASTOPEN, of a listener: */
	int fast_open, backlog; /* so many */
	uint8_t fast_open_keys[2][16]; /* this one, and the one before */
	int fast_open_key_count;

	bool connecting; /* until CONNECTED or CLOSED */
	bool connected;	 /* once; says nothing about now */
	bool over;	 /* CLOSED came */
	bool shut_read, shut_write;
	bool reuse_address, keepalive, zerocopy, tell_unread;
	bool linger_on;
	int linger_s, keepalive_s;
	int error;	/* errno of SO_ERROR and the next call; 0: none */
	int buffers[2]; /* SO_SNDBUF, SO_RCVBUF as set; 0: never */
	uint64_t recv_timeout_us;
	unsigned news; /* counts what may make it ready */

	uint8_t *peeked; /* by MSG_PEEK: read already, but not by the script */
	size_t peeked_bytes;

	uint32_t lent, lent_done; /* MSG_ZEROCOPY: calls, and those reported */
	struct lent *lents;

	unsigned stamping;   /* SO_TIMESTAMPING's flags */
	uint64_t stamp_base; /* bytes are numbered from here on */
	struct stamped *stamps;

	struct interest *interests;
};

/* A copy of what the script sent by MSG_ZEROCOPY, until its token is back. */
struct lent {
	struct lent *next;
	uint32_t number;
	bool done;
	size_t bytes;
	uint8_t data[];
};

/* The last byte of a call, until all its times were told. */
struct stamped {
	struct stamped *next;
	uint32_t number;
	bool done;
	uint64_t us[3]; /* SCHED, SND, ACK; 0: it did not happen */
	unsigned told;	/* of them */
};

/* A packet that left the stack. */
struct pd_packet {
	struct pd_packet *next;
	uint64_t at_us;
	unsigned epoch; /* of the call that brought it about */
	size_t bytes;
	uint8_t data[];
};

/* What the script's options say of the network; defaults are packetdrill's. */
struct pd_setup {
	char local[80], gateway[64];
	bool v6;
	bool ask_ecn;	/* by each connect() */
	bool fast_open; /* by each listener */
	unsigned mtu;
};

/* net.ipv4.tcp_fastopen, as in Linux */
enum pd_fast_open {
	FAST_OPEN_CLIENT = 1,
	FAST_OPEN_SERVER = 2,
	FAST_OPEN_CLIENT_NO_COOKIE = 4,
	FAST_OPEN_SERVER_NO_COOKIE = 0x200,
	FAST_OPEN_ALL_LISTENERS = 0x400, /* also without TCP_FASTOPEN */
};

struct world {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* something happened: try again */
	pthread_cond_t settled; /* who was woken has looked at the clock */
	pthread_t script_thread;
	unsigned blocked; /* calls that sleep */
	unsigned woken;	  /* of them, those that must look at the clock */
	uint64_t wake_us; /* the earliest time-out among them */

	uint64_t now_us;
	struct tow_stack *stack;
	void *memory;
	struct pd_device *device;
	struct sock *socks;
	unsigned fast_open; /* enum pd_fast_open */
	enum tow_tcp_ecn ecn;

	/*
	 * Counts the packets that the script injects and those it waits for.
	 * What follows the last of them nobody looks at; anything older that is
	 * unread was not expected.
	 */
	unsigned epoch;
	bool reset_last; /* the last packet in was a RST: the final cleaning */
};

extern struct world pd_world;

/* pd_setup.c */
void pd_setup_read(struct pd_setup *out, const char *flags);
void pd_preload(void);

/* pd_device.c */
struct tow_dev *pd_device_open(struct pd_device **out, unsigned mtu);
bool pd_device_inject(struct pd_device *d, const void *packet, size_t bytes);
struct pd_packet *pd_device_take(struct pd_device *d);
const struct pd_packet *pd_device_peek(const struct pd_device *d);

/* pd_world.c */
void pd_open(struct world *w, const struct pd_setup *setup);
int pd_close(struct world *w);
void pd_run(struct world *w);
void pd_advance(struct world *w, uint64_t to_us);
bool pd_block(struct world *w, uint64_t until_us);
void pd_enter(struct world *w);
void pd_leave(struct world *w);
_Noreturn void pd_die(const char *what, ...)
	__attribute__((format(printf, 1, 2)));

/* pd_socket.c */
struct sock *sock_find(struct world *w, int fd);
struct sock *sock_new(struct world *w, enum sock_kind kind, int family);
void sock_free(struct world *w, struct sock *s);
void sock_event(struct world *w, const struct tow_event *event);
int sock_error(int error);
int sock_take_error(struct sock *s);
void sock_name(const struct tow_endpoint *from, int family,
	       struct sockaddr *out, socklen_t *bytes);
bool sock_endpoint(const struct sockaddr *addr, socklen_t bytes,
		   struct tow_endpoint *out);
int sock_open_udp(struct world *w, struct sock *s);
int sock_connect_to(struct world *w, struct sock *s,
		    const struct tow_endpoint *to);

/* pd_io.c */
ssize_t io_write(struct sock *s, const uint8_t *data, size_t bytes, int flags);
ssize_t io_transmit_tcp(struct world *w, struct sock *s, const uint8_t *data,
			size_t bytes, int flags);

/* pd_fast_open.c */
void fast_open_listen(struct world *w, struct sock *s);
void fast_open_tell_keys(struct sock *s);
int fast_open_connect(struct world *w, struct sock *s,
		      const struct tow_endpoint *to);
ssize_t fast_open_send(struct world *w, struct sock *s, const uint8_t *data,
		       size_t bytes, int flags, const struct tow_endpoint *to);
int fast_open_set_key(struct sock *s, const void *value, socklen_t bytes);

/* pd_system.c */
void pd_settings_apply(struct world *w, const char *text);

/* pd_ready.c */
uint32_t ready_now(struct world *w, struct sock *s);
void interest_forget(struct world *w, int fd);

/* pd_stamp.c */
int stamp_set(struct sock *s, unsigned flags);
void stamp_written(struct sock *s, bool again);
void stamp_event(const struct sock *s, const struct tow_event *event);
bool stamp_waits(const struct sock *s);
ssize_t stamp_receive(struct sock *s, struct msghdr *msg);
void stamp_forget(struct sock *s);

/* pd_option.c */
int option_remember(struct sock *s, enum tow_tcp_option option, int64_t value);
void option_apply(struct sock *s);
int option_get(struct world *w, struct sock *s, int level, int option,
	       void *value, socklen_t *bytes);

/* The calls themselves, by file. */
int pd_socket(void *u, int domain, int type, int protocol);
int pd_bind(void *u, int fd, const struct sockaddr *addr, socklen_t bytes);
int pd_listen(void *u, int fd, int backlog);
int pd_accept(void *u, int fd, struct sockaddr *addr, socklen_t *bytes);
int pd_connect(void *u, int fd, const struct sockaddr *addr, socklen_t bytes);
int pd_shutdown(void *u, int fd, int how);
int pd_close_fd(void *u, int fd);

ssize_t pd_read(void *u, int fd, void *out, size_t bytes);
ssize_t pd_readv(void *u, int fd, const struct iovec *iov, int count);
ssize_t pd_recv(void *u, int fd, void *out, size_t bytes, int flags);
ssize_t pd_recvfrom(void *u, int fd, void *out, size_t bytes, int flags,
		    struct sockaddr *from, socklen_t *from_bytes);
ssize_t pd_recvmsg(void *u, int fd, struct msghdr *msg, int flags);
ssize_t pd_write(void *u, int fd, const void *data, size_t bytes);
ssize_t pd_writev(void *u, int fd, const struct iovec *iov, int count);
ssize_t pd_send(void *u, int fd, const void *data, size_t bytes, int flags);
ssize_t pd_sendto(void *u, int fd, const void *data, size_t bytes, int flags,
		  const struct sockaddr *to, socklen_t to_bytes);
ssize_t pd_sendmsg(void *u, int fd, const struct msghdr *msg, int flags);
int pd_pipe(void *u, int fds[2]);
int pd_splice(void *u, int in, loff_t *in_offset, int out, loff_t *out_offset,
	      size_t bytes, unsigned flags);

int pd_fcntl(void *u, int fd, int command, ...);
int pd_ioctl(void *u, int fd, unsigned long request, ...);
int pd_getsockopt(void *u, int fd, int level, int option, void *value,
		  socklen_t *bytes);
int pd_setsockopt(void *u, int fd, int level, int option, const void *value,
		  socklen_t bytes);

int pd_poll(void *u, struct pollfd *fds, nfds_t count, int timeout_ms);
int pd_epoll_create(void *u, int size);
int pd_epoll_ctl(void *u, int epfd, int op, int fd, struct epoll_event *event);
int pd_epoll_wait(void *u, int epfd, struct epoll_event *out, int max,
		  int timeout_ms);

#endif
