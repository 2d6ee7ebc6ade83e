/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef GUARD_H
#define GUARD_H

#include <tow/dev.h>

/*
 * Guard: a device around a device that lets no frame pass whose payload lies
 * behind the end of its file, or in pages that the SIGBUS handler has replaced
 * (file_map.h).
 *
 * Without checksum offload the stack reads lent pages itself. If the file was
 * truncated meanwhile, that read meets zeros instead of a signal, and a frame
 * with a good checksum over wrong bytes would be on its way. It ends here; the
 * connection is reset right after the poll.
 *
 * Owns:    takes @inner.
 * Returns: 0, or TOW_ENOMEM; then @inner is closed.
 */
int guard_open(struct tow_dev **out, struct tow_dev *inner) TOW_MUST_USE;

#endif
