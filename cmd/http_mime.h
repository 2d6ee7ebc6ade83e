/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HTTP_MIME_H
#define HTTP_MIME_H

/*
 * http_mime_type() - the Content-Type of a file by its name
 *
 * Returns: a constant string, application/octet-stream when nobody knows.
 */
const char *http_mime_type(const char *name);

#endif
