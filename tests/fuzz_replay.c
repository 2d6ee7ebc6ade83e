/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Feeds a fuzz target the inputs that are kept in the tree, where libFuzzer
 * is not at hand:
 *
 *	fuzz_NAME [FILE | FOLDER]...
 *
 * Without arguments it takes tests/fuzz/corpus/fuzz_NAME/, and the empty input,
 * which every target has to stand. One line per input says `ok`; a bad input
 * ends the process, and the input's name is the last one printed.
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

#define PATH_BYTES_MAX 4096

static const char *program;

static void feed(const char *name, const uint8_t *data, size_t bytes)
{
	fprintf(stderr, "%s: %s\n", program, name);
	LLVMFuzzerTestOneInput(data, bytes);
	printf("ok %s: %s\n", program, name);
}

/* A block of exactly the input's size, so that ASan sees a byte too far. */
static bool feed_file(const char *path, size_t bytes)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = malloc(bytes ? bytes : 1);
	bool good = file && data && fread(data, 1, bytes, file) == bytes;

	if (good)
		feed(path, data, bytes);
	else
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	free(data);
	if (file)
		fclose(file);
	return good;
}

static bool feed_path(const char *path);

static bool feed_folder(const char *path)
{
	struct dirent **entries;
	int count = scandir(path, &entries, NULL, alphasort);
	bool good = count >= 0;

	if (count < 0)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	for (int i = 0; i < count; i++) {
		char inner[PATH_BYTES_MAX];
		int length = snprintf(inner, sizeof(inner), "%s/%s", path,
				      entries[i]->d_name);
		if (length >= (int)sizeof(inner))
			good = false;
		else if (entries[i]->d_name[0] != '.')
			good &= feed_path(inner);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	return good;
}

static bool feed_path(const char *path)
{
	struct stat info;

	if (stat(path, &info) < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return false;
	}
	if (S_ISDIR(info.st_mode))
		return feed_folder(path);
	return feed_file(path, (size_t)info.st_size);
}

static const char *after_slash(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int main(int argc, char **argv)
{
	char corpus[PATH_BYTES_MAX];
	bool good = true;

	program = after_slash(argv[0]);
	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	if (argc < 2) {
		snprintf(corpus, sizeof(corpus), "tests/fuzz/corpus/%s",
			 program);
		feed("the empty input", (const uint8_t *)"", 0);
		return feed_path(corpus) ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	for (int i = 1; i < argc; i++)
		good &= feed_path(argv[i]);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
