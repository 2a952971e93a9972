/* The canonical spelling of names, over utf8proc's tables. Only those functions of utf8proc are
 * used that write to the caller's buffer. */
#include <peal/name.h>

#include <string.h>
#include <utf8proc.h>

enum {
    FOLD_MAX = 3 * NAME_INPUT_MAX, /* code points: folding makes at most three of one, decomposition
                                      four of two bytes */
    PASSES_MAX = 4, /* folding and composing settle in two; what has not settled then is refused */
};

/* Scripts whose letters are easily taken for another's. */
enum { LATIN = 1, GREEK = 2, CYRILLIC = 4 };

static const struct {
    utf8proc_int32_t from, to;
    unsigned script;
} scripts[] = {
    {0x0041, 0x024f, LATIN},    {0x0250, 0x02af, LATIN},    {0x0370, 0x03ff, GREEK},
    {0x0400, 0x052f, CYRILLIC}, {0x1c80, 0x1c8f, CYRILLIC}, {0x1d00, 0x1d25, LATIN},
    {0x1e00, 0x1eff, LATIN},    {0x1f00, 0x1fff, GREEK},    {0x2c60, 0x2c7f, LATIN},
    {0x2de0, 0x2dff, CYRILLIC}, {0xa640, 0xa69f, CYRILLIC}, {0xa720, 0xa7ff, LATIN},
    {0xab30, 0xab64, LATIN},
};

static bool is_plain(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

/* Nearly all names are plain ASCII, and the server checks one with every message. */
static bool all_plain(struct peal_bytes in)
{
    for (size_t i = 0; i < in.n; i++)
        if (!is_plain(in.p[i]))
            return false;
    return true;
}

/* Width mapping (RFC 8265, 3.3.2, rule 1): a fullwidth or halfwidth form becomes the ordinary one.
 */
static utf8proc_int32_t map_width(utf8proc_int32_t c, void *unused)
{
    (void)unused;
    int type = utf8proc_get_property(c)->decomp_type;
    if (type != UTF8PROC_DECOMP_TYPE_WIDE && type != UTF8PROC_DECOMP_TYPE_NARROW)
        return c;
    utf8proc_int32_t to[4];
    int boundary = 0;
    utf8proc_ssize_t n =
        utf8proc_decompose_char(c, to, 4, UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE, &boundary);
    return n == 1 ? to[0] : c;
}

static unsigned script_of(utf8proc_int32_t c)
{
    for (size_t i = 0; i < PEAL_COUNT(scripts); i++)
        if (c >= scripts[i].from && c <= scripts[i].to)
            return scripts[i].script;
    return 0;
}

/* What has been met in a name so far. */
struct seen {
    unsigned scripts;
    bool leftward, rightward;
    bool letter_before; /* the last character can carry a mark */
};

static void see_letter(struct seen *s, utf8proc_int32_t c, int bidi)
{
    s->letter_before = true;
    s->scripts |= script_of(c);
    s->leftward |= bidi == UTF8PROC_BIDI_CLASS_R || bidi == UTF8PROC_BIDI_CLASS_AL;
    s->rightward |= bidi == UTF8PROC_BIDI_CLASS_L;
}

static int look_at(struct seen *s, utf8proc_int32_t c)
{
    const utf8proc_property_t *p = utf8proc_get_property(c);
    bool carries = s->letter_before;
    s->letter_before = false;
    if (c < 0x80 && !is_plain((uint8_t)c))
        return PEAL_E_MALFORMED;
    /* Compatibility forms (superscripts, presentation forms) and invisible characters (fillers) are
     * not for identifiers: RFC 8264, 9.17 and 9.13. */
    if (p->decomp_type != 0 || p->ignorable)
        return PEAL_E_MALFORMED;
    if (c < 0x80 && p->category != UTF8PROC_CATEGORY_LL)
        return 0;
    if (p->category == UTF8PROC_CATEGORY_ND)
        return 0;
    if (p->category == UTF8PROC_CATEGORY_MN || p->category == UTF8PROC_CATEGORY_MC) {
        s->letter_before = true;
        return carries ? 0 : PEAL_E_MALFORMED;
    }
    if (p->category < UTF8PROC_CATEGORY_LU || p->category > UTF8PROC_CATEGORY_LO)
        return PEAL_E_MALFORMED;
    see_letter(s, c, p->bidi_class);
    return 0;
}

/* Are these the characters of a name, and may they stand together? */
static int judge(const utf8proc_int32_t *c, size_t n)
{
    struct seen s = {0};
    for (size_t i = 0; i < n; i++) {
        int err = look_at(&s, c[i]);
        if (err != 0)
            return err;
    }
    bool one_script = (s.scripts & (s.scripts - 1)) == 0;
    return one_script && !(s.leftward && s.rightward) ? 0 : PEAL_E_REFUSED;
}

/* One pass: width, case, NFC. *verdict: whether what came out is a name. */
static int pass(struct peal_bytes in, uint8_t out[static NAME_INPUT_MAX], size_t *n, int *verdict)
{
    CHECK(in.n <= NAME_INPUT_MAX);
    utf8proc_int32_t c[FOLD_MAX + 1];
    utf8proc_ssize_t count = utf8proc_decompose_custom(
        in.p, (utf8proc_ssize_t)in.n, c, FOLD_MAX,
        UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD, map_width, NULL);
    if (count < 0)
        return PEAL_E_MALFORMED;
    if (count > FOLD_MAX)
        return PEAL_E_TOO_LONG;
    count = utf8proc_normalize_utf32(c, count, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (count < 0)
        return PEAL_E_MALFORMED;
    *verdict = judge(c, (size_t)count);
    if (*verdict == 0 && count > NAME_CHARS_MAX)
        *verdict = PEAL_E_TOO_LONG;
    CHECK(count <= FOLD_MAX);
    *n = 0;
    for (utf8proc_ssize_t i = 0; i < count; i++) {
        if (*n > NAME_INPUT_MAX - 4)
            return PEAL_E_TOO_LONG;
        *n += (size_t)utf8proc_encode_char(c[i], out + *n);
    }
    return 0;
}

/* Repeats the pass until nothing changes: buf holds n bytes before and *n after. */
static int settle(uint8_t buf[static NAME_INPUT_MAX], size_t *n)
{
    uint8_t next[NAME_INPUT_MAX];
    for (int passes = 0; passes < PASSES_MAX; passes++) {
        size_t m = 0;
        int verdict = 0;
        int err = pass(peal_bytes_of(buf, *n), next, &m, &verdict);
        if (err != 0 || verdict != 0)
            return err != 0 ? err : verdict;
        bool same = m == *n && memcmp(buf, next, m) == 0;
        memcpy(buf, next, m);
        *n = m;
        if (same)
            return 0;
    }
    return PEAL_E_MALFORMED;
}

int name_canonical(struct peal_bytes in, char out[static NAME_BYTES_MAX + 1])
{
    uint8_t buf[NAME_INPUT_MAX];
    size_t n = in.n;
    out[0] = 0;
    if (in.n == 0)
        return PEAL_E_USAGE;
    if (in.n > NAME_INPUT_MAX)
        return PEAL_E_TOO_LONG;
    if (!peal_utf8_valid(in))
        return PEAL_E_MALFORMED;
    memcpy(buf, in.p, in.n);
    if (in.n > NAME_CHARS_MAX || !all_plain(in)) {
        int err = settle(buf, &n);
        if (err != 0)
            return err;
    }
    CHECK(n >= 1 && n <= NAME_BYTES_MAX);
    memcpy(out, buf, n);
    out[n] = 0;
    return 0;
}

bool name_is_canonical(struct peal_bytes in)
{
    char out[NAME_BYTES_MAX + 1];
    if (in.n >= 1 && in.n <= NAME_CHARS_MAX && all_plain(in))
        return true;
    return name_canonical(in, out) == 0 && strlen(out) == in.n && memcmp(out, in.p, in.n) == 0;
}

const char *name_why(int err)
{
    switch (err) {
    case 0:
        return "this is a good name";
    case PEAL_E_USAGE:
        return "a name has at least one character";
    case PEAL_E_TOO_LONG:
        return "a name has at most 32 characters";
    case PEAL_E_REFUSED:
        return "a name does not mix alphabets that look alike, or directions of writing";
    default:
        return "a name has only letters, digits, '.', '_' and '-'";
    }
}
