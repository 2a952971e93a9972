#include "netns.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

bool own_network(void)
{
    return system("command -v ip >/dev/null") == 0 && unshare(CLONE_NEWNET) == 0 &&
           system("ip link set lo up") == 0;
}

void ip(const char *args)
{
    char line[256];
    snprintf(line, sizeof line, "ip %s", args);
    cr_assert(system(line) == 0, "%s", line);
}

void ip_batch(const char *lines)
{
    FILE *f = popen("ip -batch -", "w");
    cr_assert(f && fputs(lines, f) >= 0 && pclose(f) == 0, "ip -batch");
}
