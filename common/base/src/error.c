/* Errors' names, and the one way to stop: a broken invariant. */
#include <peal/base.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    int err;
    const char *name;
    const char *prose;
} errors[] = {{PEAL_OK, "ok", "no error"},
#define X(NAME, name, number, prose) {number, #name, prose},
              PEAL_ERRORS(X)
#undef X
};

const char *err_name(int err)
{
    for (size_t i = 0; i < PEAL_COUNT(errors); i++)
        if (errors[i].err == err)
            return errors[i].name;
    return "unknown_error";
}

const char *err_prose(int err)
{
    for (size_t i = 0; i < PEAL_COUNT(errors); i++)
        if (errors[i].err == err)
            return errors[i].prose;
    return "unknown error";
}

int err_from_name(const char *name)
{
    for (size_t i = 0; i < PEAL_COUNT(errors); i++)
        if (strcmp(errors[i].name, name) == 0)
            return errors[i].err;
    return PEAL_OK;
}

_Noreturn void peal_check_failed(const char *cond, const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: invariant broken: %s\n", file, line, cond);
    abort();
}
