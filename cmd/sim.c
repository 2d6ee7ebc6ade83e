/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tow sim: random scenarios over a simulated network.
 *
 * Theory of operation: each job is a child process that plays every n-th seed
 * of the range. It says in shared memory which seed it is at, so that the
 * parent knows what to blame when a child dies or does not come to an end; it
 * then starts another child behind that seed. A failure is printed with the
 * one command that repeats it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "cmd.h"
#include "options.h"
#include "sim_world.h"

#define JOBS_MAX     64
#define HANG_S	     60 /* a scenario takes some milliseconds */
#define FAILURES_MAX 10 /* then it is enough */
#define LOOK_MS	     50
#define NAMES_MAX    32 /* of profiles, to choose what was meant */

struct sim_options {
	const char *seeds;
	const char *profile;
	const char *pcap;
	uint64_t jobs;
	bool quiet;
};

static const struct option sim_table[] = {
	{ "seeds", 0, OPTION_TEXT, offsetof(struct sim_options, seeds), "A..B",
	  "play the scenarios of seeds A to B (1..1000)", 0, 0 },
	{ "profile", 0, OPTION_TEXT, offsetof(struct sim_options, profile),
	  "NAME", "kind of network and memory (mixed)", 0, 0 },
	{ "pcap", 0, OPTION_TEXT, offsetof(struct sim_options, pcap), "FILE",
	  "write all packets of a single seed to FILE (pcapng)", 0, 0 },
	{ "jobs", 'j', OPTION_NUMBER, offsetof(struct sim_options, jobs), "N",
	  "play N scenarios at a time (one per processor)", 1, JOBS_MAX },
	{ "quiet", 'q', OPTION_FLAG, offsetof(struct sim_options, quiet), NULL,
	  "print failures only", 0, 0 },
};

static const struct grammar sim_grammar = {
	.command = "sim",
	.arguments = "",
	.purpose = "Plays random scenarios of stacks, networks, faults and "
		   "programs in virtual\ntime, and checks that every byte "
		   "arrives, every loan ends, and nothing is left.",
	OPTIONS_OF(sim_table),
};

#define NOTES_BYTES 1024

/* The profiles, by the table that makes them. */
static void write_notes(char *out, size_t room)
{
	const struct profile *profile;
	size_t at = (size_t)snprintf(out, room, "profiles:\n");

	for (unsigned i = 0; (profile = profile_at(i)) && at < room; i++)
		at += (size_t)snprintf(out + at, room - at, "  %-10s%s\n",
				       profile->name, profile->about);
}

struct range {
	uint64_t first, last;
};

/* What a job says about itself, for its parent to read. */
struct job {
	pid_t pid;
	uint64_t seed; /* being played */
	uint64_t played, failed;
	struct tally tally;
	uint64_t seen_seed; /* the parent's: when it last changed */
	time_t seen_s;
};

struct session {
	struct sim_options options;
	const struct profile *profile;
	struct range range;
	struct job *jobs;
	unsigned job_count;
	uint64_t dead; /* scenarios that killed their job */
};

static bool parse_range(const char *text, struct range *out)
{
	char *end;

	errno = 0;
	out->first = out->last = strtoull(text, &end, 10);
	if (end == text || errno)
		return false;
	if (*end == '\0')
		return true;
	if (strncmp(end, "..", 2) != 0)
		return false;
	text = end + 2;
	out->last = strtoull(text, &end, 10);
	return end != text && *end == '\0' && !errno && out->last >= out->first;
}

static void print_repeat(const struct session *session, uint64_t seed,
			 FILE *out)
{
	fprintf(out,
		"  repeat: tow sim --seeds %llu..%llu --profile %s "
		"--pcap fail.pcapng\n",
		(unsigned long long)seed, (unsigned long long)seed,
		session->profile->name);
}

/* In one piece, so that jobs do not write into each other's lines. */
static void print_failure(const struct session *session,
			  const struct world *world, const char *state)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);

	if (!out)
		return;
	fprintf(out, "FAILED seed %llu: %s\n%s",
		(unsigned long long)world->seed, world->failure, state);
	print_repeat(session, world->seed, out);
	fclose(out);
	if (write(STDOUT_FILENO, text, bytes) < 0)
		perror("tow sim");
	free(text);
}

static void play(const struct session *session, struct world *world,
		 struct job *job)
{
	char *state = NULL;
	size_t bytes = 0;
	FILE *report = open_memstream(&state, &bytes);

	if (!report)
		return;
	if (!world_run(world, job->seed, session->profile,
		       session->options.pcap, &job->tally, report)) {
		fclose(report);
		job->failed++;
		print_failure(session, world, state);
	} else {
		fclose(report);
	}
	job->played++;
	free(state);
}

static _Noreturn void work(const struct session *session, struct job *job)
{
	struct world *world = world_new();

	if (!world)
		_exit(EXIT_FAILED);
	while (job->seed <= session->range.last && job->failed < FAILURES_MAX) {
		play(session, world, job);
		if (session->range.last - job->seed < session->job_count)
			break;
		job->seed += session->job_count;
	}
	world_free(world);
	exit(EXIT_OK); /* and let a sanitizer look for leaks */
}

static void start(struct session *session, struct job *job)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		work(session, job);
	if (pid < 0)
		perror("tow sim: fork");
	job->pid = pid; /* in shared memory: only the parent's to write */
	job->seen_seed = job->seed;
	job->seen_s = time(NULL);
}

static uint64_t seeds_left(const struct session *session, const struct job *job)
{
	return session->range.last - job->seed;
}

/* A job died: its scenario is to blame. Go on behind it. */
static void bury(struct session *session, struct job *job, int status)
{
	job->pid = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_OK)
		return;
	session->dead++;
	printf("FAILED seed %llu: the process died: %s %d\n",
	       (unsigned long long)job->seed,
	       WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "status",
	       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	print_repeat(session, job->seed, stdout);
	if (session->dead >= FAILURES_MAX ||
	    seeds_left(session, job) < session->job_count)
		return;
	job->seed += session->job_count;
	start(session, job);
}

static void end_if_it_hangs(struct job *job)
{
	if (job->seed != job->seen_seed) {
		job->seen_seed = job->seed;
		job->seen_s = time(NULL);
	} else if (time(NULL) - job->seen_s > HANG_S) {
		printf("seed %llu has taken more than %d s\n",
		       (unsigned long long)job->seed, HANG_S);
		kill(job->pid, SIGKILL);
		job->seen_s = time(NULL);
	}
}

static bool look_after(struct session *session)
{
	bool any = false;

	for (unsigned i = 0; i < session->job_count; i++) {
		struct job *job = &session->jobs[i];
		int status;

		if (job->pid <= 0)
			continue;
		if (waitpid(job->pid, &status, WNOHANG) == job->pid)
			bury(session, job, status);
		else
			end_if_it_hangs(job);
		any |= job->pid > 0;
	}
	return any;
}

static void add_tally(struct tally *to, const struct tally *from)
{
	to->stream_bytes += from->stream_bytes;
	to->datagrams += from->datagrams;
	to->connections += from->connections;
	to->failed_connections += from->failed_connections;
	for (unsigned i = 0; i < TOW_SIM_FATE_COUNT; i++)
		to->fates[i] += from->fates[i];
	to->retransmits += from->retransmits;
	to->timeouts += from->timeouts;
	to->fast_recoveries += from->fast_recoveries;
	to->virtual_us += from->virtual_us;
	to->steps += from->steps;
	to->revoked += from->revoked;
	to->owners_ended += from->owners_ended;
	to->sleepers += from->sleepers;
}

static void print_tally(const struct tally *tally)
{
	printf("%llu connections (%llu ended by an error they were allowed), "
	       "%llu bytes, %llu datagrams,\n%llu s of virtual time in %llu "
	       "steps; resent %llu, timeouts %llu, fast recoveries %llu\n",
	       (unsigned long long)tally->connections,
	       (unsigned long long)tally->failed_connections,
	       (unsigned long long)tally->stream_bytes,
	       (unsigned long long)tally->datagrams,
	       (unsigned long long)tally->virtual_us / 1000000,
	       (unsigned long long)tally->steps,
	       (unsigned long long)tally->retransmits,
	       (unsigned long long)tally->timeouts,
	       (unsigned long long)tally->fast_recoveries);
	printf("%llu owners ended, %llu loans revoked, %llu readers stalled\n",
	       (unsigned long long)tally->owners_ended,
	       (unsigned long long)tally->revoked,
	       (unsigned long long)tally->sleepers);
	printf("packets:");
	for (unsigned i = 0; i < TOW_SIM_FATE_COUNT; i++)
		if (tally->fates[i])
			printf(" %s %llu", tow_sim_fate_name(i),
			       (unsigned long long)tally->fates[i]);
	printf("\n");
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int sum_up(const struct session *session, double took_s)
{
	struct tally tally = { 0 };
	uint64_t played = session->dead, failed = session->dead;

	for (unsigned i = 0; i < session->job_count; i++) {
		played += session->jobs[i].played;
		failed += session->jobs[i].failed;
		add_tally(&tally, &session->jobs[i].tally);
	}
	if (!session->options.quiet)
		print_tally(&tally);
	if (!session->options.quiet || failed)
		printf("%llu scenarios, %llu failed, %.1f s\n",
		       (unsigned long long)played, (unsigned long long)failed,
		       took_s);
	return failed ? EXIT_FAILED : EXIT_OK;
}

static int run_jobs(struct session *session)
{
	const struct timespec pause = { 0, LOOK_MS * 1000000 };
	double began_s = seconds();

	session->jobs =
		mmap(NULL, JOBS_MAX * sizeof(struct job),
		     PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (session->jobs == MAP_FAILED) {
		perror("tow sim: mmap");
		return EXIT_FAILED;
	}
	for (unsigned i = 0; i < session->job_count; i++) {
		session->jobs[i].seed = session->range.first + i;
		start(session, &session->jobs[i]);
	}
	while (look_after(session))
		nanosleep(&pause, NULL);
	return sum_up(session, seconds() - began_s);
}

static int complain_of_profile(const char *name)
{
	const char *names[NAMES_MAX], *nearest;
	unsigned i;

	for (i = 0; i < NAMES_MAX && profile_at(i); i++)
		names[i] = profile_at(i)->name;
	nearest = nearest_word(name, names, i);
	if (nearest)
		fprintf(stderr,
			"tow sim: no profile '%s'; did you mean '%s'?\n", name,
			nearest);
	else
		fprintf(stderr,
			"tow sim: no profile '%s'; see `tow help sim`\n", name);
	return EXIT_USAGE;
}

/* The scenario itself opens it late, and a failure there is a scenario's. */
static int check_capture(const char *path)
{
	struct stat st;
	int fd;

	if (stat(path, &st) == 0 && S_ISFIFO(st.st_mode))
		return EXIT_OK; /* its reader takes a close for the end */
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0) {
		fprintf(stderr, "tow sim: --pcap %s: %s\n", path,
			strerror(errno));
		return EXIT_FAILED;
	}
	close(fd);
	return EXIT_OK;
}

/* Returns: an exit status, after a complaint if it is not EXIT_OK. */
static int check_options(struct session *session)
{
	const struct sim_options *options = &session->options;
	uint64_t seeds;

	session->profile = profile_find(options->profile);
	if (!session->profile)
		return complain_of_profile(options->profile);
	if (!parse_range(options->seeds, &session->range)) {
		fprintf(stderr,
			"tow sim: --seeds wants A..B, as in 1..1000, "
			"not '%s'\n",
			options->seeds);
		return EXIT_USAGE;
	}
	seeds = session->range.last - session->range.first;
	if (options->pcap && seeds) {
		fprintf(stderr, "tow sim: --pcap wants a single seed, as in "
				"--seeds 7..7\n");
		return EXIT_USAGE;
	}
	session->job_count = (unsigned)options->jobs;
	if (seeds < session->job_count)
		session->job_count = (unsigned)seeds + 1;
	return options->pcap ? check_capture(options->pcap) : EXIT_OK;
}

static uint64_t processors(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > JOBS_MAX ? JOBS_MAX : (uint64_t)n;
}

int cmd_sim(int argc, char **argv)
{
	struct session session = {
		.options = { .seeds = "1..1000",
			     .profile = "mixed",
			     .jobs = processors() },
	};
	struct option_list arguments = { .count = 0 };
	struct grammar grammar = sim_grammar;
	char notes[NOTES_BYTES];
	int status;

	write_notes(notes, sizeof(notes));
	grammar.notes = notes;
	status = (int)options_parse(&grammar, argc, argv, &session.options,
				    &arguments);
	if (status != OPTIONS_RUN)
		return status;
	status = check_options(&session);
	return status == EXIT_OK ? run_jobs(&session) : status;
}
