#include "guard.h"

#include <criterion/criterion.h>

static const char token[] = "0123456789abcdef0123456789abcdef";

static struct guard make(const char *listen)
{
    static const char *const extra[] = {"peal.example:443", "peal.example"};
    struct guard_listen at;
    struct guard g;
    cr_assert_eq(guard_parse_listen(listen, &at), 0, "listen %s", listen);
    cr_assert_eq(guard_init(&g, &at, token, extra, 2), 0, "guard for %s", listen);
    return g;
}

Test(guard, listen_forms)
{
    struct guard_listen at;
    cr_assert_eq(guard_parse_listen("127.0.0.5:8080", &at), 0, "IPv4");
    cr_assert_str_eq(at.host, "127.0.0.5", "host");
    cr_assert_eq(at.port, 8080, "port");
    cr_assert_not(at.v6, "not IPv6");
    cr_assert_eq(guard_parse_listen("[::1]:0", &at), 0, "IPv6");
    cr_assert_str_eq(at.host, "::1", "host without brackets");
    cr_assert(at.v6, "IPv6");
    cr_assert_eq(guard_parse_listen("localhost:1", &at), 0, "localhost");
    cr_assert_str_eq(at.host, "127.0.0.1", "localhost's address");
    static const char *const bad[] = {
        "",
        ":",
        ":80",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1: 1",
        "::1:80",
        "[]:80",
        "[::1:80",
        "127.0.0.1:000080",
        "0123456789012345678901234567890123456789012345678901234567890123:1"};
    for (size_t i = 0; i < PEAL_COUNT(bad); i++)
        cr_assert_eq(guard_parse_listen(bad[i], &at), PEAL_E_USAGE, "\"%s\" is refused", bad[i]);
}

Test(guard, hosts)
{
    struct guard g = make("127.0.0.5:8080");
    static const char *const good[] = {"127.0.0.5:8080", "localhost:8080", "LocalHost:8080",
                                       "127.0.0.1:8080", "[::1]:8080",     "peal.example"};
    static const char *const bad[] = {
        "",          "127.0.0.5",       "127.0.0.5:80",    "evil.example:8080",
        "localhost", "localhost:8080 ", "localhost:80801", "127.0.0.5:8080.evil.example",
        "::1:8080"};
    for (size_t i = 0; i < PEAL_COUNT(good); i++)
        cr_assert(guard_host(&g, good[i]), "%s is a name of this server", good[i]);
    for (size_t i = 0; i < PEAL_COUNT(bad); i++)
        cr_assert_not(guard_host(&g, bad[i]), "\"%s\" is not", bad[i]);
    cr_assert_not(guard_host(&g, NULL), "none is not");
    g = make("127.0.0.1:80");
    cr_assert(guard_host(&g, "localhost"), "HTTP's own port may be left out");
    cr_assert(guard_host(&g, "localhost:80"), "and may be said");
    cr_assert(guard_host(&g, "[::1]"), "an IPv6 address without the port keeps its brackets");
}

Test(guard, origins)
{
    struct guard g = make("127.0.0.1:8080");
    cr_assert(guard_origin(&g, "http://localhost:8080", "localhost:8080"), "its own");
    cr_assert_not(guard_origin(&g, "https://localhost:8080", "localhost:8080"), "another scheme");
    cr_assert_not(guard_origin(&g, "http://127.0.0.1:8080", "localhost:8080"), "another name");
    cr_assert_not(guard_origin(&g, "http://localhost:8081", "localhost:8080"), "another port");
    cr_assert_not(guard_origin(&g, "null", "localhost:8080"), "a sandboxed page");
    cr_assert_not(guard_origin(&g, "", "localhost:8080"), "nothing");
    cr_assert_not(guard_origin(&g, "http://evil.example", "evil.example"), "a host not accepted");
    cr_assert(guard_origin(&g, "https://peal.example", "peal.example"), "a proxy with TLS");
    cr_assert(guard_origin(&g, "http://peal.example:443", "peal.example:443"), "and without");
}

Test(guard, tokens)
{
    struct guard g = make("127.0.0.1:8080");
    cr_assert(guard_token(&g, token), "the token");
    cr_assert_not(guard_token(&g, NULL), "none");
    cr_assert_not(guard_token(&g, ""), "empty");
    cr_assert_not(guard_token(&g, "0123456789abcdef0123456789abcdee"), "the last digit differs");
    cr_assert_not(guard_token(&g, "0123456789abcdef0123456789abcdef0"), "one digit more");
    struct guard_listen at;
    struct guard open;
    cr_assert_eq(guard_parse_listen("127.0.0.1:1", &at), 0, "listen");
    cr_assert_eq(guard_init(&open, &at, NULL, NULL, 0), 0, "no token");
    cr_assert(guard_token(&open, NULL), "none is asked for");
    cr_assert_eq(guard_init(&open, &at, "abc", NULL, 0), PEAL_E_USAGE, "too short");
    cr_assert_eq(guard_init(&open, &at, "0123456789abcdef0123456789abcdeg", NULL, 0), PEAL_E_USAGE,
                 "not hexadecimal");
    static const char *const bad[] = {""};
    cr_assert_eq(guard_init(&open, &at, NULL, bad, 1), PEAL_E_USAGE, "an empty host");
}

Test(guard, types_and_names)
{
    cr_assert(guard_is_json("application/json"), "plain");
    cr_assert(guard_is_json("Application/JSON ; charset=utf-8"), "with a parameter");
    cr_assert_not(guard_is_json("application/jsonp"), "longer");
    cr_assert_not(guard_is_json("text/plain"), "a form can send this one across origins");
    cr_assert_not(guard_is_json(NULL), "none");
    cr_assert(guard_is_name("send"), "a name");
    cr_assert_not(guard_is_name(""), "empty");
    cr_assert_not(guard_is_name("a/b"), "a slash");
    cr_assert_not(guard_is_name("../x"), "dots");
    cr_assert_not(guard_is_name("Send"), "upper case");
    cr_assert_not(guard_is_name("abcdefghijklmnopqrstuvwxyzabcdefg"), "33 characters");
}
