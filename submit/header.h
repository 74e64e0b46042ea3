/* The header of a message as a program hands it to sendmail(8): its fields, and the addresses in them (RFC 5322 2.2, 3.4; RFC 6532).  */
#ifndef HEADER_H
#define HEADER_H

#include <stdbool.h>
#include <stddef.h>

/* One field, in the text; none of it is copied.  */
struct field {
	const char *start, *end;        /* with its continuation lines and the line end */
	size_t name;                    /* octets of the name */
	const char *value;              /* behind the colon */
};

/* The next field at *s, which moves on; lines end with LF or CR LF.  False at the end of the header: the empty line, `end`, or a line that is no field, where
 * *s then stands.  */
bool field_next(const char **s, const char *end, struct field *f);
bool field_is(const struct field *f, const char *name);

enum address_kind { ADDRESS_END, ADDRESS_GOOD, ADDRESS_BAD /* text is what could not be read, cut to fit */ };

/* The next address of a list between *s and end: of groups the members; without comments, display names, route and brackets; quotes of the local part stay.
 * text gets at most size - 1 octets, no control characters.  "<>" and empty members are passed over.  */
enum address_kind address_next(const char **s, const char *end, char *text, size_t size);

#endif
