/* The table of settings: names, defaults, types; reading and printing one value.  For config.c.  */
#ifndef SETTING_H
#define SETTING_H

#include "config.h"

/* The index of a setting, by its name or by the offset of its field; -1 if there is none.  */
int setting_find(const char *name);
int setting_at(size_t offset);

/* Its name; NULL behind the last.  */
const char *setting_name(int i);

/* Set one field to `value`, which must stay where it is; NULL stands for the default.  Returns NULL, or what is expected instead.  */
const char *setting_set(struct config *cf, int i, const char *value);

/* Print the value.  */
void setting_print(const struct config *cf, int i);

extern const char *const setting_profiles[];    /* in the order of enum profile */

#endif
