/* Addresses: what is accepted, what comes back as text, and that a refusal says what is wrong. */
#include "pair.h"

#include <stdio.h>
#include <string.h>

TestSuite(net_addr, .init = watch);

struct good {
    const char *text, *host;
    uint16_t port;
    const char *back;
};

Test(net_addr, places_that_are_accepted)
{
    static const struct good goods[] = {
        {"127.0.0.1:7001", "127.0.0.1", 7001, "127.0.0.1:7001"},
        {"[::1]:7001", "::1", 7001, "[::1]:7001"},
        {"[2001:db8::17]:1", "2001:db8::17", 1, "[2001:db8::17]:1"},
        {"node-1.example.org:65535", "node-1.example.org", 65535, "node-1.example.org:65535"},
        {"peald_2:9", "peald_2", 9, "peald_2:9"},
        {"localhost", "localhost", 4242, "localhost:4242"},
        {"[::1]", "::1", 4242, "[::1]:4242"},
        {"peal://h:1", "h", 1, "h:1"},
        {"peal://h:1/", "h", 1, "h:1"},
        {"peal://h", "h", 4242, "h:4242"},
    };
    for (size_t i = 0; i < PEAL_COUNT(goods); i++) {
        struct net_place p;
        char why[NET_REASON_MAX], back[NET_PLACE_TEXT];
        int err = net_place_parse(goods[i].text, 4242, &p, why);
        cr_assert(err == 0, "%s gives %s: %s", goods[i].text, err_name(err), why);
        cr_assert(strcmp(p.host, goods[i].host) == 0 && p.port == goods[i].port && !p.pinned,
                  "%s is read as %s, %u", goods[i].text, p.host, p.port);
        net_place_text(&p, back);
        cr_assert(strcmp(back, goods[i].back) == 0, "%s is written as %s", goods[i].text, back);
    }
}

Test(net_addr, a_pinned_place_comes_back_whole)
{
    uint8_t fp[CRY_FP_BYTES];
    for (size_t i = 0; i < sizeof fp; i++)
        fp[i] = (uint8_t)(i * 37 + 1);
    char fp_text[CRY_FP_TEXT], text[NET_PLACE_TEXT], back[NET_PLACE_TEXT], why[NET_REASON_MAX];
    cry_fp_text(fp, fp_text);
    snprintf(text, sizeof text, "peal://[fd00::2]:7001#%s", fp_text);
    struct net_place p;
    cr_assert(net_place_parse(text, 0, &p, why) == 0, "%s: %s", text, why);
    cr_assert(p.pinned && memcmp(p.fingerprint, fp, sizeof fp) == 0, "the fingerprint is read");
    net_place_text(&p, back);
    cr_assert(strcmp(back, text) == 0, "%s comes back as %s", text, back);
}

Test(net_addr, refusals_say_what_is_wrong)
{
    static const struct {
        const char *text, *says;
    } bads[] = {
        {"", "names no host"},
        {":7001", "names no host"},
        {"host", "lacks a port"},
        {"host:", "the port"},
        {"host:x", "the port"},
        {"host:70000", "the port"},
        {"host:123456", "the port"},
        {"host:-1", "the port"},
        {"[::1:7001", "bracket"},
        {"[]:7001", "names no host"},
        {"[127.0.0.1]:7001", "no IPv6 address"},
        {"[zz::1]:7001", "no IPv6 address"},
        {"::1:7001", "stands in brackets"},
        {"fe80::1:7001", "stands in brackets"},
        {"[::1]7001", "the port"},
        {"ho st:1", "no host name"},
        {"-host:1", "no host name"},
        {"host/x:1", "no host name"},
        {"peal://h:1#abc", "fingerprint"},
        {"peal://h:1#", "fingerprint"},
        {"host:1#x", "the port"},
        {"http://host:1", "stands in brackets"},
    };
    for (size_t i = 0; i < PEAL_COUNT(bads); i++) {
        struct net_place p;
        char why[NET_REASON_MAX];
        int err = net_place_parse(bads[i].text, 0, &p, why);
        cr_assert(err == PEAL_E_MALFORMED, "\"%s\" gives %s", bads[i].text, err_name(err));
        cr_assert(strstr(why, bads[i].says), "\"%s\" is refused with: %s", bads[i].text, why);
    }
    char longest[NET_HOST_MAX + 8], why[NET_REASON_MAX];
    struct net_place p;
    memset(longest, 'a', sizeof longest);
    strcpy(longest + NET_HOST_MAX, ":1");
    cr_assert(net_place_parse(longest, 0, &p, why) == 0, "the longest host: %s", why);
    strcpy(longest + NET_HOST_MAX, "a:1");
    cr_assert(net_place_parse(longest, 0, &p, why) == PEAL_E_MALFORMED, "a longer host is refused");
}

Test(net_addr, numbers_come_back_as_they_were_and_names_are_refused)
{
    static const char *const texts[] = {"0.0.0.0:0", "192.0.2.1:7001", "[::]:0",
                                        "[2001:db8::1]:65535", "[fe80::1%lo]:7001"};
    for (size_t i = 0; i < PEAL_COUNT(texts); i++) {
        struct net_addr a, again;
        char back[NET_ADDR_TEXT];
        cr_assert(net_addr_parse(texts[i], &a) == 0, "%s is an address", texts[i]);
        net_addr_text(&a, back);
        cr_assert(strcmp(back, texts[i]) == 0, "%s comes back as %s", texts[i], back);
        cr_assert(net_addr_parse(back, &again) == 0 && net_addr_eq(&a, &again), "%s is equal",
                  back);
        cr_assert(net_addr_is_any(&a) == (i == 0 || i == 2), "any: %s", texts[i]);
    }
    static const char *const bads[] = {
        "localhost:1",          "1.2.3:4",    "1.2.3.4", "peal://1.2.3.4:5",
        "[fe80::1%nosuchif]:1", "1.2.3.256:1"};
    for (size_t i = 0; i < PEAL_COUNT(bads); i++) {
        struct net_addr a;
        cr_assert(net_addr_parse(bads[i], &a) == PEAL_E_MALFORMED, "%s is refused", bads[i]);
    }
    struct net_addr a;
    cr_assert(net_addr_parse("127.9.9.9:1", &a) == 0 && net_addr_is_loopback(&a),
              "127/8 is loopback");
    cr_assert(net_addr_parse("[::1]:1", &a) == 0 && net_addr_is_loopback(&a), "::1 is loopback");
    cr_assert(net_addr_parse("10.0.0.1:1", &a) == 0 && !net_addr_is_loopback(&a), "10/8 is not");
    struct net_addr none = {0};
    char text[NET_ADDR_TEXT];
    net_addr_text(&none, text);
    cr_assert(strcmp(text, "none") == 0 && !net_addr_is_any(&none), "no address is \"none\"");
}
