/* SPDX-License-Identifier: MIT */
#include "transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "clock.h"
#include "data.h"
#include "lmtp.h"
#include "secure.h"

/* RFC 5321 4.5.3.2, where command_timeout is 5 minutes and data_timeout 3.  */
enum { PIPELINED = 100, RCPTS = 100, END_FACTOR = 2 /* of the wait for the answer to the message */ };

struct talk {
	struct letter *l;
	struct peer_at *p;
	struct hop hop;
	struct secured tls;
	pid_t child;            /* carries TLS; 0: none */
	int fd;                 /* -1: none */
	bool again;             /* it has taken other messages */
	unsigned mails;         /* transactions begun */
	bool ours;              /* that there is no TLS: no reason to go without */
};

static struct talk talk = { .fd = -1 };

static void say_reply(char out[LETTER_TEXT], const struct talk *t, const struct reply *r) { letter_say(out, r->code, r->status, t->p->name, r->text); }

/* The server is of no use: in its words if it has said any, else in ours.  */
static enum transfer_result next(struct talk *t, const struct reply *r, const char *otherwise)
{
	if (r && t->hop.open) say_reply(t->p->why, t, r);
	else if (t->hop.parting) letter_say(t->p->why, 421, t->hop.parting->status, t->p->name, t->hop.parting->text);
	else letter_say(t->p->why, OUR_LATER, "4.4.2", t->p->name, t->hop.why ? t->hop.why : otherwise);
	return TRANSFER_NEXT;
}

static const char *our_name(const struct config *cf) { return *cf->helo_name ? cf->helo_name : cf->hostname; }

/* --- TLS and AUTH --- */

/* RFC 8314: there is nothing else on this port.  */
static bool tls_first(const struct talk *t) { return strcmp(t->p->route.port, "465") == 0; }

static enum transfer_result no_tls(struct talk *t, const char *why)
{
	char text[300];
	if (t->ours) return letter_say(t->p->why, OUR_LATER, "4.3.0", t->p->name, why), TRANSFER_NEXT;
	if (t->p->route.policy < POLICY_ENCRYPT && !tls_first(t)) return TRANSFER_PLAIN;
	bool by_password = t->p->route.authenticate && t->l->cf->tls_policy < POLICY_ENCRYPT;
	snprintf(text, sizeof text, "TLS is required (%s) and cannot be had: %.200s", t->p->route.policy < POLICY_ENCRYPT ? "port 465" : by_password ? "relay_auth" : "tls_policy", why);
	letter_say(t->p->why, OUR_LATER, "4.7.5", t->p->name, text);
	return TRANSFER_NEXT;
}

/* From here on all is said within TLS.  NULL, or why not.  */
static const char *secure(struct talk *t)
{
	const struct config *cf = t->l->cf;
	t->fd = secure_start(t->fd, t->p->name, "", t->p->route.policy == POLICY_VERIFY, cf->sandbox, (unsigned)cf->command_timeout, &t->tls, &t->child);
	t->ours = t->fd == -2;
	return t->fd < 0 ? t->tls.why : NULL;
}

static enum transfer_result begin_tls(struct talk *t)
{
	bool must = t->p->route.policy >= POLICY_ENCRYPT, wanted = t->p->route.policy != POLICY_NONE && !t->p->plain && !t->child;
	if (!wanted) return TRANSFER_DONE;
	if (!t->hop.starttls) return must ? no_tls(t, "the server does not offer it") : TRANSFER_DONE;
	const struct reply *r = hop_command(&t->hop, "STARTTLS");
	if (r->code != 220 || !t->hop.open) {
		if (!t->hop.open || must) return no_tls(t, r->text);
		return TRANSFER_DONE;   /* it changed its mind, and the dialogue goes on */
	}
	const char *why = secure(t);
	if (why) return no_tls(t, why);
	return hop_again(&t->hop, t->fd, our_name(t->l->cf)) ? TRANSFER_DONE : next(t, &t->hop.reply.reply, "it does not greet within TLS");
}

/* "user:password", the first line of the file.  NULL, or why not.  */
static const char *read_secret(const char *file, char secret[512])
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, secret, 511) : -1;
	int e = errno;
	if (fd >= 0) close(fd);
	if (n < 0) return e == EACCES ? "Permission denied: the owner of the queue has to be able to read it" : strerror(e);
	secret[n] = '\0';
	secret[strcspn(secret, "\r\n")] = '\0';
	return strchr(secret, ':') ? NULL : "expected user:password in its first line";
}

static void encode(char *out, size_t size, const char *text, size_t n) { b64_ntop((const unsigned char *)text, n, out, size); }

static bool offers(const struct talk *t, const char *mechanism)
{
	size_t n = strlen(mechanism);
	for (const char *s = t->hop.mechanisms; *(s += strcspn(s, " =")) && *++s;)
		if (strncasecmp(s, mechanism, n) == 0 && (s[n] == '\0' || s[n] == ' ')) return true;
	return false;
}

/* With the relay's password: PLAIN, or LOGIN.  */
static enum transfer_result log_in(struct talk *t)
{
	char secret[512], plain[1100], line[1600], text[300];
	const char *file = t->l->cf->relay_auth;
	if (!t->p->route.authenticate) return TRANSFER_DONE;
	if (!offers(t, "PLAIN") && !offers(t, "LOGIN")) {       /* some tell in their reply what they did not understand, and that goes to the log and the sender */
		letter_say(t->p->why, OUR_LATER, "4.7.0", t->p->name, "the server does not take relay_auth: it offers neither AUTH PLAIN nor LOGIN");
		return TRANSFER_NEXT;
	}
	const char *why = read_secret(file, secret);
	if (why) {
		snprintf(text, sizeof text, "relay_auth = %.150s: %s", file, why);
		letter_say(t->p->why, OUR_LATER, "4.7.0", t->p->name, text);
		return TRANSFER_NEXT;
	}
	char *password = strchr(secret, ':');
	*password++ = '\0';
	const struct reply *r;
	if (offers(t, "PLAIN")) {
		int n = snprintf(plain + 1, sizeof plain - 1, "%s%c%s", secret, '\0', password) + 1;
		plain[0] = '\0';
		memcpy(line, "AUTH PLAIN ", 11);
		encode(line + 11, sizeof line - 11, plain, (size_t)n);
		r = hop_command(&t->hop, line);
	} else {
		r = hop_ask(&t->hop, "AUTH LOGIN", 334);
		encode(line, sizeof line, secret, strlen(secret));
		if (r->code == 334) r = hop_ask(&t->hop, line, 334);
		encode(line, sizeof line, password, strlen(password));
		if (r->code == 334) r = hop_ask(&t->hop, line, 235);
	}
	explicit_bzero(secret, sizeof secret);
	explicit_bzero(plain, sizeof plain);
	explicit_bzero(line, sizeof line);
	if (r->code == 235 && t->hop.open) return TRANSFER_DONE;
	if (!t->hop.open) return next(t, NULL, "AUTH failed");
	/* a wrong password is for the administrator to mend, and no reason to lose mail */
	snprintf(text, sizeof text, "relay_auth is refused: %d %.250s", r->code, r->text);
	letter_say(t->p->why, OUR_LATER, "4.7.8", t->p->name, text);
	return TRANSFER_NEXT;
}

/* --- a transaction --- */

static void to_hop(void *ctx, const char *p, size_t n) { hop_write(ctx, p, n); }

/* The message with CRLF line ends, behind what is put in front of it.  What was not from a network may hold a bare CR, which must not get into one (P4), or a NUL.  NULL, or
 * why it cannot be sent.  */
static const char *write_message(struct talk *t, bool *unfit)
{
	static char buf[65536];
	struct data d = { .newline = NL_SUBMIT, .sink = to_hop, .ctx = &t->hop };
	off_t at = 0;
	bool end;
	data_feed(&d, t->l->prepend, strlen(t->l->prepend), &end);
	while (!d.bad) {
		ssize_t n = pread(t->l->message, buf, sizeof buf, at);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return "our copy of the message cannot be read";
		if (n == 0) break;
		data_feed(&d, buf, (size_t)n, &end);
		at += n;
	}
	bool whole_line = d.state == DATA_LINE;
	data_finish(&d);
	if (!whole_line) hop_write(&t->hop, "\r\n", 2);
	*unfit = d.bad;
	return d.bad ? "the message holds a NUL" : NULL;
}

/* Whether it may have had enough, which is no word on this message: it may take it over another connection.  Some say so with 5xx, and that would lose it (P9).  */
static bool weary(const struct talk *t, const struct reply *r) { return t->again && r == &t->hop.mail_reply.reply && r->code / 100 != 2; }

/* "Too many recipients": in another transaction, where this one is the first, it hears what is meant.  RFC 5321 4.5.3.1.10 asks to take the code of RFC 821 so too.  */
static bool too_many(const struct talk *t, const struct reply *r)
{
	if (t->hop.accepted == 0 || (r->code != 452 && r->code != 552)) return false;
	return strcmp(r->status + 1, ".5.3") == 0 || strcmp(r->status + 1, ".0.0") == 0;
}

/* This one's part is over, or another host's, if this one only puts him off.  */
static void answered(struct talk *t, struct letter_rcpt *r, int code)
{
	r->put_off = code / 100 == 4 && t->p->more;
	r->done = !r->put_off;
}

/* What the recipients [*due..stop) that were offered hear.  */
static void settle(struct talk *t, size_t *due, size_t stop, bool offered[])
{
	for (; *due < stop; ++*due) {
		struct letter_rcpt *r = &t->l->rcpt[*due];
		if (!offered[*due]) continue;
		const struct reply *answer = hop_settle(&t->hop);
		bool heard = t->hop.open || answer->code / 100 == 5;
		if (answer->code / 100 == 2 && t->hop.open) continue;
		offered[*due] = false;
		if (weary(t, answer)) t->hop.open = heard = false;
		if (!heard || too_many(t, answer)) continue;
		say_reply(r->result, t, answer);
		answered(t, r, answer->code);
	}
}

/* `unfit`: no server will take this message.  */
static void outcome(struct talk *t, const bool offered[], const struct reply *r, bool unfit)
{
	char said[LETTER_TEXT];
	bool heard = t->hop.open || unfit || r != REPLY(LOCAL_ERROR);
	if (unfit) letter_say(said, OUR_NEVER, "5.6.0", t->p->name, t->hop.why);
	else if (heard) say_reply(said, t, r);
	else letter_say(said, OUR_LATER, "4.4.2", t->p->name, t->hop.ended ? "no answer to the whole message: it may have been delivered, and will be sent again" : t->hop.why ? t->hop.why : "the connection was lost");
	for (size_t i = 0; i < t->l->count; i++) {
		if (!offered[i]) continue;
		strcpy(t->l->rcpt[i].result, said);
		if (heard) answered(t, &t->l->rcpt[i], unfit ? OUR_NEVER : r->code);
		else t->l->rcpt[i].done = t->hop.ended;
		t->l->rcpt[i].reports = heard && r->code / 100 == 2 && t->hop.dsn;
	}
	t->l->told(t->l);
}

/* One message for as many of the recipients as one transaction takes.  Returns how many got an answer.  */
static size_t transact(struct talk *t, bool offered[])
{
	struct letter *l = t->l;
	size_t n = 0, due = 0, i, before = letter_settled(l), most = t->hop.rcpt_max && t->hop.rcpt_max < RCPTS ? t->hop.rcpt_max : RCPTS;
	t->mails++;
	memset(offered, 0, l->count * sizeof *offered);
	hop_mail(&t->hop, &(struct hop_mail){ .from = l->from, .size = l->size, .smtputf8 = l->utf8, .eightbit = l->eightbit || l->utf8, .auth = "", .dsn = &l->dsn });
	for (i = 0; i < l->count && n < most; i++) {
		if (l->rcpt[i].done || l->rcpt[i].put_off) continue;
		hop_rcpt(&t->hop, l->rcpt[i].address, &l->rcpt[i].dsn);
		offered[i] = true;
		if (++n % PIPELINED == 0 || !t->hop.pipelining) settle(t, &due, i + 1, offered);
	}
	settle(t, &due, i, offered);
	const struct reply *r = t->hop.accepted > 0 ? hop_begin(&t->hop) : NULL;
	bool unfit = false;
	const char *trouble = t->hop.accepted > 0 && !r ? write_message(t, &unfit) : NULL;
	if (trouble) {          /* nothing but the end of the connection ends what has begun */
		t->hop.why = trouble;
		t->hop.open = false;
		r = REPLY(LOCAL_ERROR);
	}
	t->hop.timeout = (unsigned)l->cf->command_timeout * END_FACTOR;
	if (t->hop.accepted > 0 && !r) r = hop_commit(&t->hop);
	t->hop.timeout = (unsigned)l->cf->command_timeout;
	if (r && r->code / 100 == 2) r = &t->hop.reply.reply;
	bool taken = r && r->code / 100 == 2;
	if (r) outcome(t, offered, r, unfit);
	if (!taken) hop_abandon(&t->hop);
	l->told(l);
	return letter_settled(l) - before;
}

static bool may_begin(const struct talk *t) { return t->hop.mail_max == 0 || t->mails < t->hop.mail_max; }

static enum transfer_result transactions(struct talk *t)
{
	bool *offered = calloc(t->l->count, sizeof *offered);
	size_t n = 1;
	while (offered && n > 0 && t->hop.open && may_begin(t) && letter_settled(t->l) < t->l->count) n = transact(t, offered);
	free(offered);
	if (letter_done(t->l)) return TRANSFER_DONE;
	return letter_settled(t->l) == t->l->count ? TRANSFER_NEXT : next(t, NULL, "it takes no more recipients");
}

/* --- one server --- */

/* Mail that comes back to us would go round for ever (RFC 5321 6.3).  A name without a dot, such as the node's, may be that of many hosts.  */
static bool is_self(const struct talk *t)
{
	const char *name = t->l->cf->hostname;
	return !t->p->self_allowed && strchr(name, '.') && strcasecmp(t->hop.name, name) == 0;
}

static enum transfer_result refuse_all(struct talk *t, const char *status, const char *text)
{
	for (size_t i = 0; i < t->l->count; i++) {
		if (t->l->rcpt[i].done) continue;
		letter_say(t->l->rcpt[i].result, OUR_NEVER, status, t->p->name, text);
		t->l->rcpt[i].done = true;
	}
	t->l->told(t->l);
	return TRANSFER_DONE;
}

static enum transfer_result begin(struct talk *t)
{
	const struct config *cf = t->l->cf;
	const char *why = tls_first(t) ? secure(t) : NULL;
	if (why) return no_tls(t, why);
	bool greeted = hop_open(&t->hop, t->fd, HOP_SMTP, (unsigned)cf->command_timeout, clock_deadline((unsigned)cf->session_timeout), our_name(cf));
	t->hop.io.write_ms = (unsigned)cf->data_timeout;
	t->hop.utf8 = t->l->utf8;
	if (!greeted && !t->hop.greeted && t->hop.reply.reply.code == 521) {    /* RFC 7504: for ever, if no other host of the domain says something else */
		t->hop.open = true;
		return next(t, &t->hop.reply.reply, "");
	}
	if (!greeted) {
		bool said = t->hop.reply.reply.code >= 400;
		t->hop.open = said;     /* its words are worth more than that it has closed */
		if (said && t->hop.reply.reply.code >= 500) t->hop.reply.reply.code -= 100;     /* another host may greet, or this one later */
		if (said && *t->hop.reply.status == '5') t->hop.reply.status[0] = '4';
		return next(t, &t->hop.reply.reply, "it does not greet");
	}
	if (is_self(t)) return refuse_all(t, "5.4.6", "the mail exchanger of the domain is this host, which does not know the domain: a mail loop");
	return TRANSFER_DONE;
}

static void told_where(const struct talk *t)
{
	printf("# %s [%s]:%s%s%s%s%s%s\n", t->p->name, t->p->address, t->p->route.port, t->child ? " " : "", t->child ? t->tls.version : "", t->child ? " " : "",
		t->child ? t->tls.cipher : "", t->child ? t->tls.verified ? " verified" : " unverified" : "");
	fflush(stdout);
}

void transfer_end(void)
{
	struct talk *t = &talk;
	if (t->hop.open && !t->hop.in_data && t->fd >= 0) {
		io_puts(&t->hop.io, "QUIT\r\n");
		io_flush(&t->hop.io);
	}
	if (t->fd >= 0) close(t->fd);
	if (t->child > 0) secure_end(t->child);
	t->fd = -1;
	t->child = 0;
	t->hop.open = false;
}

/* Who is ready for it gets the message.  */
static enum transfer_result hand_over(struct talk *t)
{
	told_where(t);
	t->hop.utf8 = t->l->utf8;
	if (t->l->utf8 && !t->hop.smtputf8 && letter_beyond_ascii(t->l)) return refuse_all(t, "5.6.7", "the host takes no internationalized mail (SMTPUTF8)");
	return transactions(t);
}

enum transfer_result transfer(struct letter *l, struct peer_at *p, int fd)
{
	struct talk *t = &talk;
	transfer_end();
	memset(t, 0, sizeof *t);
	t->l = l;
	t->p = p;
	t->fd = fd;
	for (size_t i = 0; i < l->count; i++) l->rcpt[i].put_off = false;
	enum transfer_result r = begin(t);
	p->answered = r == TRANSFER_DONE;
	bool going = r == TRANSFER_DONE && !letter_done(l);
	if (going) r = begin_tls(t);
	if (going && r == TRANSFER_DONE) r = log_in(t);
	going = going && r == TRANSFER_DONE;
	if (going) r = hand_over(t);
	p->answered &= !t->hop.late;
	if (!going || r != TRANSFER_DONE || !t->hop.open || t->hop.in_data) transfer_end();
	return r;
}

enum transfer_result transfer_again(struct letter *l)
{
	struct talk *t = &talk;
	if (t->fd < 0 || !may_begin(t)) return TRANSFER_NEXT;
	t->l = l;
	t->again = true;
	t->hop.io.end = clock_deadline((unsigned)l->cf->session_timeout);
	enum transfer_result r = hand_over(t);
	if (r != TRANSFER_DONE || !t->hop.open || t->hop.in_data) transfer_end();
	return r;
}
