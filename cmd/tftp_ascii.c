/* SPDX-License-Identifier: BSD-2-Clause */
#include "tftp_ascii.h"

size_t ascii_encode(struct ascii_encoder *state, const uint8_t *file,
		    uint64_t file_bytes, uint8_t *out, size_t room)
{
	size_t n = 0;

	while (n < room && state->at < file_bytes) {
		uint8_t byte = file[state->at];

		if (byte != '\n' && byte != '\r') {
			out[n++] = byte;
			state->at++;
		} else if (!state->half) {
			out[n++] = '\r';
			state->half = true;
		} else {
			out[n++] = byte == '\n' ? '\n' : '\0';
			state->half = false;
			state->at++;
		}
	}
	return n;
}

size_t ascii_decode(struct ascii_decoder *state, const uint8_t *in,
		    size_t bytes, uint8_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < bytes; i++) {
		uint8_t byte = in[i];
		bool after_cr = state->cr;

		state->cr = false;
		if (after_cr && byte == '\n') {
			out[n++] = '\n';
		} else if (after_cr && byte == '\0') {
			out[n++] = '\r';
		} else if (byte == '\r') {
			state->cr = true; /* two in a row are one */
		} else {
			out[n++] = byte;
		}
	}
	return n;
}
