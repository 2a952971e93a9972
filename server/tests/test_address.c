/* Which address a server announces, and that incarnations only grow. */
#include "address.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- choosing ---- */

static struct net_addr addr(const char *text)
{
    struct net_addr a = {0};
    if (text[0] != '\0')
        cr_assert_eq(net_addr_parse(text, &a), 0, "%s is an address", text);
    return a;
}

enum { HAVE_MAX = 4 };

struct choice {
    const char *listen, *now, *have[HAVE_MAX], *want;
};

static const struct choice choices[] = {
    {"0.0.0.0:7000", "", {"127.0.0.1:0", "192.0.2.7:0"}, "192.0.2.7:7000"},
    {"0.0.0.0:7000", "", {"127.0.0.1:0"}, "127.0.0.1:7000"},
    {"0.0.0.0:7000", "", {0}, "127.0.0.1:7000"},
    /* the first in order, also when another one was announced */
    {"0.0.0.0:7000", "192.0.2.8:7000", {"192.0.2.7:0", "192.0.2.8:0"}, "192.0.2.7:7000"},
    {"0.0.0.0:7000", "192.0.2.7:7000", {"127.0.0.1:0", "192.0.2.8:0"}, "192.0.2.8:7000"},
    /* nothing to announce at the moment: nothing else is said */
    {"0.0.0.0:7000", "192.0.2.7:7000", {"127.0.0.1:0"}, "192.0.2.7:7000"},
    {"0.0.0.0:7000", "127.0.0.1:7000", {"127.0.0.1:0", "192.0.2.7:0"}, "192.0.2.7:7000"},
    /* an address that the machine gave itself is the last resort */
    {"0.0.0.0:7000", "", {"169.254.3.4:0", "192.0.2.7:0"}, "192.0.2.7:7000"},
    {"0.0.0.0:7000", "", {"127.0.0.1:0", "169.254.3.4:0"}, "169.254.3.4:7000"},
    /* IPv6 only where it is listened to, and never of link-local scope */
    {"0.0.0.0:7000", "", {"[2001:db8::7]:0"}, "127.0.0.1:7000"},
    {"[::]:7000", "", {"[::1]:0", "[fe80::1]:0", "[2001:db8::7]:0"}, "[2001:db8::7]:7000"},
    {"[::]:7000", "", {"[2001:db8::7]:0", "192.0.2.7:0"}, "192.0.2.7:7000"},
};

Test(address, the_one_that_others_can_reach)
{
    for (size_t i = 0; i < PEAL_COUNT(choices); i++) {
        const struct choice *c = &choices[i];
        struct net_addr have[HAVE_MAX], listen = addr(c->listen), now = addr(c->now), out;
        size_t n = 0;
        while (n < HAVE_MAX && c->have[n] != NULL) {
            have[n] = addr(c->have[n]);
            n++;
        }
        char text[NET_ADDR_TEXT];
        address_choose(&listen, have, n, &now, &out);
        net_addr_text(&out, text);
        cr_assert_str_eq(text, c->want, "case %zu gives %s", i, text);
    }
}

Test(address, whether_it_is_this_machines)
{
    struct net_addr have[] = {addr("192.0.2.7:0"), addr("[2001:db8::7]:0")};
    struct net_addr mine = addr("192.0.2.7:7000"), other = addr("192.0.2.8:7000"),
                    v6 = addr("[2001:db8::7]:1"), loop = addr("127.0.0.9:7000");
    cr_assert(address_is_there(&mine, have, 2), "whatever the port");
    cr_assert(address_is_there(&v6, have, 2), "IPv6 too");
    cr_assert_not(address_is_there(&other, have, 2), "not another one");
    cr_assert(address_is_there(&loop, have, 2), "all of 127.0.0.0/8");
}

/* ---- incarnations ---- */

static char dir[64], path[96], why[ADDRESS_WHY_MAX];

static void setup(void)
{
    strcpy(dir, "/tmp/peald-address-XXXXXX");
    cr_assert_not_null(mkdtemp(dir), "a folder");
    snprintf(path, sizeof path, "%s/incarnation", dir);
    why[0] = '\0';
}

static void teardown(void)
{
    unlink(path);
    rmdir(dir);
}

TestSuite(incarnation, .init = setup, .fini = teardown);

static uint64_t next(uint64_t wall_ms)
{
    uint64_t out = 0;
    cr_assert_eq(incarnation_next(path, wall_ms, &out, why), 0, "%s", why);
    return out;
}

Test(incarnation, grows_with_the_clock_and_against_it)
{
    cr_assert_eq(next(1000), 1000, "at first the time");
    cr_assert_eq(next(2000), 2000, "the time");
    cr_assert_eq(next(2000), 2001, "twice in a millisecond");
    cr_assert_eq(next(5), 2002, "a clock that went back");
    cr_assert_eq(next(3000), 3000, "and was put right");
    struct stat st;
    cr_assert_eq(stat(path, &st), 0, "the file is there");
    cr_assert_eq(st.st_mode & 0777, 0600, "its owner's only");
}

static void put(const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "written");
    close(fd);
}

Test(incarnation, a_damaged_file_is_said_and_written_anew)
{
    static const char *const bad[] = {
        "", "\n", "x\n", "12", "12 \n", "-3\n", "18446744073709551615\n", "99999999999999999999\n"};
    for (size_t i = 0; i < PEAL_COUNT(bad); i++) {
        uint64_t out = 0;
        put(bad[i]);
        cr_assert_eq(incarnation_next(path, 1000, &out, why), PEAL_E_MALFORMED, "case %zu", i);
        cr_assert_not_null(strstr(why, path), "names the file: %s", why);
        cr_assert_eq(out, 1000, "the time");
        cr_assert_eq(next(10), 1001, "case %zu: kept from now on", i);
    }
}

Test(incarnation, a_folder_that_is_not_there)
{
    uint64_t out = 0;
    cr_assert_eq(incarnation_next("/nonexistent/incarnation", 1000, &out, why), PEAL_E_IO,
                 "cannot be kept");
    cr_assert_eq(out, 1000, "the time");
    cr_assert_not_null(strstr(why, "/nonexistent/incarnation"), "names the file: %s", why);
}
