#ifndef XTEXT_H
#define XTEXT_H
#include <stdbool.h>
#include <stddef.h>
bool xtext_decode(char *s);
bool xtext_encode(char *out, size_t size, const char *s);
#endif
