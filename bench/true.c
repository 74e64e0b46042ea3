/* The floor of a connection: a program that only starts and ends.  It is linked statically.
 * SPDX-License-Identifier: MIT */
int main(void) { return 0; }
