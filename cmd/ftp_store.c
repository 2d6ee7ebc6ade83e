/* SPDX-License-Identifier: BSD-2-Clause */
#include "serve_ftp.h"

void ftp_store_take(struct ftp_data *d)
{
	(void)d;
}
void ftp_store_stop(struct ftp_data *d)
{
	(void)d;
}
void ftp_data_round(struct ftp_data *d)
{
	(void)d;
}
bool ftp_store_waits(const struct ftp_data *d)
{
	(void)d;
	return false;
}
bool ftp_store_holds(const struct ftp_data *d)
{
	(void)d;
	return false;
}
