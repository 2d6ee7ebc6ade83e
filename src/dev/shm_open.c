/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making one end of a shm link: by a socket's name, a socket, or as a pair.
 *
 * Theory of operation: by name, the end that comes first listens and the other
 * connects; role= says which, and without it, whoever finds nobody listening
 * listens. A name that is left of an end that died is taken over. While one end
 * looks, and makes the name, the folder is locked (flock(2)), so that two that
 * start at once cannot both take a dead one's place.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "dev/drivers.h"
#include "dev/shm.h"

#define MIB	    (1024u * 1024u)
#define ARENA_MAX   (UINT64_C(1) << 40)
#define MTU_MIN	    576 /* RFC 1122 3.3.3 */
#define SPIN_US	    50	/* as in host.c */
#define LOCK_TRIES  100
#define LOCK_TRY_US 1000
#define BACKLOG	    16

enum role { ROLE_EITHER, ROLE_LISTEN, ROLE_CONNECT };

struct shm_options {
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	uint32_t role;
	bool stay;
	uint64_t arena, peer_arena, ring, mtu, spin_us;
};

static const char *const roles[] = { "either", "listen", "connect", NULL };

#define AT(member) offsetof(struct shm_options, member)
static const struct spec_key keys[] = {
	{ "path", SPEC_TEXT, AT(path), 0,
	  sizeof(((struct shm_options *)0)->path), NULL },
	{ "role", SPEC_WORD, AT(role), 0, 0, roles },
	{ "stay", SPEC_SWITCH, AT(stay), 0, 0, NULL },
	{ "arena", SPEC_NUMBER, AT(arena), 0, ARENA_MAX, NULL },
	{ "peer_arena", SPEC_NUMBER, AT(peer_arena), 0, ARENA_MAX, NULL },
	{ "ring", SPEC_NUMBER, AT(ring), SHM_SLOTS_MIN, SHM_SLOTS_MAX, NULL },
	{ "mtu", SPEC_NUMBER, AT(mtu), MTU_MIN, SHM_FRAME_MAX, NULL },
	{ "spin", SPEC_TIME, AT(spin_us), 0, 1000000, NULL },
};
#undef AT

/*
 * Spinning keeps the peer from running when both share the only processor. It
 * is the machine's that count: who is pinned to one has its peer on another.
 */
static uint64_t default_spin_us(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) == 1 ? 0 : SPIN_US;
}

void tow_shm_default(struct tow_shm *how)
{
	*how = (struct tow_shm){
		.arena_bytes = 64 * MIB,
		.peer_arena_bytes_max = (size_t)4096 * MIB,
		.ring_frames = 256,
		.mtu = SHM_FRAME_MAX,
		.spin_us = default_spin_us(),
	};
}

static bool is_valid(const struct tow_shm *how)
{
	return shm_slots_valid(how->ring_frames) && how->mtu >= MTU_MIN &&
	       how->mtu <= SHM_FRAME_MAX && how->arena_bytes <= ARENA_MAX;
}

/* Whole pages. */
static int settle(struct tow_shm *how)
{
	if (!is_valid(how))
		return TOW_EINVAL;
	how->arena_bytes =
		(how->arena_bytes + SHM_PAGE - 1) / SHM_PAGE * SHM_PAGE;
	return 0;
}

int tow_shm_open(struct tow_dev **out, int socket, const struct tow_shm *how)
{
	struct tow_shm settled;
	struct shm *s;
	int error;

	tow_shm_default(&settled);
	if (how)
		settled = *how;
	error = settle(&settled);
	if (!error)
		error = shm_new(&s, &settled);
	if (error) {
		close(socket);
		return error;
	}
	s->link.fd = socket;
	s->link.holds = true;
	error = shm_link_open(s);
	if (error) {
		s->dev.ops->close(&s->dev);
		return error;
	}
	*out = &s->dev;
	return 0;
}

/* Both have sent their hello already, so each finds the other's. */
int tow_shm_pair(struct tow_dev *out[2], const struct tow_shm *how)
{
	int fds[2], error;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return TOW_ENOMEM;
	error = tow_shm_open(&out[0], fds[0], how);
	if (error) {
		close(fds[1]);
		return error;
	}
	error = tow_shm_open(&out[1], fds[1], how);
	if (error) {
		out[0]->ops->close(out[0]);
		return error;
	}
	shm_look(shm_of(out[0]));
	shm_look(shm_of(out[1]));
	if (shm_of(out[0])->peer && shm_of(out[1])->peer)
		return 0;
	out[0]->ops->close(out[0]);
	out[1]->ops->close(out[1]);
	return TOW_ENOMEM;
}

void *tow_shm_arena(const struct tow_dev *dev, size_t *bytes)
{
	*bytes = dev->arena.len;
	return (void *)(uintptr_t)dev->arena.ptr;
}

/* ------------------------------------------------------------------ by name */

static int new_socket(void)
{
	return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		      0);
}

static int fail_path(struct spec *spec, const char *what, const char *path)
{
	switch (errno) {
	case ECONNREFUSED:
		return spec_fail(spec, TOW_ENOENT,
				 "nobody listens at %s: start the other end "
				 "first, with role=listen",
				 path);
	case ENOENT:
		return spec_fail(spec, TOW_ENOENT, "%s %s: %s", what, path,
				 strerror(errno));
	case EACCES:
	case EPERM:
		return spec_fail(spec, TOW_EACCES, "%s %s: permission denied",
				 what, path);
	case EADDRINUSE:
		return spec_fail(spec, TOW_EADDRINUSE,
				 "%s exists, and is in use by another end, or "
				 "no socket; choose another path",
				 path);
	case EAGAIN:
		return spec_fail(spec, TOW_EBUSY, "too many wait already at %s",
				 path);
	default:
		return spec_fail(spec, TOW_EIO, "%s %s: %s", what, path,
				 strerror(errno));
	}
}

/* Returns: true when connected; else errno says why not. */
static bool connect_to(struct shm *s)
{
	int fd = new_socket(), error;

	if (fd < 0)
		return false;
	if (connect(fd, (const void *)&s->link.name, sizeof(s->link.name))) {
		error = errno;
		close(fd);
		errno = error;
		return false;
	}
	s->link.fd = fd;
	s->link.holds = true;
	memset(&s->link.name, 0, sizeof(s->link.name));
	return true;
}

static bool nobody_is_there(void)
{
	return errno == ENOENT || errno == ECONNREFUSED;
}

/* Of a file that is no socket, connect(2) says ECONNREFUSED as well. */
static bool is_dead_socket(struct shm *s)
{
	struct stat st;
	bool dead;
	int fd;

	if (lstat(s->link.name.sun_path, &st) || !S_ISSOCK(st.st_mode))
		return false;
	fd = new_socket();
	if (fd < 0)
		return false;
	dead = connect(fd, (const void *)&s->link.name, sizeof(s->link.name)) &&
	       errno == ECONNREFUSED;
	close(fd);
	return dead;
}

/* A name that is left of an end that was killed is taken over. */
static int take_name(struct shm *s, int fd)
{
	const struct sockaddr *name = (const void *)&s->link.name;

	if (!bind(fd, name, sizeof(s->link.name)))
		return 0;
	if (errno != EADDRINUSE)
		return -1;
	if (!is_dead_socket(s) || unlink(s->link.name.sun_path)) {
		errno = EADDRINUSE;
		return -1;
	}
	return bind(fd, name, sizeof(s->link.name));
}

static bool listen_at(struct shm *s)
{
	int fd = new_socket(), error;

	if (fd < 0)
		return false;
	error = take_name(s, fd);
	if (!error && !listen(fd, BACKLOG)) {
		s->link.listen_fd = fd;
		return true;
	}
	error = errno;
	close(fd);
	errno = error;
	return false;
}

/*
 * The folder that the name is in, locked; -1 if that is not possible. Nobody
 * needs it for long, so who keeps it is ignored.
 */
static int lock_folder(const char *path)
{
	char folder[sizeof(((struct sockaddr_un *)0)->sun_path) + 2];
	const char *slash = strrchr(path, '/');
	size_t bytes = slash ? (size_t)(slash - path) + 1 : 0;
	int fd;

	memcpy(folder, path, bytes);
	strcpy(folder + bytes, ".");
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (unsigned i = 0; fd >= 0 && i < LOCK_TRIES; i++) {
		if (!flock(fd, LOCK_EX | LOCK_NB))
			break;
		usleep(LOCK_TRY_US);
	}
	return fd;
}

static int find_way(struct shm *s, enum role role, struct spec *spec)
{
	/* connect_to() forgets the name when it is not ours to remove */
	struct sockaddr_un name = s->link.name;

	if (role != ROLE_LISTEN) {
		if (connect_to(s))
			return 0;
		if (role == ROLE_CONNECT && errno == ENOENT)
			errno = ECONNREFUSED; /* no socket, nobody's either */
		if (role == ROLE_CONNECT || !nobody_is_there())
			return fail_path(spec, "connecting to", name.sun_path);
	}
	if (!listen_at(s)) {
		memset(&s->link.name, 0, sizeof(s->link.name));
		return fail_path(spec, "listening at", name.sun_path);
	}
	return 0;
}

static int open_by_name(struct shm *s, const struct shm_options *options,
			struct spec *spec)
{
	int folder = lock_folder(options->path);
	int error;

	s->link.name.sun_family = AF_UNIX;
	memcpy(s->link.name.sun_path, options->path, sizeof(options->path));
	s->link.stays = options->stay;
	error = find_way(s, (enum role)options->role, spec);
	if (folder >= 0)
		close(folder);
	if (error)
		return error;
	error = shm_link_open(s);
	if (error)
		return spec_fail(spec, error,
				 "out of memory or descriptors for the link");
	return 0;
}

int shm_open_spec(struct tow_dev **out, struct spec *spec)
{
	struct shm_options options = { 0 };
	struct tow_shm how;
	struct shm *s;
	int error;

	tow_shm_default(&how);
	options.arena = how.arena_bytes;
	options.peer_arena = how.peer_arena_bytes_max;
	options.ring = how.ring_frames;
	options.mtu = how.mtu;
	options.spin_us = how.spin_us;
	error = spec_read(spec, "shm", keys, LENGTH(keys), SPEC_TO_END,
			  &options);
	if (error)
		return error;
	if (!*options.path)
		return spec_fail_at(
			spec, spec->text,
			"shm needs path=FILE, the socket where both "
			"ends meet");
	how.arena_bytes = (size_t)options.arena;
	how.peer_arena_bytes_max = (size_t)options.peer_arena;
	how.ring_frames = (uint32_t)options.ring;
	how.mtu = (uint32_t)options.mtu;
	how.spin_us = options.spin_us;
	if (settle(&how))
		return spec_fail_at(spec, spec->text,
				    "ring= wants a power of two");
	error = shm_new(&s, &how);
	if (error)
		return spec_fail(spec, error, "out of memory for the arena");
	error = open_by_name(s, &options, spec);
	if (error) {
		s->dev.ops->close(&s->dev);
		return error;
	}
	*out = &s->dev;
	return 0;
}
