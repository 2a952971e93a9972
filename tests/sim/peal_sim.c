/* peal-sim: runs a scenario and says what came of it. Options in, lines and one JSON object out;
 * all else is scenario.h's, and watch.h's when it is shown. */
#include "watch.h"

#include "peal/crypto.h"
#include "peal/feed.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_OK = 0, EXIT_VIOLATED = 1, EXIT_USAGE = 2, FAILED_TOLD = 32 };

/* ---- options ---- */

enum kind { KIND_TEXT, KIND_COUNT, KIND_SEED, KIND_SHARE, KIND_FLAG, KIND_LATENCY, KIND_GOSSIP };

struct option {
    const char *name, *value; /* value: as the help calls it, NULL for a flag */
    enum kind kind;
    size_t offset;
    double least, most;
    const char *help;
};

enum { LINGER_MAX = 1000000 };
#define NO_PORT UINT32_MAX
#define NO_PACE (-1.0)

struct settings {
    struct sim_options sim;
    uint32_t watch, linger; /* NO_PORT, WATCH_STAYS: not asked for */
    double pace;            /* NO_PACE: not asked for */
};

#define AT(member)  offsetof(struct settings, sim.member)
#define OWN(member) offsetof(struct settings, member)

static const struct option OPTIONS[] = {
    {"scenario", "NAME", KIND_TEXT, AT(scenario), 0, 0, "what to play; --list names them"},
    {"nodes", "N", KIND_COUNT, AT(nodes), 1, WORLD_NODES_MAX, "how many nodes"},
    {"seed", "S", KIND_SEED, AT(seed), 0, 0, "the same seed gives the same run (1)"},
    {"seeds", "K", KIND_COUNT, AT(seeds), 1, SEEDS_MAX, "K runs, with seeds S to S + K - 1 (1)"},
    {"duration", "SECONDS", KIND_COUNT, AT(duration_s), 1, 1000000,
     "virtual seconds that are measured"},
    {"loss", "P", KIND_SHARE, AT(loss), 0, 0.9,
     "share of frames and beacons that are lost, for good: harsher than TCP, whose losses are "
     "delays"},
    {"duplicate", "P", KIND_SHARE, AT(duplicate), 0, 1, "share of frames that come twice"},
    {"reorder", "P", KIND_SHARE, AT(reorder), 0, 1, "share of frames that come after later ones"},
    {"latency", "constant|uniform|wide", KIND_LATENCY, AT(latency), 0, 0,
     "one way: 1 ms; 0.5 to 2 ms (the default); eight regions of the world"},
    {"drift", "PPM", KIND_COUNT, AT(drift_ppm), 0, 100000,
     "how wrong monotonic clocks run at most, either way"},
    {"successors", "R", KIND_COUNT, AT(successors), 1, RING_SUCCESSORS_MAX,
     "length of the successor list (8)"},
    {"stabilise", "SECONDS", KIND_COUNT, AT(stabilise_s), 1, 3600, "one round of upkeep (1)"},
    {"ping", "SECONDS", KIND_SHARE, AT(ping_s), 0.01, 3600,
     "between two pings to a neighbour; silence for four of them is death (0.3; at least 1 s)"},
    {"gossip", "BYTES|off", KIND_GOSSIP, AT(gossip), 1, 1000000,
     "bytes a second that a node may say of others (200)"},
    {"hints", "N", KIND_COUNT, AT(hints), RING_HINTS_MIN, RING_HINTS_MAX,
     "how many others a node remembers"},
    {"no-hints", NULL, KIND_FLAG, AT(no_hints), 0, 0, "route by successors and fingers only"},
    {"parts", "N", KIND_COUNT, AT(parts), 2, WORLD_GROUPS_MAX - 1, "parts of a partition (2)"},
    {"fraction", "P", KIND_SHARE, AT(fraction), 0, 0.99, "share of the nodes that it happens to"},
    {"rate", "PER_SECOND", KIND_SHARE, AT(rate), 0, 1000, "how often it happens"},
    {"real-keys", NULL, KIND_FLAG, AT(real_keys), 0, 0,
     "contacts signed with Ed25519, as outside the simulator (slow)"},
    {"watch", "PORT", KIND_COUNT, OWN(watch), 0, UINT16_MAX,
     "show the ring on a page at 127.0.0.1:PORT while it is played (0: a free port)"},
    {"pace", "X", KIND_SHARE, OWN(pace), 0, WATCH_PACE_MAX,
     "with --watch: virtual seconds in a real one (1); 0: as fast as it goes"},
    {"linger", "SECONDS", KIND_COUNT, OWN(linger), 0, LINGER_MAX,
     "with --watch: how long the page stays after the end (until a key or Ctrl-C)"},
    {"json", NULL, KIND_FLAG, AT(json), 0, 0, "only the last line"},
    {"verbose", NULL, KIND_FLAG, AT(verbose), 0, 0, "the nodes' traces, to standard error"},
};

static int usage(const char *fmt, const char *what, const char *value)
{
    fputs("peal-sim: ", stderr);
    fprintf(stderr, fmt, what, value);
    fputs("\nTry: peal-sim --help\n", stderr);
    return EXIT_USAGE;
}

static void help(void)
{
    puts("usage: peal-sim --scenario NAME [options]\n"
         "       peal-sim --list | --help | --version\n\n"
         "Plays a scenario with simulated nodes in virtual time and holds them to the ring's\n"
         "invariant at every step. The last line of output is one JSON object. Exit status: 0\n"
         "nothing was violated, 1 something was, 2 the command line is not of its form.\n");
    for (size_t i = 0; i < PEAL_COUNT(OPTIONS); i++) {
        const struct option *o = &OPTIONS[i];
        char left[64];
        (void)snprintf(left, sizeof left, "--%s %s", o->name, o->value != NULL ? o->value : "");
        printf("  %-30s %s\n", left, o->help);
    }
    puts("\nA violation is told with the virtual time, the node, and the command that does it "
         "again\n"
         "(after \"again:\"); the same command with --verbose shows what the nodes said on the "
         "way.\n"
         "Among many seeds, for example\n"
         "  peal-sim --scenario small --nodes 12 --seed 1 --seeds 1000 --json\n"
         "the seeds that failed are in \"failed_seeds\"; each does it again alone with --seed.");
}

static void list(void)
{
    for (const struct scenario *s = scenarios(); s->name != NULL; s++)
        printf("%-11s %s\n", s->name, s->line);
}

/* What is asked for instead of a scenario. */
static bool said(const char *arg)
{
    if (strcmp(arg, "--help") == 0)
        help();
    else if (strcmp(arg, "--list") == 0)
        list();
    else if (strcmp(arg, "--version") == 0)
        puts("peal-sim " PEAL_VERSION);
    else
        return false;
    return true;
}

static bool number(const char *text, double *out)
{
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    return errno == 0 && end != text && *end == 0 && isfinite(*out);
}

static bool whole_number(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    if (text[0] < '0' || text[0] > '9')
        return false;
    *out = strtoull(text, &end, 10);
    return errno == 0 && *end == 0;
}

/* True when the value is one that the option may have. */
static bool set(const struct option *o, struct settings *into, const char *text)
{
    static const char *const LATENCIES[] = {"constant", "uniform", "wide"};
    void *at = (char *)into + o->offset;
    double v;
    uint64_t n;
    switch (o->kind) {
    case KIND_TEXT:
        *(const char **)at = text;
        return true;
    case KIND_FLAG:
        *(bool *)at = true;
        return true;
    case KIND_SEED:
        return whole_number(text, at);
    case KIND_SHARE:
        if (!number(text, &v) || v < o->least || v > o->most)
            return false;
        *(double *)at = v;
        return true;
    case KIND_GOSSIP:
        if (strcmp(text, "off") == 0) {
            *(uint32_t *)at = RING_GOSSIP_NONE;
            return true;
        }
        /* fall through */
    case KIND_COUNT:
        if (!whole_number(text, &n) || (double)n < o->least || (double)n > o->most)
            return false;
        *(uint32_t *)at = (uint32_t)n;
        return true;
    case KIND_LATENCY:
        for (size_t i = 0; i < PEAL_COUNT(LATENCIES); i++)
            if (strcmp(text, LATENCIES[i]) == 0) {
                *(enum world_latency *)at = (enum world_latency)i;
                return true;
            }
        return false;
    }
    return false;
}

static const struct option *option_of(const char *name, size_t n)
{
    for (size_t i = 0; i < PEAL_COUNT(OPTIONS); i++)
        if (strlen(OPTIONS[i].name) == n && strncmp(OPTIONS[i].name, name, n) == 0)
            return &OPTIONS[i];
    return NULL;
}

/* 0, or EXIT_USAGE after saying why. */
static int check(const struct settings *s)
{
    if (s->sim.scenario == NULL)
        return usage("%s%s is missing", "--scenario", " NAME");
    if (scenario_of(s->sim.scenario) == NULL)
        return usage("there is no scenario \"%s\"; --list names them%s", s->sim.scenario, "");
    if (s->watch == NO_PORT && (s->pace >= 0 || s->linger != WATCH_STAYS))
        return usage("%s needs %s", s->pace >= 0 ? "--pace" : "--linger", "--watch PORT");
    return 0;
}

/* Likewise. */
static int parse(int argc, char **argv, struct settings *opt)
{
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i], *equals = strchr(arg, '=');
        if (strncmp(arg, "--", 2) != 0)
            return usage("\"%s\" is not an option%s", arg, "");
        size_t n = equals != NULL ? (size_t)(equals - arg) - 2 : strlen(arg) - 2;
        const struct option *o = option_of(arg + 2, n);
        if (o == NULL)
            return usage("there is no option %s%s", arg, "");
        const char *value = equals != NULL ? equals + 1 : NULL;
        if (o->kind == KIND_FLAG && value != NULL)
            return usage("--%s takes no value, not \"%s\"", o->name, value);
        if (o->kind != KIND_FLAG && value == NULL) {
            if (i + 1 >= argc)
                return usage("--%s needs a value: %s", o->name, o->value);
            value = argv[++i];
        }
        if (!set(o, opt, value)) {
            if (o->kind != KIND_COUNT && o->kind != KIND_SHARE)
                return usage("--%s cannot be \"%s\"", o->name, value);
            fprintf(stderr, "peal-sim: --%s must be %g to %g, not \"%s\"\nTry: peal-sim --help\n",
                    o->name, o->least, o->most, value);
            return EXIT_USAGE;
        }
    }
    return check(opt);
}

/* ---- what came of it ---- */

struct total {
    struct outcome sum; /* figures: sums over the runs */
    uint64_t failed[FAILED_TOLD], failed_n;
};

static void add_outcome(struct total *t, const struct outcome *o, uint64_t seed, uint64_t run)
{
    t->sum.digest = run == 0 ? o->digest : (t->sum.digest * 0x100000001b3u) ^ o->digest;
    t->sum.violations += o->violations;
    if (o->violations > 0) {
        if (t->failed_n < FAILED_TOLD)
            t->failed[t->failed_n] = seed;
        t->failed_n++;
    }
    if (run == 0) {
        memcpy(t->sum.figures, o->figures, sizeof t->sum.figures);
        t->sum.figures_n = o->figures_n;
        return;
    }
    /* A run that failed may have fewer figures. */
    for (size_t i = 0; i < o->figures_n; i++)
        for (size_t k = 0; k < t->sum.figures_n; k++)
            if (strcmp(t->sum.figures[k].name, o->figures[i].name) == 0)
                t->sum.figures[k].value += o->figures[i].value;
}

static void say(const struct total *t, const struct sim_options *opt)
{
    for (size_t i = 0; i < t->sum.figures_n; i++) {
        const struct figure *f = &t->sum.figures[i];
        printf("%16.*f  %s (%s)\n", f->decimals, f->value / (double)opt->seeds, f->prose, f->name);
    }
}

static void say_json(const struct total *t, const struct sim_options *opt, uint32_t nodes)
{
    printf("{\"ok\": %s, \"scenario\": \"%s\", \"nodes\": %u, \"seed\": %llu, \"digest\": "
           "\"%016llx\", \"violations\": %llu",
           t->sum.violations == 0 ? "true" : "false", opt->scenario, nodes,
           (unsigned long long)opt->seed, (unsigned long long)t->sum.digest,
           (unsigned long long)t->sum.violations);
    if (opt->seeds > 1) {
        printf(", \"seeds\": %u, \"failed\": %llu, \"failed_seeds\": [", opt->seeds,
               (unsigned long long)t->failed_n);
        for (size_t i = 0; i < t->failed_n && i < FAILED_TOLD; i++)
            printf("%s%llu", i > 0 ? ", " : "", (unsigned long long)t->failed[i]);
        printf("]");
    }
    for (size_t i = 0; i < t->sum.figures_n; i++) {
        const struct figure *f = &t->sum.figures[i];
        printf(", \"%s\": %.*f", f->name, opt->seeds > 1 ? f->decimals + 2 : f->decimals,
               f->value / (double)opt->seeds);
    }
    printf("}\n");
}

static void play(const struct scenario *s, const struct sim_options *opt, struct total *t)
{
    static struct outcome o;
    for (uint32_t i = 0; i < opt->seeds; i++) {
        struct sim_options one = *opt;
        one.seed = opt->seed + i;
        scenario_run(s, &one, opt->json ? stderr : stdout, &o);
        add_outcome(t, &o, one.seed, i);
        if (opt->seeds > 1 && o.violations > 0 && !opt->json)
            printf("seed %llu failed\n", (unsigned long long)one.seed);
    }
    if (!opt->json)
        say(t, opt);
    say_json(t, opt, opt->nodes != 0 ? opt->nodes : s->nodes);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    static struct total t;
    struct watch *watch = NULL;
    struct settings s = {.sim = {.seed = 1, .seeds = 1, .fraction = -1, .rate = -1},
                         .watch = NO_PORT,
                         .linger = WATCH_STAYS,
                         .pace = NO_PACE};
    struct sim_options *opt = &s.sim;
    opt->latency = WORLD_UNIFORM;
    if (argc == 2 && said(argv[1]))
        return EXIT_OK;
    int err = parse(argc, argv, &s);
    if (err != 0)
        return err;
    if (cry_init() != 0) {
        fputs("peal-sim: the system gives no random numbers\n", stderr);
        return EXIT_VIOLATED;
    }
    if (s.watch != NO_PORT) {
        err = watch_new(s.watch, s.pace >= 0 ? s.pace : 1, opt->scenario,
                        opt->json ? stderr : stdout, &watch);
        if (err != 0) {
            fprintf(stderr, "peal-sim: --watch %u: %s\n", s.watch, feed_why(err));
            return EXIT_USAGE;
        }
        opt->watcher = watch_watcher(watch);
    }
    play(scenario_of(opt->scenario), opt, &t);
    if (watch != NULL)
        watch_linger(watch, s.linger);
    watch_free(watch);
    return t.sum.violations == 0 ? EXIT_OK : EXIT_VIOLATED;
}
