/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finding the peer, and noticing its end.
 *
 * Theory of operation
 *
 *	waiting ---- accept ---> greeting ---- hello, checked ---> a peer
 *	   ^                        |                                |
 *	   +---- too late, bad -----+         its end, a lie --------+--> gone
 *	   +------------------------------------------ stay=on ------+
 *
 * The socket has messages with borders (SOCK_SEQPACKET). Each end sends one
 * hello: what its memory is, with the descriptors of the files. Messages after
 * that are the bell; nobody looks at what is in them. All calls have their
 * flags with them, because those of a file may be changed by the peer.
 *
 * While somebody is inside, the next one knocks in vain, and the listening
 * socket is not watched: a program that waits for it would not sleep any more.
 * The same while there is no descriptor to let anyone in by; that is tried
 * again after DOOR_US.
 *
 * A descriptor from the peer may be anything. Only a memory file (F_GET_SEALS
 * knows it, and it lies in tmpfs, not in hugetlbfs) that is sealed against
 * shrinking is mapped: then no access to the mapping can fault. What is no such
 * file is not even closed, because closing one of a file system in user space
 * waits for that process. It stays open as long as we live, and after a few of
 * that kind the device is gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "dev/shm.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10 /* since Linux 5.1 */
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u /* since Linux 6.3 */
#endif

#define GREETING_US 1000000 /* the peer's hello comes within */
#define DOOR_US	    100000  /* until it is opened again */
#define TRAPS_MAX   16
#define BELLS_MAX   16 /* taken at a time; the rest wakes us again */

#define MAGIC	0x6d6873776f74u /* "towshm" */
#define VERSION 1
#define FILES	2

struct hello {
	uint64_t magic;
	uint32_t version;
	uint32_t slots;
	uint64_t arena_bytes; /* 0: there is no second file */
};

/* ------------------------------------------------------------- memory files */

int shm_file_make(struct shm_file *file, const char *name, size_t bytes)
{
	unsigned seals =
		F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	void *base;

	file->fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);
	if (file->fd < 0)
		file->fd = memfd_create(name, flags);
	if (file->fd < 0)
		return TOW_ENOMEM;
	if (ftruncate(file->fd, (off_t)bytes))
		goto fail;
	base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file->fd,
		    0);
	if (base == MAP_FAILED)
		goto fail;
	file->base = base;
	file->bytes = bytes;
	/* Our mapping stays writable; there will be no other that is. */
	if (!fcntl(file->fd, F_ADD_SEALS, seals))
		return 0;
fail:
	shm_file_close(file);
	return TOW_ENOMEM;
}

void shm_file_close(struct shm_file *file)
{
	if (file->base)
		munmap(file->base, file->bytes);
	if (file->fd >= 0)
		close(file->fd);
	*file = (struct shm_file){ .fd = -1 };
}

static bool is_memory(int fd)
{
	return fcntl(fd, F_GET_SEALS) >= 0;
}

static bool is_safe_to_map(int fd, uint64_t bytes)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct statfs system;
	struct stat file;

	return seals >= 0 && seals & F_SEAL_SHRINK && !fstatfs(fd, &system) &&
	       system.f_type == TMPFS_MAGIC && !fstat(fd, &file) &&
	       file.st_size >= 0 && (uint64_t)file.st_size == bytes;
}

static void *map_theirs(int fd, uint64_t bytes)
{
	void *base;

	if (!is_safe_to_map(fd, bytes))
		return NULL;
	base = mmap(NULL, (size_t)bytes, PROT_READ, MAP_SHARED, fd, 0);
	return base == MAP_FAILED ? NULL : base;
}

void shm_peer_free(struct shm_peer *peer)
{
	if (peer->rings)
		munmap(peer->rings, peer->rings_bytes);
	if (peer->arena)
		munmap(peer->arena, peer->arena_bytes);
	free(peer);
}

/* ----------------------------------------------------------------- the door */

static bool watch_the_door(struct shm_link *link)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (link->listen_fd >= 0 && !link->watched)
		link->watched = !epoll_ctl(link->wait_fd, EPOLL_CTL_ADD,
					   link->listen_fd, &event);
	return link->watched;
}

static void ignore_the_door(struct shm_link *link)
{
	if (link->watched)
		(void)epoll_ctl(link->wait_fd, EPOLL_CTL_DEL, link->listen_fd,
				NULL);
	link->watched = false;
}

static void stop_listening(struct shm *s)
{
	if (s->link.listen_fd < 0)
		return;
	ignore_the_door(&s->link);
	close(s->link.listen_fd);
	s->link.listen_fd = -1;
	if (*s->link.name.sun_path)
		(void)unlink(s->link.name.sun_path);
}

/* ----------------------------------------------------------------- greeting */

static int say_hello(struct shm *s)
{
	struct hello hello = { .magic = MAGIC,
			       .version = VERSION,
			       .slots = s->how.ring_frames,
			       .arena_bytes = s->how.arena_bytes };
	int fds[FILES] = { s->rings.fd, s->arena.fd };
	size_t bytes = s->arena.base ? sizeof(fds) : sizeof(fds[0]);
	union {
		struct cmsghdr header;
		uint8_t room[CMSG_SPACE(sizeof(fds))];
	} control = { 0 };
	struct iovec iov = { &hello, sizeof(hello) };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = CMSG_SPACE(bytes) };
	ssize_t sent;

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(bytes);
	memcpy(CMSG_DATA(&control.header), fds, bytes);
	sent = sendmsg(s->link.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	return sent == sizeof(hello) ? 0 : TOW_EIO;
}

int shm_greet(struct shm *s)
{
	struct epoll_event event = { .events = EPOLLIN };
	int error;

	error = shm_file_make(&s->rings, "tow-rings",
			      shm_rings_bytes(s->how.ring_frames));
	if (!error)
		error = say_hello(s);
	if (!error &&
	    epoll_ctl(s->link.wait_fd, EPOLL_CTL_ADD, s->link.fd, &event))
		error = TOW_EIO;
	s->link.greeted_us = s->dev.now_us;
	s->link.hung_up = false;
	return error;
}

void shm_hang_up(struct shm *s)
{
	struct shm_link *link = &s->link;

	if (link->fd >= 0) {
		(void)epoll_ctl(link->wait_fd, EPOLL_CTL_DEL, link->fd, NULL);
		close(link->fd);
	}
	link->fd = -1;
	shm_file_close(&s->rings);
	(void)watch_the_door(link); /* if not, whoever looks does it */
}

/* What came with a hello: the first @count are files. */
struct gift {
	int fds[FILES];
	unsigned count;
};

static void take_gift(struct msghdr *message, struct gift *gift)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		size_t bytes =
			MIN(c->cmsg_len - CMSG_LEN(0), sizeof(gift->fds));

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(gift->fds, CMSG_DATA(c), bytes);
		gift->count = (unsigned)(bytes / sizeof(gift->fds[0]));
	}
}

static void drop_gift(struct shm *s, const struct gift *gift)
{
	for (unsigned i = 0; i < gift->count; i++) {
		if (is_memory(gift->fds[i]))
			close(gift->fds[i]);
		else
			s->link.traps++;
	}
}

static bool check_hello(const struct shm *s, const struct hello *hello,
			const struct gift *gift)
{
	return hello->magic == MAGIC && hello->version == VERSION &&
	       shm_slots_valid(hello->slots) &&
	       hello->arena_bytes <= s->how.peer_arena_bytes_max &&
	       gift->count == (hello->arena_bytes ? 2u : 1u);
}

static struct shm_peer *make_peer(const struct shm *s,
				  const struct hello *hello,
				  const struct gift *gift)
{
	struct shm_side ours = { .rings = s->rings.base,
				 .arena = s->arena.base,
				 .arena_bytes = s->how.arena_bytes,
				 .slots = s->how.ring_frames };
	struct shm_side theirs = { .arena_bytes = (size_t)hello->arena_bytes,
				   .slots = hello->slots };
	struct shm_peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	peer->rings_bytes = shm_rings_bytes(hello->slots);
	peer->rings = map_theirs(gift->fds[0], peer->rings_bytes);
	peer->arena_bytes = (size_t)hello->arena_bytes;
	if (peer->arena_bytes)
		peer->arena = map_theirs(gift->fds[1], hello->arena_bytes);
	if (!peer->rings || (peer->arena_bytes && !peer->arena)) {
		shm_peer_free(peer);
		return NULL;
	}
	theirs.rings = peer->rings;
	theirs.arena = peer->arena;
	shm_ring_init(&peer->ring, &ours, &theirs);
	return peer;
}

/* The greeting failed: back to waiting, or that was it. */
static void give_up_greeting(struct shm *s)
{
	if (s->link.traps >= TRAPS_MAX)
		stop_listening(s);
	shm_hang_up(s);
	s->gone = s->link.listen_fd < 0;
	s->dev.next_us = UINT64_MAX;
}

static void hear_hello(struct shm *s)
{
	struct hello hello;
	struct gift gift = { .count = 0 };
	union {
		struct cmsghdr header;
		uint8_t room[CMSG_SPACE(sizeof(gift.fds))];
	} control;
	struct iovec iov = { &hello, sizeof(hello) };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	struct shm_peer *peer = NULL;
	ssize_t got =
		recvmsg(s->link.fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got >= 0)
		take_gift(&message, &gift);
	if (got == sizeof(hello) &&
	    !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
	    check_hello(s, &hello, &gift))
		peer = make_peer(s, &hello, &gift);
	drop_gift(s, &gift);
	if (!peer) {
		give_up_greeting(s);
		return;
	}
	if (!s->link.stays)
		stop_listening(s);
	shm_begin(s, peer);
}

/* -------------------------------------------------------------- looking out */

static bool nobody_is_at_the_door(void)
{
	return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
}

static void answer_the_door(struct shm *s)
{
	struct shm_link *link = &s->link;

	s->dev.next_us = link->door_us;
	if (s->dev.now_us < link->door_us)
		return;
	s->dev.next_us = UINT64_MAX; /* the descriptor wakes us */
	link->fd = accept4(link->listen_fd, NULL, NULL,
			   SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (link->fd < 0 && nobody_is_at_the_door() && watch_the_door(link))
		return;
	ignore_the_door(link);
	if (link->fd < 0)
		s->dev.next_us = link->door_us = s->dev.now_us + DOOR_US;
	else if (shm_greet(s))
		give_up_greeting(s);
}

/* Without a peer. */
static void look_for_peer(struct shm *s)
{
	struct shm_link *link = &s->link;

	if (link->fd < 0 && link->listen_fd >= 0)
		answer_the_door(s);
	if (link->fd < 0)
		return;
	hear_hello(s);
	if (s->peer || link->fd < 0)
		return;
	if (link->listen_fd < 0)
		return; /* nobody else could come */
	if (s->dev.now_us - link->greeted_us >= GREETING_US)
		give_up_greeting(s);
	else
		s->dev.next_us = link->greeted_us + GREETING_US;
}

/*
 * The bell is rung once for each time that we sleep. So who heard it is awake,
 * whatever he finds (that the peer has taken our frames, say, which is no
 * work): what comes after that has to ring again.
 */
static void empty_bell(struct shm *s)
{
	uint8_t byte;

	for (unsigned i = 0; i < BELLS_MAX; i++) {
		ssize_t got = recv(s->link.fd, &byte, 1, MSG_DONTWAIT);

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got <= 0) {
			s->link.hung_up = true;
			return;
		}
		shm_wake(s);
	}
}

void shm_look(struct shm *s)
{
	s->link.looked_us = s->dev.now_us;
	if (!s->peer)
		look_for_peer(s);
	else if (!s->link.hung_up)
		empty_bell(s);
}

/* A bell that is full has been rung. */
void shm_ring_bell(struct shm *s)
{
	uint8_t byte = 0;

	if (send(s->link.fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return;
	if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
		s->link.hung_up = true;
		s->dev.next_us = s->dev.now_us; /* rx has to see it */
	}
}

int shm_link_open(struct shm *s)
{
	struct shm_link *link = &s->link;

	link->wait_fd = epoll_create1(EPOLL_CLOEXEC);
	if (link->wait_fd < 0)
		return TOW_EIO;
	if (link->listen_fd >= 0 && !watch_the_door(link))
		return TOW_EIO;
	return link->fd >= 0 ? shm_greet(s) : 0;
}

void shm_link_close(struct shm *s)
{
	shm_hang_up(s);
	stop_listening(s);
	if (s->link.wait_fd >= 0)
		close(s->link.wait_fd);
	s->link.wait_fd = -1;
}
