/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PD_ABI_H
#define PD_ABI_H

/*
 * What packetdrill calls in a shared object (--so_filename): a table of
 * functions, in this order. It never looks whether one is missing.
 */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>

struct packetdrill_interface {
	void *userdata;
	void (*free)(void *userdata);
	int (*socket)(void *userdata, int domain, int type, int protocol);
	int (*bind)(void *userdata, int fd, const struct sockaddr *addr,
		    socklen_t bytes);
	int (*listen)(void *userdata, int fd, int backlog);
	int (*accept)(void *userdata, int fd, struct sockaddr *addr,
		      socklen_t *bytes);
	int (*connect)(void *userdata, int fd, const struct sockaddr *addr,
		       socklen_t bytes);
	ssize_t (*read)(void *userdata, int fd, void *out, size_t bytes);
	ssize_t (*readv)(void *userdata, int fd, const struct iovec *iov,
			 int count);
	ssize_t (*recv)(void *userdata, int fd, void *out, size_t bytes,
			int flags);
	ssize_t (*recvfrom)(void *userdata, int fd, void *out, size_t bytes,
			    int flags, struct sockaddr *from,
			    socklen_t *from_bytes);
	ssize_t (*recvmsg)(void *userdata, int fd, struct msghdr *msg,
			   int flags);
	ssize_t (*write)(void *userdata, int fd, const void *data,
			 size_t bytes);
	ssize_t (*writev)(void *userdata, int fd, const struct iovec *iov,
			  int count);
	ssize_t (*send)(void *userdata, int fd, const void *data, size_t bytes,
			int flags);
	ssize_t (*sendto)(void *userdata, int fd, const void *data,
			  size_t bytes, int flags, const struct sockaddr *to,
			  socklen_t to_bytes);
	ssize_t (*sendmsg)(void *userdata, int fd, const struct msghdr *msg,
			   int flags);
	int (*fcntl)(void *userdata, int fd, int command, ...);
	int (*ioctl)(void *userdata, int fd, unsigned long request, ...);
	int (*close)(void *userdata, int fd);
	int (*shutdown)(void *userdata, int fd, int how);
	int (*getsockopt)(void *userdata, int fd, int level, int option,
			  void *value, socklen_t *bytes);
	int (*setsockopt)(void *userdata, int fd, int level, int option,
			  const void *value, socklen_t bytes);
	int (*poll)(void *userdata, struct pollfd *fds, nfds_t count,
		    int timeout_ms);
	/* One raw IP packet into the stack: 0 or -1. */
	int (*netdev_send)(void *userdata, const void *packet, size_t bytes);
	/*
	 * The next packet out of it: *bytes is the room, then the length, 0
	 * when none came. There is no timeout: the clock jumps until one does.
	 */
	int (*netdev_receive)(void *userdata, void *packet, size_t *bytes,
			      long long *time_us);
	int (*usleep)(void *userdata, useconds_t us);
	int (*gettimeofday)(void *userdata, struct timeval *tv,
			    struct timezone *tz);
	int (*epoll_create)(void *userdata, int size);
	int (*epoll_ctl)(void *userdata, int epfd, int op, int fd,
			 struct epoll_event *event);
	int (*epoll_wait)(void *userdata, int epfd, struct epoll_event *out,
			  int max, int timeout_ms);
	int (*pipe)(void *userdata, int fds[2]);
	int (*splice)(void *userdata, int in, loff_t *in_offset, int out,
		      loff_t *out_offset, size_t bytes, unsigned flags);
};

/* The one name that packetdrill looks up; @flags is --so_flags or NULL. */
__attribute__((visibility("default"))) void
packetdrill_interface_init(const char *flags,
			   struct packetdrill_interface *out);

#endif
