/* The figures' text: of the form that Prometheus reads, every line of it, and the health page. */
#include "metrics.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <string.h>

enum { TEXT = 64 * 1024 };

static char out[TEXT + 1];

static struct host_figures some(void)
{
    return (struct host_figures){.state = CHORD_MEMBER,
                                 .serves = true,
                                 .epoch = 12,
                                 .members = 5,
                                 .members_up = 4,
                                 .overlay = {.bytes = UINT64_MAX}};
}

static bool is_name(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!islower((unsigned char)s[i]) && s[i] != '_')
            return false;
    return n > 0;
}

Test(metrics, each_line_is_of_the_format)
{
    struct host_figures f = some();
    size_t n = metrics_text(&f, TEXT, out), figures = 0, helps = 0;
    out[n] = '\0';
    cr_assert_eq(out[n - 1], '\n', "the last line ends");
    for (char *line = strtok(out, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        helps += strncmp(line, "# HELP ", 7) == 0;
        if (line[0] == '#')
            continue;
        size_t name = strcspn(line, "{ ");
        const char *value = strrchr(line, ' ');
        cr_assert(is_name(line, name), "a name: %s", line);
        cr_assert(value != NULL && value[1] != '\0' &&
                      strspn(value + 1, "0123456789") == strlen(value + 1),
                  "a value: %s", line);
        figures++;
    }
    cr_assert_eq(figures, helps, "each is explained");
    cr_assert_gt(figures, 30, "%zu figures", figures);
}

Test(metrics, says_what_the_figures_are)
{
    static const char *const want[] = {"peal_epoch 12\n",
                                       "peal_members 5\n",
                                       "peal_members_up 4\n",
                                       "peal_serves 1\n",
                                       "peal_store_error 0\n",
                                       "state=\"member\"} 1\n",
                                       "peal_overlay_bytes_total 18446744073709551615\n"};
    struct host_figures f = some();
    out[metrics_text(&f, TEXT, out)] = '\0';
    for (size_t i = 0; i < PEAL_COUNT(want); i++)
        cr_assert_not_null(strstr(out, want[i]), "%s", want[i]);
    f.store_err = PEAL_E_NO_SPACE;
    out[metrics_text(&f, TEXT, out)] = '\0';
    cr_assert_not_null(strstr(out, "peal_store_error 13\n"), "a full disk");
}

Test(metrics, health_says_why_not)
{
    struct host_figures f = some();
    unsigned status = 0;
    out[metrics_health(&f, TEXT, out, &status)] = '\0';
    cr_assert_eq(status, 200, "it serves");
    f.serves = false;
    f.store_err = PEAL_E_NO_SPACE;
    out[metrics_health(&f, TEXT, out, &status)] = '\0';
    cr_assert_eq(status, 503, "it does not");
    cr_assert_not_null(strstr(out, "full"), "why: %s", out);
    f.store_err = 0;
    f.state = CHORD_COPYING;
    out[metrics_health(&f, TEXT, out, &status)] = '\0';
    cr_assert_eq(status, 503, "nor now");
    cr_assert_not_null(strstr(out, "copying"), "why: %s", out);
}
