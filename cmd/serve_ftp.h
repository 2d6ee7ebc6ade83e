/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVE_FTP_H
#define SERVE_FTP_H

#include "file_send.h"
#include "ftp_command.h"
#include "ftp_format.h"
#include "ftp_path.h"
#include "ftp_users.h"
#include "serve.h"

/*
 * FTP in the file server: RFC 959, 1123 4.1, 2389, 2428, 2577, 2640, 3659.
 *
 *	client                               tow serve
 *	  |  control: commands, replies        |
 *	  +----------------------------------->| port 21      struct ftp_session
 *	  |  EPSV                              |
 *	  |  229 Entering … (|||50123|)        |
 *	  |  data: one file or listing         |
 *	  +===================================>| port 50123   struct ftp_data
 *	                                         listens for this client alone,
 *	                                         for one connection, and closes
 *
 *	serve_ftp.c     the service: listening, limits, draining
 *	ftp_session.c   a control connection: input, replies, states, its end
 *	ftp_verbs.c     what each command does
 *	ftp_login.c     USER and PASS
 *	ftp_work.c      what workers do with files and directories
 *	ftp_data.c      data connections, and what is sent by them
 *	ftp_store.c     uploads
 *
 *	ftp_command.c   lines and commands       )
 *	ftp_path.c      paths                    ) pure
 *	ftp_format.c    listings                 )
 *	ftp_users.c     the password file
 */

/* Limits, so that no client can take more than its share. */
#define FTP_LOGIN_US	60000000 /* from the greeting to a login */
#define FTP_ACCEPT_US	30000000 /* for the client to open a data connection */
#define FTP_LINGER_US	2000000	 /* for the peer's FIN after ours */
#define FTP_PAUSE_US	1000000	 /* before a wrong password is told, times */
#define FTP_FAILURES	3	 /* how many there were; then it is over */
#define FTP_BACKLOG	64
#define FTP_STAT_MAX	1000  /* lines of a listing on the control connection */
#define FTP_REPLIES_MAX 65536 /* bytes that a client may leave unread */

struct ftp_settings {
	uint64_t port;
	uint64_t port_first, port_last; /* of data connections */
	uint64_t sessions_max;
	uint64_t client_max; /* sessions of one address */
	uint64_t idle_s;
	const char *users; /* a file, or NULL */
};

struct ftp_counts {
	uint64_t sessions, refused, logins, logins_failed;
	uint64_t downloads, uploads, listings, broken_off;
	uint64_t sent_bytes, received_bytes, placed_bytes;
};

struct ftp_server {
	struct service service;
	struct server *server;
	struct handler handler; /* of the listener's events */
	struct ftp_settings settings;
	struct ftp_users *users;
	struct tow_listener *listener;
	struct list sessions; /* of struct ftp_session */
	struct list datas;    /* of struct ftp_data */
	struct list dead;     /* sessions that nothing refers to any more */
	struct list dead_datas;
	unsigned session_count;
	struct ftp_counts counts;
};

/*
 * States of a session. In each, one side owes the next move.
 *
 *	  accept         a worker's job           QUIT, a limit
 *	    |          +----------------+              |
 *	    v          v                |              v
 *	  COMMAND --> WORKING --> (reply)           CLOSING
 *	    |  ^                                       |
 *	    |  +---------+                             v
 *	    +--> PAUSING |  a login failed           GONE: freed, when no job
 *	    +--> MOVING -+  a transfer                     refers to it
 *
 * A command that comes while another is carried out waits in the reader, and
 * what is behind it in the connection's window. Only a transfer lets some
 * commands through: those that are marked FTP_AT_ONCE.
 */
enum ftp_state {
	FTP_COMMAND,
	FTP_WORKING,
	FTP_PAUSING,
	FTP_MOVING,
	FTP_CLOSING,
	FTP_GONE,
};

struct ftp_session {
	struct handler handler;
	struct list link; /* in ftp->sessions or ftp->dead */
	struct ftp_server *ftp;
	struct server *server;
	struct tow_tcp *tcp; /* NULL once closed */
	enum ftp_state state;
	struct tow_endpoint local, remote;
	char peer[TOW_ADDR_TEXT_MAX];
	unsigned jobs; /* of workers that know us */

	/* Input: what is left of the span that was borrowed last. */
	const uint8_t *in;
	size_t in_bytes;
	bool peer_done; /* its FIN was read */
	struct ftp_reader reader;

	struct text out;   /* replies that the stack did not take yet */
	size_t out_sent;   /* of them */
	uint64_t since_us; /* in this state, or of the last command */
	uint64_t until_us; /* PAUSING */
	uint64_t connected_us;
	bool ends;    /* no more commands: close when all is sent */
	bool running; /* ftp_session_run() is at it */

	/* Who it is. */
	char user[FTP_USER_MAX]; /* "" before USER */
	bool logged_in, anonymous;
	unsigned failures;

	/* What the commands so far have set. */
	char working[FTP_PATH_MAX]; /* the directory */
	char type;		    /* 'A', 'I': as RFC 959 wants it, 'A' */
	uint64_t rest;		    /* for the next RETR or STOR */
	uint64_t announced_bytes;   /* by ALLO, for the next STOR; or 0 */
	unsigned facts;
	bool epsv_all; /* EPSV ALL: nothing else from now on (RFC 2428 4) */
	char rename_from[FTP_PATH_MAX]; /* "": no RNFR right before */

	struct ftp_upload *upload; /* WORKING: its file is being opened */

	/* The transfer, and its line in the log. */
	struct ftp_data *data;
	enum ftp_verb verb;
	char path[FTP_PATH_MAX]; /* what it is about */
};

enum ftp_data_state {
	DATA_WAITING,	/* listens, or was connected and has no command */
	DATA_SENDING,	/* a file or a listing goes out */
	DATA_FLUSHING,	/* our FIN is sent: until all is acknowledged */
	DATA_RECEIVING, /* an upload comes in */
	DATA_STORING,	/* and gets its name */
	DATA_GONE,	/* closed; loans refer to it */
};

enum ftp_task {
	TASK_NONE, /* the command has not come, or its file is not open yet */
	TASK_FILE,
	TASK_TEXT,
	TASK_STORE,
};

struct ftp_data {
	struct handler handler;	  /* of the connection's events */
	struct handler listening; /* of the listener's */
	struct list link;	  /* in ftp->datas or ftp->dead_datas */
	struct ftp_server *ftp;
	struct ftp_session *session; /* NULL when GONE */
	struct tow_listener *listener;
	struct tow_tcp *tcp;
	enum ftp_data_state state;
	enum ftp_task task;

	/* Sending. */
	struct file_sender file;
	uint64_t offset; /* where it began, of the file or text */
	uint64_t bytes;	 /* to be sent, from there on */
	uint64_t queued_bytes;
	struct text text;
	unsigned text_loans;

	struct ftp_upload *upload;

	uint64_t since_us; /* of the last progress */
	uint64_t mark;	   /* bytes that had moved at since_us */
};

/* serve_ftp.c */
void ftp_server_init(struct ftp_server *ftp, struct server *server,
		     const struct ftp_settings *settings,
		     struct ftp_users *users); /* takes @users */

/* ftp_session.c */
void ftp_session_add(struct ftp_server *ftp, struct tow_tcp *tcp);
void ftp_session_run(struct ftp_session *session);
void ftp_session_enter(struct ftp_session *session, enum ftp_state state);
void ftp_session_finish(struct ftp_session *session); /* after the replies */
void ftp_session_end(struct ftp_session *session, bool hard);
void ftp_session_release(struct ftp_session *session); /* a job came back */
void ftp_session_free(struct ftp_session *session);
void ftp_session_check_limits(struct ftp_session *session);
void ftp_session_drain(struct ftp_session *session);

/*
 * Replies. A code is three digits; the text is one line, in our words. Names
 * and what clients wrote goes through ftp_format_quoted() into session->out,
 * between ftp_reply_begin() and ftp_reply_end().
 */
void ftp_reply(struct ftp_session *session, int code, const char *format, ...)
	TOW_PRINTF(3, 4);
void ftp_reply_begin(struct ftp_session *session, int code);
void ftp_reply_end(struct ftp_session *session);
void ftp_reply_errno(struct ftp_session *session, int error);
int ftp_code_of_errno(int error);

/* A transfer begins: from here on the session is MOVING. */
void ftp_session_move(struct ftp_session *session, enum ftp_verb verb,
		      const char *path);

/* A transfer is over: its reply, its line in the log, the next command. */
void ftp_session_moved(struct ftp_session *session, int code, const char *text);
void ftp_session_log(struct ftp_session *session, const char *verb,
		     const char *path, int code, uint64_t bytes);

/* ftp_verbs.c */
void ftp_verbs_run(struct ftp_session *session,
		   const struct ftp_command *command);
bool ftp_session_may_write(const struct ftp_session *session);

/* ftp_login.c */
void ftp_login_user(struct ftp_session *session, const char *name);
void ftp_login_password(struct ftp_session *session, const char *password);
void ftp_login_fail(struct ftp_session *session); /* the pause is over */

/*
 * ftp_work.c: a job of a worker, for one command
 *
 * The session is WORKING until then() is called, on the stack's thread; it
 * replies, or begins a transfer. Of a session that ended meanwhile nobody is
 * told.
 */
struct ftp_job {
	struct job job;
	struct ftp_session *session;
	struct server *server;
	void (*then)(struct ftp_session *session, struct ftp_job *job);

	/* What is wanted. */
	char path[FTP_PATH_MAX];
	char target[FTP_PATH_MAX]; /* of a rename */
	enum ftp_verb verb;	   /* LIST, NLST, MLSD, STAT */
	char folder[FTP_PATH_MAX]; /* NLST: in front of each name */
	bool hidden, writable;
	unsigned facts;
	time_t now;
	uint64_t offset; /* where a transfer is to begin */
	uint64_t announced_bytes;
	bool is_long; /* it moves bytes of files */

	/* What it came to. */
	int error; /* a negative errno */
	struct dir_entry entry;
	bool has_pages;
	struct file_pages pages;
	struct text text;
	int dir_fd;		 /* uploads: of the directory, or -1 */
	char part[NAME_MAX + 1]; /* in it, with what is kept; or "" */
};

struct ftp_job *ftp_job_new(struct ftp_session *session, const char *path);
void ftp_job_submit(struct ftp_job *job, void (*work)(struct job *job),
		    void (*then)(struct ftp_session *session,
				 struct ftp_job *job));
void ftp_work_look(struct job *job);   /* what is there? -> entry */
void ftp_work_open(struct job *job);   /* a file to read -> pages, entry */
void ftp_work_list(struct job *job);   /* -> text */
void ftp_work_delete(struct job *job); /* DELE, RMD */
void ftp_work_mkdir(struct job *job);
void ftp_work_rename(struct job *job);

/* The directory that a path's last name is in, or a negative errno. */
int ftp_work_open_parent(const struct ftp_job *job, const char *path,
			 char name[NAME_MAX + 1]);

/* ftp_data.c */
int ftp_data_listen(struct ftp_session *session, uint16_t *port);
void ftp_data_send_file(struct ftp_session *session, struct file_map *map,
			uint64_t offset);
void ftp_data_send_text(struct ftp_session *session, struct text *text);
void ftp_data_receive(struct ftp_session *session, struct ftp_upload *upload);
void ftp_data_end(struct ftp_data *data, bool hard);
void ftp_data_fail(struct ftp_data *data, int code, const char *text);
void ftp_data_release(struct ftp_data *data);
void ftp_data_check_limits(struct ftp_data *data);
uint64_t ftp_data_moved_bytes(const struct ftp_data *data);
bool ftp_data_is_open(const struct ftp_data *data);

/* ftp_store.c */
void ftp_store_begin(struct ftp_session *session, enum ftp_verb verb,
		     const char *argument);
void ftp_store_take(struct ftp_data *data);	 /* the connection is there */
void ftp_store_round(struct ftp_data *data);	 /* at the end of each round */
void ftp_store_close(struct ftp_upload *upload); /* before the connection */
uint64_t ftp_store_bytes(const struct ftp_upload *upload); /* that came */
bool ftp_store_waits(const struct ftp_upload *upload);	   /* for our disk */

#endif
