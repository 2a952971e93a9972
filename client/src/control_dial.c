/* The control socket from the other side: plain blocking calls, for programs that do nothing else
 * meanwhile. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "profile.h"

enum { GREETING_MAX = 256, GREETING_S = 10 };

static int set_timeout(int fd, time_t seconds)
{
    struct timeval tv = {.tv_sec = seconds};
    return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv) == 0 ? 0 : PEAL_E_IO;
}

/* Without a greeting nothing was asked, so that all may be tried again. */
static int await_greeting(int fd)
{
    char line[GREETING_MAX];
    size_t n = 0;
    while (n < sizeof line) {
        ssize_t got = read(fd, line + n, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return PEAL_E_UNAVAILABLE;
        if (got <= 0)
            return PEAL_E_NOT_FOUND;
        if (line[n] == '\n')
            break;
        n++;
    }
    json_t *hello = n < sizeof line ? json_loadb(line, n, 0, NULL) : NULL;
    bool ok = json_is_string(json_object_get(hello, "peal"));
    json_decref(hello);
    return ok ? 0 : PEAL_E_MALFORMED;
}

int control_dial(const char *dir, int *fd, char why[static CLIENT_WHY_MAX])
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int err = profile_control(dir, false, addr.sun_path);
    if (err != 0) {
        (void)snprintf(why, CLIENT_WHY_MAX, "nobody serves the profile %.300s", dir);
        return err;
    }
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0) {
        (void)snprintf(why, CLIENT_WHY_MAX, "%s", strerror(errno));
        return PEAL_E_IO;
    }
    err = set_timeout(s, GREETING_S);
    if (err == 0 && connect(s, (const struct sockaddr *)&addr, sizeof addr) != 0)
        err = errno == ENOENT || errno == ECONNREFUSED ? PEAL_E_NOT_FOUND : PEAL_E_IO;
    if (err == 0)
        err = await_greeting(s);
    if (err == 0)
        err = set_timeout(s, 0);
    if (err != 0) {
        (void)snprintf(why, CLIENT_WHY_MAX, "%s: %s", addr.sun_path,
                       err == PEAL_E_UNAVAILABLE
                           ? "the client that runs on this profile does not answer"
                           : "nobody serves there");
        close(s);
        return err;
    }
    *fd = s;
    return 0;
}
