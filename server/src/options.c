#include "options.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

struct opt_spec {
    const char *flag, *arg, *def, *help;
    enum opt_kind kind;
    uint64_t lo, hi;
    size_t offset;
};

static const struct opt_spec specs[] = {
#define X(field, kind, flag, arg, def, lo, hi, help)                                               \
    {flag, arg, def, help, kind, lo, hi, offsetof(struct options, field)},
    OPTIONS(X)
#undef X
};

static const struct opt_word {
    const char *word, *arg, *help;
    enum opt_command command;
} words[] = {
#define X(name, word, arg, help) {word, arg, help, OPT_##name},
    OPT_COMMANDS(X)
#undef X
};

static const struct opt_spec *spec_of(const char *flag, size_t n)
{
    for (size_t i = 0; i < PEAL_COUNT(specs); i++) {
        if (strlen(specs[i].flag) == n && memcmp(specs[i].flag, flag, n) == 0)
            return &specs[i];
    }
    return NULL;
}

static bool word_in(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list; n > 0 && p != NULL; p = strchr(p, '|')) {
        p += *p == '|';
        if (strncmp(p, word, n) == 0 && (p[n] == '|' || p[n] == '\0'))
            return true;
    }
    return false;
}

/* where: "--quota", "PEAL_QUOTA" or "FILE (quota)", for the explanation. */
static int set_uint(uint64_t *out, const struct opt_spec *s, const char *value, const char *where,
                    char *why)
{
    char *end = NULL;
    errno = 0;
    unsigned long long v = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 || v < s->lo || v > s->hi) {
        (void)snprintf(why, OPT_WHY_MAX, "%s: “%s” is not a whole number from %llu to %llu", where,
                       value, (unsigned long long)s->lo, (unsigned long long)s->hi);
        return PEAL_E_USAGE;
    }
    *out = v;
    return 0;
}

static int set_text(char *out, const char *value, const char *where, char *why)
{
    size_t n = strlen(value);
    if (n >= OPT_TEXT_MAX) {
        (void)snprintf(why, OPT_WHY_MAX, "%s: longer than %d bytes", where, OPT_TEXT_MAX - 1);
        return PEAL_E_USAGE;
    }
    memcpy(out, value, n + 1);
    return 0;
}

static int list_add(struct opt_list *l, const char *value, const char *where, char *why)
{
    if (l->n == OPT_JOINS_MAX) {
        (void)snprintf(why, OPT_WHY_MAX, "%s: given more than %d times", where, OPT_JOINS_MAX);
        return PEAL_E_USAGE;
    }
    int err = set_text(l->v[l->n], value, where, why);
    l->n += err == 0;
    return err;
}

/* One value of a list: its items, with commas between. */
static int list_set(struct opt_list *l, const char *value, const char *where, char *why)
{
    char items[OPT_JOINS_MAX * OPT_TEXT_MAX], *save = NULL;
    int err = 0;
    if (strlen(value) >= sizeof items) {
        (void)snprintf(why, OPT_WHY_MAX, "%s: longer than %zu bytes", where, sizeof items - 1);
        return PEAL_E_USAGE;
    }
    memcpy(items, value, strlen(value) + 1);
    for (char *p = strtok_r(items, ", ", &save); p != NULL && err == 0;
         p = strtok_r(NULL, ", ", &save))
        err = list_add(l, p, where, why);
    return err;
}

static int set(struct options *o, const struct opt_spec *s, const char *value, const char *where,
               char *why)
{
    void *field = (char *)o + s->offset;
    switch (s->kind) {
    case OPT_TEXT:
        return set_text(field, value, where, why);
    case OPT_UINT:
        return set_uint(field, s, value, where, why);
    case OPT_LIST:
        return list_set(field, value, where, why);
    case OPT_ENUM:
        if (!word_in(s->arg, value)) {
            (void)snprintf(why, OPT_WHY_MAX, "%s: “%s” is none of %s", where, value, s->arg);
            return PEAL_E_USAGE;
        }
        return set_text(field, value, where, why);
    case OPT_SWITCH:
        if (!word_in("yes|no", value)) {
            (void)snprintf(why, OPT_WHY_MAX, "%s: “%s” is none of yes|no", where, value);
            return PEAL_E_USAGE;
        }
        *(bool *)field = value[0] == 'y';
        return 0;
    }
    CHECK(false);
    return PEAL_E_USAGE;
}

static void clear_list(struct options *o, const struct opt_spec *s)
{
    if (s->kind == OPT_LIST)
        ((struct opt_list *)(void *)((char *)o + s->offset))->n = 0;
}

struct file_ctx {
    struct options *o;
    const char *path;
    char *why;
    int err;
    bool seen[PEAL_COUNT(specs)];
};

static int on_ini(void *user, const char *section, const char *name, const char *value)
{
    struct file_ctx *f = user;
    char where[OPT_TEXT_MAX + 64];
    (void)snprintf(where, sizeof where, "%s (%s)", f->path, name);
    const struct opt_spec *s = section[0] == '\0' ? spec_of(name, strlen(name)) : NULL;
    if (s == NULL) {
        (void)snprintf(f->why, OPT_WHY_MAX,
                       "%s: no such setting; the flags' names without -- are known", where);
        f->err = PEAL_E_USAGE;
        return 0;
    }
    if (!f->seen[s - specs])
        clear_list(f->o, s);
    f->seen[s - specs] = true;
    f->err = set(f->o, s, value, where, f->why);
    return f->err == 0;
}

static int read_file(struct options *o, const char *path, char *why)
{
    struct file_ctx f = {.o = o, .path = path, .why = why};
    int r = ini_parse(path, on_ini, &f);
    if (f.err != 0)
        return f.err;
    if (r < 0)
        (void)snprintf(why, OPT_WHY_MAX, "--config: %s cannot be read: %s", path, strerror(errno));
    else if (r > 0)
        (void)snprintf(why, OPT_WHY_MAX, "%s:%d: not of the form name = value", path, r);
    return r == 0 ? 0 : PEAL_E_USAGE;
}

static void env_name(const struct opt_spec *s, char out[static 64])
{
    size_t n = (size_t)snprintf(out, 64, "PEAL_%s", s->flag);
    for (size_t i = 5; i < n; i++)
        out[i] = (char)(out[i] == '-' ? '_' : out[i] - 'a' + 'A');
}

static int read_env(struct options *o, char *why)
{
    for (size_t i = 0; i < PEAL_COUNT(specs); i++) {
        char name[64];
        env_name(&specs[i], name);
        const char *value = getenv(name);
        if (value == NULL || value[0] == '\0')
            continue;
        clear_list(o, &specs[i]);
        int err = set(o, &specs[i], value, name, why);
        if (err != 0)
            return err;
    }
    return 0;
}

/* One flag with its value, in either form (--flag value, --flag=value); *i is advanced past it. */
static int flag_value(int argc, char *const argv[], int *i, const char **flag, size_t *flag_n,
                      const char **value, char *why)
{
    const char *a = argv[*i];
    if (strncmp(a, "--", 2) != 0 || a[2] == '\0') {
        (void)snprintf(why, OPT_WHY_MAX, "“%s” is not an option; peald --help lists them", a);
        return PEAL_E_USAGE;
    }
    const char *eq = strchr(a, '=');
    *flag = a + 2;
    *flag_n = eq != NULL ? (size_t)(eq - a) - 2 : strlen(a) - 2;
    *value = eq != NULL ? eq + 1 : NULL;
    *i += 1;
    const struct opt_spec *s = spec_of(*flag, *flag_n);
    if (*value == NULL && s != NULL && s->kind == OPT_SWITCH)
        *value = "yes";
    if (*value == NULL && *i < argc) {
        *value = argv[*i];
        *i += 1;
    }
    return 0;
}

static enum opt_command command_of(const char *a)
{
    if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0)
        return OPT_HELP;
    if (strcmp(a, "--version") == 0)
        return OPT_VERSION;
    return strcmp(a, "--man") == 0 ? OPT_MAN : OPT_RUN;
}

/* A word that is no flag: the command, then its argument. */
static int take_word(struct options *o, enum opt_command *command, const char *word, char *why)
{
    if (*command != OPT_RUN && o->file[0] == '\0' && word[0] != '\0')
        return set_text(o->file, word, "the file", why);
    for (size_t i = 0; i < PEAL_COUNT(words) && *command == OPT_RUN; i++) {
        if (strcmp(words[i].word, word) == 0) {
            *command = words[i].command;
            return 0;
        }
    }
    (void)snprintf(why, OPT_WHY_MAX,
                   "“%s” is neither an option nor a command; peald --help lists them", word);
    return PEAL_E_USAGE;
}

/* Twice: first for the commands and the files, then for what is above these. */
static int read_flags(struct options *o, enum opt_command *command, int argc, char *const argv[],
                      bool only_config, char *why)
{
    bool seen[PEAL_COUNT(specs)] = {false};
    for (int i = 1; i < argc;) {
        const char *flag = NULL, *value = NULL;
        size_t n = 0;
        if (argv[i][0] != '-') {
            int bad = only_config ? take_word(o, command, argv[i], why) : 0;
            if (bad != 0)
                return bad;
            i++;
            continue;
        }
        int err = flag_value(argc, argv, &i, &flag, &n, &value, why);
        if (err != 0)
            return err;
        bool config = n == 6 && memcmp(flag, "config", 6) == 0;
        const struct opt_spec *s = spec_of(flag, n);
        if (!config && s == NULL) {
            (void)snprintf(why, OPT_WHY_MAX, "--%.*s: no such option; peald --help lists them",
                           (int)n, flag);
            return PEAL_E_USAGE;
        }
        if (value == NULL) {
            (void)snprintf(why, OPT_WHY_MAX, "--%.*s needs a value: --%.*s %s", (int)n, flag,
                           (int)n, flag, config ? "FILE" : s->arg);
            return PEAL_E_USAGE;
        }
        char where[64];
        (void)snprintf(where, sizeof where, "--%.*s", (int)n, flag);
        if (config != only_config)
            continue;
        if (!config && !seen[s - specs])
            clear_list(o, s);
        if (!config)
            seen[s - specs] = true;
        err = config ? read_file(o, value, why) : set(o, s, value, where, why);
        if (err != 0)
            return err;
    }
    return 0;
}

static int check_command(const struct options *o, enum opt_command command, char *why)
{
    const struct opt_word *w = words;
    while (w->command != command)
        w++;
    if (o->file[0] == '\0')
        (void)snprintf(why, OPT_WHY_MAX, "peald %s needs a file: peald %s %s --data DIR", w->word,
                       w->word, w->arg);
    else if (o->data[0] == '\0')
        (void)snprintf(why, OPT_WHY_MAX,
                       "--data is required, for example: peald %s %s --data ./node1", w->word,
                       o->file);
    else if (o->all_lost && command != OPT_RESTORE)
        (void)snprintf(why, OPT_WHY_MAX, "--all-lost is for peald restore only");
    else
        return 0;
    return PEAL_E_USAGE;
}

int options_read(struct options *o, enum opt_command *command, int argc, char *const argv[],
                 char why[static OPT_WHY_MAX])
{
    memset(o, 0, sizeof *o);
    why[0] = '\0';
    *command = OPT_RUN;
    for (int i = 1; i < argc && *command == OPT_RUN; i++)
        *command = command_of(argv[i]);
    if (*command != OPT_RUN)
        return 0;
    for (size_t i = 0; i < PEAL_COUNT(specs); i++) {
        if (specs[i].def[0] != '\0') {
            int err = set(o, &specs[i], specs[i].def, "default", why);
            CHECK(err == 0);
        }
    }
    int err = read_flags(o, command, argc, argv, true, why);
    if (err == 0)
        err = read_env(o, why);
    if (err == 0)
        err = read_flags(o, command, argc, argv, false, why);
    if (err == 0 && *command != OPT_RUN)
        return check_command(o, *command, why);
    if (err == 0 && o->all_lost) {
        (void)snprintf(why, OPT_WHY_MAX, "--all-lost is for peald restore only");
        err = PEAL_E_USAGE;
    }
    if (err == 0 && (o->data[0] == '\0' || o->listen[0] == '\0')) {
        (void)snprintf(why, OPT_WHY_MAX,
                       "%s is required, for example: peald --data ./node1 --listen "
                       "127.0.0.1:7401",
                       o->data[0] == '\0' ? "--data" : "--listen");
        err = PEAL_E_USAGE;
    }
    return err;
}

void options_help(FILE *out)
{
    fputs("peald " PEAL_VERSION ": a server of a Peal ring\n\n"
          "Usage: peald --data DIR --listen ADDR:PORT [OPTION VALUE]...\n"
          "       peald backup FILE --data DIR\n"
          "       peald restore FILE --data DIR [--all-lost]\n\n"
          "Prints “ready id=… listen=…” once it serves. SIGTERM and SIGINT leave the ring in good "
          "order.\n\n",
          out);
    for (size_t i = 0; i < PEAL_COUNT(words); i++)
        fprintf(out, "  %s %s\n      %s\n", words[i].word, words[i].arg, words[i].help);
    fputc('\n', out);
    for (size_t i = 0; i < PEAL_COUNT(specs); i++) {
        fprintf(out, "  --%s%s%s\n      %s", specs[i].flag, specs[i].arg[0] != '\0' ? " " : "",
                specs[i].arg, specs[i].help);
        if (specs[i].def[0] != '\0')
            fprintf(out, " Default: %s.", specs[i].def);
        fputc('\n', out);
    }
    fputs("  --config FILE\n      Settings as lines “name = value”, the names as above without the "
          "dashes.\n"
          "  --help, --version\n\n"
          "Each setting may also come from the environment: PEAL_ and its name in capitals, for "
          "example\n"
          "PEAL_RING_KEY_FILE. Flags win over the environment, the environment over the file.\n",
          out);
}

static void man_text(FILE *out, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '-')
            fputs("\\-", out);
        else
            fputc(*p, out);
    }
}

void options_man(FILE *out)
{
    fputs(".TH PEALD 1 \"\" \"peal " PEAL_VERSION
          "\" \"Peal\"\n.SH NAME\npeald \\- server of a Peal ring\n"
          ".SH SYNOPSIS\n.B peald\n.B \\-\\-data\n.I DIR\n.B \\-\\-listen\n.I ADDR:PORT\n"
          "[\\fIOPTION VALUE\\fR]...\n.br\n.B peald backup\n.I FILE\n.B \\-\\-data\n.I DIR\n"
          ".br\n.B peald restore\n.I FILE\n.B \\-\\-data\n.I DIR\n[\\fB\\-\\-all\\-lost\\fR]\n"
          ".SH DESCRIPTION\n"
          "One server of a decentralised messaging ring. Servers find each other by multicast or\n"
          "\\-\\-join, and keep every account and every waiting message on K+1 of them.\n.PP\n"
          "Prints one line \\(lqready id=... listen=...\\(rq on standard output once it serves; "
          "logs go\n"
          "to standard error. SIGTERM and SIGINT leave the ring in good order (exit status 0); "
          "while\n"
          "another server is copying what else too few would serve, that may take a minute.\n"
          ".SH COMMANDS\n",
          out);
    for (size_t i = 0; i < PEAL_COUNT(words); i++) {
        fprintf(out, ".TP\n\\fB%s\\fR \\fI%s\\fR\n", words[i].word, words[i].arg);
        man_text(out, words[i].help);
        fputc('\n', out);
    }
    fputs(".SH OPTIONS\n", out);
    for (size_t i = 0; i < PEAL_COUNT(specs); i++) {
        fputs(".TP\n\\fB\\-\\-", out);
        man_text(out, specs[i].flag);
        fputs("\\fR \\fI", out);
        man_text(out, specs[i].arg);
        fputs("\\fR\n", out);
        man_text(out, specs[i].help);
        if (specs[i].def[0] != '\0') {
            fputs(" Default: ", out);
            man_text(out, specs[i].def);
            fputc('.', out);
        }
        fputc('\n', out);
    }
    fputs(
        ".TP\n\\fB\\-\\-config\\fR \\fIFILE\\fR\nSettings as lines \\(lqname = value\\(rq.\n"
        ".SH ENVIRONMENT\nEach setting may come from PEAL_ and its name in capitals, for example\n"
        "PEAL_RING_KEY_FILE. Flags win over the environment, the environment over the file.\n"
        ".SH EXIT STATUS\n0: left in good order. 1: could not start or go on; standard error says "
        "why.\n"
        "2: the command line is wrong.\n"
        ".SH FILES\nIn the data folder: \\fInode.key\\fR (who this server is), \\fIring.key\\fR "
        "(unless\n"
        "\\-\\-ring\\-key\\-file), \\fIpeald.db\\fR, and \\fIpeald.db.aside\\-DATE\\fR, one that "
        "was "
        "damaged or replaced.\n.SH SEE ALSO\n.BR peal (1),\n.BR "
        "peal\\-visualizer (1)\n",
        out);
}
