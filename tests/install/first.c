/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a user's first program needs of an installed Towpath: the headers, the
 * library, and pkg-config to find both. Opens a stack and closes it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <tow/stack.h>

int main(void)
{
	struct tow_config cfg;
	struct tow_stack *stack;

	tow_config_default(&cfg);
	size_t need = tow_need(&cfg);
	size_t align = 65536;
	void *memory = aligned_alloc(align, (need + align - 1) / align * align);
	if (!need || !memory)
		return EXIT_FAILURE;
	int error = tow_open(&stack, &cfg, memory, need);
	if (error) {
		fprintf(stderr, "tow_open: %s\n", tow_strerror(error));
		return EXIT_FAILURE;
	}
	tow_poll(stack, 1);
	tow_close(stack);
	free(memory);
	printf("%s\n", tow_version());
	return EXIT_SUCCESS;
}
