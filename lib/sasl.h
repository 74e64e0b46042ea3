#ifndef SASL_H
#define SASL_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
enum { SASL_NAME_MAX = 255, SASL_PASSWORD_MAX = 1024 };
ssize_t base64_decode(char *out, size_t size, const char *in, size_t n);
bool base64_valid(const char *s);
bool sasl_plain(char *msg, size_t n, const char **user, const char **password);
bool sasl_name_valid(const char *s, size_t n);
bool sasl_password_valid(const char *s, size_t n);
#endif
