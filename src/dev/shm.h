/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SHM_H
#define SHM_H

/*
 * What the files of the shm driver share.
 *
 *	shm_ring.c     words, slots and references in shared memory
 *	shm.c          the device: frames and waiting
 *	shm_send.c     from a frame of the stack to a slot
 *	shm_receive.c  from a slot to a frame for the stack
 *	shm_link.c     finding the peer: sockets, memory files, who is gone
 *	shm_open.c     the text and the calls by which one is made
 */
#include <sys/un.h>
#include <tow/dev.h>
#include <tow/error.h>
#include <tow/shm.h>
#include "dev/shm_ring.h"

#define SHM_SPARES 16 /* buffers kept back for a pool that ran dry */

/* A memory file that we made and write. */
struct shm_file {
	int fd;
	uint8_t *base; /* NULL: none */
	size_t bytes;
};

/*
 * One peer, from its greeting until the last received buffer that lies in its
 * memory has come back.
 */
struct shm_peer {
	struct shm_peer *next; /* of those that are over */
	struct shm_ring ring;
	void *rings, *arena; /* as mapped */
	size_t rings_bytes, arena_bytes;
	uint32_t held; /* references of its that we have not returned */
	uint32_t held_chunks;
	bool over; /* nothing is returned to it any more */
	uint64_t is_held[SHM_REFS / 64];
};

/* What is out under a reference of ours. */
struct shm_ref {
	struct tow_buf *buf;  /* whose payload it is; NULL: only copies */
	uint16_t first_chunk; /* of copies; SHM_NO_REF: none */
	uint16_t next;	      /* of the free ones */
	bool out;
};

/* The way to the peer. */
struct shm_link {
	int listen_fd, fd; /* -1: none */
	int wait_fd;	   /* polls readable for fd, and a watched listen_fd */
	bool watched;	   /* listen_fd is: somebody at the door has a use */
	bool holds;	   /* without a peer frames wait; else they are lost */
	bool stays;	   /* when the peer leaves, wait for the next */
	bool hung_up;	   /* what it sent before is still to be received */
	uint64_t greeted_us;
	uint64_t looked_us;
	uint64_t door_us; /* not answered before: no descriptor was left */
	unsigned traps;	  /* descriptors that are better not closed */
	struct sockaddr_un name; /* of listen_fd, to be removed */
};

struct shm {
	struct tow_dev dev;
	struct tow_shm how;
	struct shm_file arena, rings; /* rings: one for each peer */
	struct shm_link link;
	struct shm_peer *peer; /* NULL: not there, or not yet */
	struct shm_peer *over; /* buffers with their memory are out there */
	bool gone;
	bool lied; /* the peer did; what came before it is still received */

	/* Transmit: free references and chunks are lists by index. */
	struct shm_ref refs[SHM_REFS];
	uint16_t ref_free;
	uint16_t chunk_next[SHM_CHUNKS];
	uint16_t chunk_free;
	uint32_t chunks_left;

	/* Receive. */
	unsigned spares;
	struct tow_buf *spare[SHM_SPARES];

	/* Waiting. */
	bool worked;  /* since the last flush */
	bool starved; /* frames wait, but there is no buffer for them */
	bool sleeps;
	uint64_t worked_us;
	uint64_t wait_us; /* average time until there was work again */
};

static inline struct shm *shm_of(struct tow_dev *dev)
{
	return CONTAINER(dev, struct shm, dev);
}

extern const struct tow_dev_ops shm_ops;

/* shm.c: a device with its own memory but without a way to anyone. */
int shm_new(struct shm **out, const struct tow_shm *how);

/* shm.c: the peer is there; takes it. And the peer is gone, with the session.
 */
void shm_begin(struct shm *s, struct shm_peer *peer);
void shm_end(struct shm *s);

/* shm.c: we show what we did, and wake the peer if it has to look. */
void shm_show(struct shm *s);

/* shm.c: we do not sleep any more; a later sleep has a bell of its own. */
void shm_wake(struct shm *s);

/* shm_send.c */
void shm_send_init(struct shm *s);
int shm_send(struct shm *s, struct tow_buf *const *bufs, unsigned n);
/* Take references back that the peer returned; false: it lies. */
bool shm_reap(struct shm *s);
void shm_give_all(struct shm *s);

/* shm_receive.c */
int shm_receive(struct shm *s, struct tow_buf **bufs, unsigned n);
void shm_returned(struct tow_dev *dev, struct tow_buf *buf);
void shm_give_spares(struct shm *s);

/* shm_link.c: look for a peer, for its end, and empty the bell. */
void shm_look(struct shm *s);
void shm_ring_bell(struct shm *s);
int shm_link_open(struct shm *s);
void shm_link_close(struct shm *s);
/* Greet whoever is at the other end of link.fd; 0 or an error. */
int shm_greet(struct shm *s);
void shm_hang_up(struct shm *s);
void shm_peer_free(struct shm_peer *peer);
int shm_file_make(struct shm_file *file, const char *name, size_t bytes);
void shm_file_close(struct shm_file *file);

#endif
