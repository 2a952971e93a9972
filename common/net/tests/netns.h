/* A network of a test's own: a fresh network namespace (network_namespaces(7)), in which a test may
 * add and remove what it likes. Criterion runs each test in a process of its own. */
#ifndef NETNS_H
#define NETNS_H

#include <stdbool.h>

/* Moves this process into a new network namespace and brings its loopback interface up. False
 * without the right or without ip(8): then the test is to be skipped. */
bool own_network(void);
/* Runs "ip ARGS", which must succeed. */
void ip(const char *args);
/* Runs the lines of a batch, "ip -batch". */
void ip_batch(const char *lines);

#endif
