/* smtp-tls, smtp-passwd and their like.  No password and no octet of the network is seen here.
 * SPDX-License-Identifier: MIT */
#include "services.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "log.h"

static char path[] = "PATH=/usr/local/bin:/usr/bin:/bin";

bool tls_open(struct helper *h, const struct config *cf, int client, const char *id, const char *peer)
{
	char text[128];
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof (int))]; } control = { 0 };
	if (!helper_open(h, cf->tls.via, cf->command_timeout)) return false;
	struct iovec text_is = { text, (size_t)snprintf(text, sizeof text, "%.50s %.60s\n", id, peer) };
	struct msghdr m = { .msg_iov = &text_is, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof (int)) };
	memcpy(CMSG_DATA(&control.head), &client, sizeof client);
	if (sendmsg(h->fd, &m, MSG_NOSIGNAL) > 0) return true;
	log_line(LEVEL_ERROR, "cannot hand the connection to %s: %s", *cf->tls.via ? cf->tls.via : "smtp-tls", strerror(errno));
	helper_close(h, true);
	return false;
}

void tls_start(struct helper *h, const struct config *cf)
{
	char credentials[512];
	const char *directory = getenv("CREDENTIALS_DIRECTORY");
	char *argv[CONFIG_ARGUMENTS + 4], *envp[4] = { path, (char *)log_environment() };
	argv[0] = *cf->tls.via ? (char *)cf->tls.via : (char *)"smtp-tls";
	config_arguments(cf, argv + 1);
	size_t n = 1;
	while (argv[n]) n++;
	argv[n] = (char *)"--starttls";
	argv[n + 1] = NULL;
	if (directory && (size_t)snprintf(credentials, sizeof credentials, "CREDENTIALS_DIRECTORY=%s", directory) < sizeof credentials) envp[2] = credentials;
	helper_start(h, argv, envp, 0);
}

bool auth_open(struct helper *h, const struct config *cf)
{
	char where[256];
	const char *dovecot = config_scheme(cf->auth.via, "dovecot:");
	snprintf(where, sizeof where, "unix:%.240s", dovecot ? dovecot : "");
	return helper_open(h, dovecot ? where : "", cf->command_timeout);
}

void auth_start(struct helper *h, const struct config *cf, const char *peer)
{
	enum { WORDS = 16, CHECKPASSWORD = 3 };
	char copy[512], address[96], *argv[WORDS + 3], *envp[4] = { path, (char *)log_environment(), address };
	const char *file = config_scheme(cf->auth.via, "file:"), *program = config_scheme(cf->auth.via, "checkpassword:");
	int argc = 0;
	if (file) {
		argv[argc++] = (char *)"smtp-passwd";
		argv[argc++] = (char *)file;
	} else {
		char *rest;
		snprintf(copy, sizeof copy, "%s", program ? program : "");
		for (char *word = strtok_r(copy, " \t", &rest); word && argc < WORDS; word = strtok_r(NULL, " \t", &rest)) argv[argc++] = word;
		argv[argc++] = (char *)"/bin/true";     /* what it executes when the password is good: most insist on something */
	}
	argv[argc] = NULL;
	snprintf(address, sizeof address, "TCPREMOTEIP=%s", peer);
	helper_start(h, argv, envp, CHECKPASSWORD);
}

enum verdict auth_verdict(struct helper *h)
{
	enum { GOOD = 0, REFUSED = 1 };
	char why[HELPER_WHY];
	if (h->pid <= 0) {              /* it could not be started */
		helper_close(h, true);
		return VERDICT_TEMPORARY;
	}
	int status = helper_close(h, false);
	if (status == GOOD) return VERDICT_YES;
	if (status == REFUSED) return VERDICT_NO;
	helper_why(status, why);
	log_line(LEVEL_ERROR, "cannot check a password: %s", why);
	return VERDICT_TEMPORARY;
}
