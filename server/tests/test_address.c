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

enum { HAVE_MAX = 8 };

struct choice {
    const char *listen, *now, *have[HAVE_MAX], *want; /* want: those announced, in order */
};

static const struct choice choices[] = {
    {"0.0.0.0:7000", "", {"127.0.0.1:0", "192.0.2.7:0"}, "192.0.2.7:7000"},
    {"0.0.0.0:7000", "", {"127.0.0.1:0"}, "127.0.0.1:7000"},
    {"0.0.0.0:7000", "", {0}, "127.0.0.1:7000"},
    /* all, in the system's order, also when another one was announced before */
    {"0.0.0.0:7000",
     "192.0.2.8:7000",
     {"192.0.2.7:0", "192.0.2.8:0"},
     "192.0.2.7:7000 192.0.2.8:7000"},
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
    /* IPv4 before IPv6, of which ULAs (RFC 4193) are as good as any */
    {"[::]:7000",
     "",
     {"[2001:db8::7]:0", "192.0.2.7:0", "[fd00::7]:0"},
     "192.0.2.7:7000 [2001:db8::7]:7000 [fd00::7]:7000"},
    /* an address on two interfaces is one */
    {"0.0.0.0:7000",
     "",
     {"192.0.2.7:0", "198.51.100.7:0", "192.0.2.7:0"},
     "192.0.2.7:7000 198.51.100.7:7000"},
    /* no more than four; one of IPv6 among them, if there is any */
    {"0.0.0.0:7000",
     "",
     {"10.0.0.1:0", "10.0.1.1:0", "10.0.2.1:0", "10.0.3.1:0", "10.0.4.1:0"},
     "10.0.0.1:7000 10.0.1.1:7000 10.0.2.1:7000 10.0.3.1:7000"},
    {"[::]:7000",
     "",
     {"10.0.0.1:0", "10.0.1.1:0", "10.0.2.1:0", "10.0.3.1:0", "[2001:db8::7]:0"},
     "10.0.0.1:7000 10.0.1.1:7000 10.0.2.1:7000 [2001:db8::7]:7000"},
};

static void text_of(const struct addresses *l, char out[static 512])
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < l->n; i++) {
        char one[NET_ADDR_TEXT];
        net_addr_text(&l->v[i], one);
        at += (size_t)snprintf(out + at, 512 - at, "%s%s", i == 0 ? "" : " ", one);
    }
}

Test(address, those_that_others_can_reach)
{
    for (size_t i = 0; i < PEAL_COUNT(choices); i++) {
        const struct choice *c = &choices[i];
        struct net_addr have[HAVE_MAX], listen = addr(c->listen), now = addr(c->now);
        struct addresses l = {.n = 0};
        size_t n = 0;
        if (now.ip_len != 0)
            addresses_add(&l, &now);
        while (n < HAVE_MAX && c->have[n] != NULL) {
            have[n] = addr(c->have[n]);
            n++;
        }
        char text[512];
        address_choose(&listen, have, n, &l);
        text_of(&l, text);
        cr_assert_str_eq(text, c->want, "case %zu gives %s", i, text);
    }
}

Test(address, one_that_is_passing_is_not_told_to_others)
{
    struct net_addr have[] = {addr("[2001:db8::7]:0"), addr("[2001:db8::8]:0")};
    struct net_addr listen = addr("[::]:7000");
    struct addresses l = {.n = 0};
    char text[512];
    have[0].passing = true;
    address_choose(&listen, have, PEAL_COUNT(have), &l);
    text_of(&l, text);
    cr_assert_str_eq(text, "[2001:db8::8]:7000", "%s", text);
    address_choose(&listen, have, 1, &l);
    text_of(&l, text);
    cr_assert_str_eq(text, "[2001:db8::7]:7000", "but when there is nothing else: %s", text);
}

Test(address, lists_are_equal_when_their_order_is)
{
    struct net_addr one = addr("192.0.2.7:7000"), two = addr("192.0.2.8:7000");
    struct addresses a = {.n = 0}, b = {.n = 0};
    addresses_add(&a, &one);
    cr_assert_not(addresses_eq(&a, &b), "one is not none");
    addresses_add(&a, &one);
    cr_assert_eq(a.n, 1, "not twice");
    addresses_add(&a, &two);
    addresses_add(&b, &two);
    addresses_add(&b, &one);
    cr_assert_not(addresses_eq(&a, &b), "another is preferred");
    b = a;
    cr_assert(addresses_eq(&a, &b), "the same");
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
