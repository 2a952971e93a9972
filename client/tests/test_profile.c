#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core.h"
#include "db.h"

static char dir[64];
static struct profile *p;
static const char *const me = "alice";

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void reopen(void)
{
    char why[CLIENT_WHY_MAX];
    profile_close(p);
    p = NULL;
    int err = profile_open(dir, &p, why);
    cr_assert_eq(err, 0, "the profile does not open: %s", why);
}

static void set_up(void)
{
    snprintf(dir, sizeof dir, "/tmp/peal-test-XXXXXX");
    cr_assert_not_null(mkdtemp(dir), "no folder");
    cr_assert_eq(cry_init(), 0, "no randomness");
    reopen();
}

static void tear_down(void)
{
    profile_close(p);
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

TestSuite(profile, .init = set_up, .fini = tear_down);

static struct peal_msg_id id_of(unsigned n)
{
    struct peal_msg_id id = {{0}};
    id.b[7] = (uint8_t)(n >> 8);
    id.b[8] = (uint8_t)n;
    return id;
}

static int add(unsigned n, const char *peer, bool outgoing, const char *text)
{
    struct entry e = {.id = id_of(n),
                      .peer = peer,
                      .outgoing = outgoing,
                      .unread = !outgoing,
                      .stamp = n,
                      .state = outgoing ? MSG_QUEUED : MSG_DELIVERED,
                      .text = peal_bytes_str(text)};
    return profile_message_add(p, me, &e);
}

static int queue(unsigned n, const char *peer, const char *body)
{
    struct outrow row = {.id = id_of(n), .peer = peer, .kind = WIRE_ROW_MESSAGE};
    if (body != NULL)
        row.body = peal_bytes_str(body);
    return profile_outbox_add(p, me, &row);
}

static char seen[512];

static void see(void *user, const struct entry *e)
{
    (void)user;
    size_t n = strlen(seen);
    snprintf(seen + n, sizeof seen - n, "%.*s/%s%s ", (int)e->text.n, (const char *)e->text.p,
             msg_state_name(e->state), e->unread ? "!" : "");
}

static const char *history(const char *peer, uint64_t stamp, const struct peal_msg_id *id,
                           uint32_t limit)
{
    seen[0] = '\0';
    int err = profile_history(p, me, peer, stamp, id, limit, see, NULL);
    cr_assert_eq(err, 0, "the history does not read: %s", err_name(err));
    return seen;
}

static bool see_row(void *user, const struct outrow *row)
{
    size_t n = strlen(seen);
    snprintf(seen + n, sizeof seen - n, "%d:%.*s ", row->id.b[8], (int)row->body.n,
             (const char *)row->body.p);
    return --*(int *)user > 0;
}

static const char *outbox(int most)
{
    seen[0] = '\0';
    int err = profile_outbox(p, me, 0, see_row, &most);
    cr_assert_eq(err, 0, "the outbox does not read: %s", err_name(err));
    return seen;
}

Test(profile, is_private_and_of_one_process)
{
    struct stat st;
    char why[CLIENT_WHY_MAX];
    char path[128];
    struct profile *second;
    cr_assert_eq(stat(dir, &st), 0, "no folder");
    cr_assert_eq(st.st_mode & 0777, 0700, "the folder's mode is %o", st.st_mode & 0777);
    snprintf(path, sizeof path, "%s/profile.db", dir);
    cr_assert_eq(stat(path, &st), 0, "no file");
    cr_assert_eq(st.st_mode & 0077, 0, "the file's mode is %o", st.st_mode & 0777);
    cr_assert_eq(profile_open(dir, &second, why), PEAL_E_BUSY, "a second owner was let in");
}

Test(profile, makes_its_folder)
{
    char why[CLIENT_WHY_MAX];
    char deep[128];
    struct profile *q;
    snprintf(deep, sizeof deep, "%s/a/b/", dir);
    cr_assert_eq(profile_open(deep, &q, why), 0, "%s", why);
    profile_close(q);
    snprintf(deep, sizeof deep, "%s/profile.db/x", dir);
    cr_assert_neq(profile_open(deep, &q, why), 0, "a folder was made below a file");
    cr_assert(why[0] != '\0', "no reason was given");
}

Test(profile, refuses_a_newer_file)
{
    char why[CLIENT_WHY_MAX];
    cr_assert_eq(sqlite3_exec(p->db, "PRAGMA user_version=99", NULL, NULL, NULL), SQLITE_OK,
                 "no pragma");
    profile_close(p);
    p = NULL;
    struct profile *q;
    cr_assert_eq(profile_open(dir, &q, why), PEAL_E_VERSION, "a newer file was opened");
}

Test(profile, refuses_a_damaged_file)
{
    char why[CLIENT_WHY_MAX];
    char path[128];
    struct profile *q;
    profile_close(p);
    p = NULL;
    snprintf(path, sizeof path, "%s/profile.db", dir);
    FILE *f = fopen(path, "w");
    fputs("this is not a database, and long enough to be looked at by who thinks it is "
          "one...............",
          f);
    fclose(f);
    cr_assert_eq(profile_open(dir, &q, why), PEAL_E_CORRUPT, "a damaged file was opened");
}

static struct content migrated;
static char migrated_text[64];

static void see_unsealed(void *user, const struct outrow *row)
{
    (void)user;
    int err = content_read(row->plain, &migrated);
    cr_assert_eq(err, 0, "what waits cannot be read: %s", err_name(err));
    snprintf(migrated_text, sizeof migrated_text, "%.*s", (int)migrated.text.n,
             (const char *)migrated.text.p);
}

/* profile-1.db was written by version 1 of the form: messages in every state, one row of the outbox
 * that is sealed, one that is not, and a receipt. */
Test(profile, opens_a_file_of_the_first_form)
{
    struct account a;
    char path[128];
    char buf[4096];
    size_t n;
    profile_close(p);
    p = NULL;
    snprintf(path, sizeof path, "%s/profile.db", dir);
    FILE *from = fopen(PROFILE_1, "rb");
    FILE *to = fopen(path, "wb");
    cr_assert(from != NULL && to != NULL, "no files");
    while ((n = fread(buf, 1, sizeof buf, from)) > 0)
        cr_assert_eq(fwrite(buf, 1, n, to), n, "not written");
    fclose(from);
    fclose(to);
    snprintf(buf, sizeof buf, "%s-wal", path);
    unlink(buf);
    for (int i = 0; i < 2; i++) {
        reopen();
        cr_assert_eq(profile_account(p, &a), 0, "the account is gone");
        cr_assert_str_eq(a.name, "alice", "another account");
        cr_assert_str_eq(history("bob", INT64_MAX, NULL, 9),
                         "hello/read h\xc3\xa9llo yourself/delivered! (this message could not be "
                         "read: it is damaged)/unreadable! sealed and waiting/queued not sealed "
                         "y\xc3\xa9t/queued ",
                         "%s", seen);
        cr_assert_str_eq(outbox(9), "0:body 0:receipt ", "%s", seen);
        cr_assert_eq(profile_unsealed(p, me, "bob", see_unsealed, NULL), 0, "not read");
        cr_assert_str_eq(migrated_text, "not sealed y\xc3\xa9t", "%s", migrated_text);
        cr_assert_eq(migrated.stamp, 0x009a000000000005, "another stamp");
    }
}

Test(profile, keeps_the_small_facts)
{
    struct peal_secret key;
    struct peal_secret again;
    uint8_t pin[CRY_FP_BYTES] = {7};
    uint8_t got[CRY_FP_BYTES];
    struct account a = {.name = "alice",
                        .display = "Alice",
                        .has_token = true,
                        .token = {9},
                        .generation = 4,
                        .keys = {1, 2, 3},
                        .keys_n = 3};
    struct account b;
    cr_assert_eq(profile_pin(p, got), PEAL_E_NOT_FOUND, "a pin from nowhere");
    cr_assert_eq(profile_account(p, &b), PEAL_E_NOT_FOUND, "an account from nowhere");
    cr_assert_eq(profile_device_key(p, &key), 0, "no key");
    cr_assert_eq(profile_pin_set(p, pin), 0, "not pinned");
    cr_assert_eq(profile_account_set(p, &a), 0, "not kept");
    reopen();
    cr_assert_eq(profile_device_key(p, &again), 0, "no key");
    cr_assert(cry_secret_eq(&key, &again), "the device key changed");
    cr_assert_eq(profile_pin(p, got), 0, "the pin is gone");
    cr_assert_arr_eq(got, pin, sizeof pin, "another pin");
    cr_assert_eq(profile_account(p, &b), 0, "the account is gone");
    cr_assert_eq(memcmp(&a, &b, sizeof a), 0, "another account");
    a.has_token = false;
    memset(a.token, 0, sizeof a.token);
    cr_assert_eq(profile_account_set(p, &a), 0, "not kept");
    cr_assert_eq(profile_account(p, &b), 0, "the account is gone");
    cr_assert(!b.has_token, "the token came back");
    cr_assert_eq(profile_account_clear(p), 0, "not cleared");
    cr_assert_eq(profile_account(p, &b), PEAL_E_NOT_FOUND, "the account came back");
}

static void count(void *user, const char *address)
{
    (void)address;
    ++*(int *)user;
}

Test(profile, remembers_the_latest_servers)
{
    char address[32];
    int n = 0;
    for (int i = 0; i < PROFILE_SERVERS_MAX + 10; i++) {
        snprintf(address, sizeof address, "10.0.0.1:%d", 1000 + i);
        cr_assert_eq(profile_server_add(p, address, (uint64_t)i), 0, "not remembered");
    }
    cr_assert_eq(profile_servers(p, count, &n), 0, "not read");
    cr_assert_eq(n, PROFILE_SERVERS_MAX, "%d servers are remembered", n);
}

Test(profile, a_message_comes_in_once)
{
    cr_assert_eq(add(1, "bob", false, "first"), 0, "not added");
    cr_assert_eq(add(1, "bob", false, "again"), PEAL_E_EXISTS, "added twice");
    cr_assert_str_eq(history("bob", INT64_MAX, NULL, 9), "first/delivered! ", "%s", seen);
}

Test(profile, states_only_advance)
{
    bool done;
    struct peal_msg_id id = id_of(1);
    cr_assert_eq(add(1, "bob", true, "x"), 0, "not added");
    cr_assert_eq(profile_message_advance(p, me, &id, "carol", MSG_READ, &done), 0, "failed");
    cr_assert(!done, "somebody else's receipt counted");
    cr_assert_eq(profile_message_advance(p, me, &id, "bob", MSG_READ, &done), 0, "failed");
    cr_assert(done, "the receipt did not count");
    for (int state = MSG_QUEUED; state <= MSG_READ; state++) {
        cr_assert_eq(profile_message_advance(p, me, &id, "bob", state, &done), 0, "failed");
        cr_assert(!done, "went back from read to %s", msg_state_name(state));
    }
    cr_assert_eq(add(2, "bob", false, "y"), 0, "not added");
    id = id_of(2);
    cr_assert_eq(profile_message_advance(p, me, &id, "bob", MSG_READ, &done), 0, "failed");
    cr_assert(!done, "a receipt changed an incoming message");
}

Test(profile, history_is_in_order_and_paged)
{
    static const unsigned order[] = {3, 1, 5, 2, 4};
    for (size_t i = 0; i < PEAL_COUNT(order); i++) {
        char text[8];
        snprintf(text, sizeof text, "m%u", order[i]);
        cr_assert_eq(add(order[i], "bob", true, text), 0, "not added");
    }
    cr_assert_eq(add(9, "carol", true, "other"), 0, "not added");
    cr_assert_str_eq(history("bob", INT64_MAX, NULL, 2), "m4/queued m5/queued ", "%s", seen);
    struct peal_msg_id id = id_of(4);
    cr_assert_str_eq(history("bob", 4, &id, 2), "m2/queued m3/queued ", "%s", seen);
    cr_assert_str_eq(history("bob", 2, NULL, 9), "m1/queued ", "%s", seen);
}

Test(profile, outbox_keeps_its_order_and_survives)
{
    struct peal_msg_id id = id_of(2);
    for (unsigned n = 1; n <= 4; n++) {
        char body[8];
        snprintf(body, sizeof body, "b%u", n);
        cr_assert_eq(add(n, "bob", true, body), 0, "not added");
        cr_assert_eq(queue(n, "bob", n == 3 ? NULL : body), 0, "not queued");
    }
    reopen();
    cr_assert_str_eq(outbox(9), "1:b1 2:b2 4:b4 ", "%s", seen);
    cr_assert_str_eq(outbox(2), "1:b1 2:b2 ", "did not stop: %s", seen);
    cr_assert_eq(profile_outbox_del(p, me, &id), 0, "not deleted");
    cr_assert_eq(queue(3, "bob", "late"), 0, "not sealed");
    cr_assert_str_eq(outbox(9), "1:b1 4:b4 3:late ", "%s", seen);
    uint64_t n;
    cr_assert_eq(profile_outbox_count(p, me, &n), 0, "not counted");
    cr_assert_eq(n, 3, "%lu rows", (unsigned long)n);
}

Test(profile, accounts_do_not_mix)
{
    struct peal_msg_id id = id_of(1);
    cr_assert_eq(add(1, "bob", true, "x"), 0, "not added");
    cr_assert_eq(queue(1, "bob", "x"), 0, "not queued");
    seen[0] = '\0';
    int most = 9;
    cr_assert_eq(profile_outbox(p, "mallory", 0, see_row, &most), 0, "not read");
    cr_assert_str_eq(seen, "", "another account sees %s", seen);
    int state;
    cr_assert_eq(profile_message_state(p, "mallory", &id, &state), PEAL_E_NOT_FOUND,
                 "another account sees it");
}

/* What was committed is there after kill -9, what was not is not. */
Test(profile, survives_a_crash_between_two_transactions)
{
    profile_close(p);
    p = NULL;
    int ready[2];
    cr_assert_eq(pipe(ready), 0, "no pipe");
    pid_t child = fork();
    if (child == 0) {
        char why[CLIENT_WHY_MAX];
        if (profile_open(dir, &p, why) != 0 || profile_begin(p) != 0 ||
            add(1, "bob", true, "kept") != 0 || queue(1, "bob", "kept") != 0 ||
            profile_commit(p) != 0 || profile_begin(p) != 0 || add(2, "bob", true, "lost") != 0 ||
            queue(2, "bob", "lost") != 0)
            _exit(1);
        if (write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char byte;
    close(ready[1]);
    cr_assert_eq(read(ready[0], &byte, 1), 1, "the child failed");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    reopen();
    cr_assert_str_eq(history("bob", INT64_MAX, NULL, 9), "kept/queued ", "%s", seen);
    cr_assert_str_eq(outbox(9), "1:kept ", "%s", seen);
}

/* A full disk: nothing half done, and it goes on when there is room. */
Test(profile, a_full_disk_leaves_nothing_half_done)
{
    static char big[60000];
    memset(big, 'x', sizeof big - 1);
    cr_assert_eq(add(1, "bob", true, "before"), 0, "not added");
    cr_assert_eq(sqlite3_exec(p->db, "PRAGMA max_page_count=1", NULL, NULL, NULL), SQLITE_OK,
                 "no pragma");
    int err = profile_begin(p);
    cr_assert_eq(err, 0, "no transaction: %s", err_name(err));
    err = add(2, "bob", true, big);
    cr_assert_eq(err, PEAL_E_NO_SPACE, "a full disk says %s", err_name(err));
    profile_rollback(p);
    cr_assert_eq(sqlite3_exec(p->db, "PRAGMA max_page_count=1000000", NULL, NULL, NULL), SQLITE_OK,
                 "no pragma");
    cr_assert_str_eq(history("bob", INT64_MAX, NULL, 9), "before/queued ", "%s", seen);
    cr_assert_eq(add(3, "bob", true, "after"), 0, "does not go on");
}

Test(profile, unread_and_conversations)
{
    struct peal_msg_id id = id_of(2);
    cr_assert_eq(add(1, "bob", false, "b1"), 0, "not added");
    cr_assert_eq(add(2, "carol", false, "c2"), 0, "not added");
    cr_assert_eq(add(3, "bob", true, "b3"), 0, "not added");
    seen[0] = '\0';
    cr_assert_eq(profile_unread(p, me, NULL, 9, see, NULL), 0, "not read");
    cr_assert_str_eq(seen, "b1/delivered! c2/delivered! ", "%s", seen);
    cr_assert_eq(profile_mark_read(p, me, &id), 0, "not marked");
    seen[0] = '\0';
    cr_assert_eq(profile_unread(p, me, NULL, 9, see, NULL), 0, "not read");
    cr_assert_str_eq(seen, "b1/delivered! ", "%s", seen);
}

Test(profile, control_path)
{
    char path[108];
    char again[108];
    char deep[256];
    cr_assert_eq(profile_control(dir, false, path), 0, "no path");
    cr_assert_str_eq(path + strlen(dir), "/control.sock", "%s", path);
    snprintf(deep, sizeof deep, "%s/%0150d", dir, 7);
    cr_assert_eq(mkdir(deep, 0700), 0, "no folder");
    cr_assert_eq(profile_control(deep, false, path), PEAL_E_NOT_FOUND, "a path from nowhere");
    cr_assert_eq(profile_control(deep, true, path), 0, "no path");
    cr_assert_lt(strlen(path), 108, "too long");
    cr_assert_eq(profile_control(deep, false, again), 0, "not recorded");
    cr_assert_str_eq(path, again, "another path: %s", again);
}

static struct content parsed;

static int parse(const uint8_t *bytes, size_t n)
{
    memset(&parsed, 0xff, sizeof parsed);
    return content_read(peal_bytes_of(bytes, n), &parsed);
}

Test(profile, content_of_every_kind)
{
    uint8_t buf[128];
    size_t n;
    struct content text = {.kind = CONTENT_TEXT,
                           .stamp = 77,
                           .replies = true,
                           .target = id_of(5),
                           .vanish = 60,
                           .text = peal_bytes_str("hello")};
    cr_assert_eq(content_write(&text, sizeof buf, buf, &n), 0, "not written");
    cr_assert_eq(n, CONTENT_HEAD + 5, "%zu bytes", n);
    cr_assert_eq(parse(buf, n), 0, "not read");
    cr_assert(parsed.kind == CONTENT_TEXT && parsed.stamp == 77 && parsed.vanish == 60 &&
                  parsed.replies && msg_id_eq(&parsed.target, &text.target) &&
                  peal_bytes_eq(parsed.text, text.text),
              "another text");
    for (size_t i = 0; i <= CONTENT_HEAD; i++)
        cr_assert_lt(parse(buf, i), 0, "%zu of %zu bytes were read", i, n);
    buf[n - 1] = 0xff;
    cr_assert_eq(parse(buf, n), PEAL_E_MALFORMED, "bad UTF-8 was read");
    buf[2] = 0x80;
    buf[n - 1] = 'o';
    cr_assert_eq(parse(buf, n), PEAL_E_MALFORMED, "a stamp beyond 63 bits was read");
    buf[2] = 0;
    buf[1] = 99;
    cr_assert_eq(parse(buf, n), PEAL_E_VERSION, "an unknown kind was read");
    buf[1] = CONTENT_TEXT;
    buf[0] = 3;
    cr_assert_eq(parse(buf, n), PEAL_E_VERSION, "another version was read");
    text.replies = false;
    cr_assert_eq(content_write(&text, sizeof buf, buf, &n), 0, "not written");
    cr_assert(parse(buf, n) == 0 && !parsed.replies, "it answers something");

    struct content edit = {
        .kind = CONTENT_EDIT, .stamp = INT64_MAX, .target = id_of(6), .text = peal_bytes_str("x")};
    cr_assert_eq(content_write(&edit, sizeof buf, buf, &n), 0, "not written");
    cr_assert_eq(parse(buf, n), 0, "not read");
    cr_assert(parsed.kind == CONTENT_EDIT && parsed.stamp == INT64_MAX &&
                  msg_id_eq(&parsed.target, &edit.target) && peal_bytes_eq(parsed.text, edit.text),
              "another edit");
    cr_assert_eq(parse(buf, n - 1), PEAL_E_MALFORMED, "an edit without a text was read");
    struct content gone = {.kind = CONTENT_DELETE, .stamp = 3, .target = id_of(7)};
    cr_assert_eq(content_write(&gone, sizeof buf, buf, &n), 0, "not written");
    cr_assert_eq(parse(buf, n), 0, "not read");
    cr_assert(parsed.kind == CONTENT_DELETE && msg_id_eq(&parsed.target, &gone.target) &&
                  parsed.text.n == 0,
              "another deletion");
    cr_assert_eq(parse(buf, n + 1), PEAL_E_TRAILING, "more was read than there is");
    cr_assert_eq(parse(buf, n - 1), PEAL_E_TRUNCATED, "a piece was read");
}

/* What clients wrote before there was a second version. */
Test(profile, content_of_the_first_version)
{
    uint8_t buf[] = {1, 0, 0, 0, 0, 0, 0, 0, 77, 'h', 'i'};
    cr_assert_eq(parse(buf, sizeof buf), 0, "not read");
    cr_assert(parsed.kind == CONTENT_TEXT && parsed.stamp == 77 && !parsed.replies &&
                  parsed.vanish == 0 && peal_bytes_eq(parsed.text, peal_bytes_str("hi")),
              "another text");
    cr_assert_eq(parse(buf, 5), PEAL_E_TRUNCATED, "a piece was read");
    cr_assert_eq(parse(buf, 9), PEAL_E_MALFORMED, "nothing was read");
}

Test(profile, receipts)
{
    size_t n;
    uint8_t wire[RECEIPT_MAX];
    struct receipt r = {.state = MSG_READ, .n = 2, .sig = {5}};
    struct receipt back;
    r.ids[1] = id_of(9);
    cr_assert_eq(receipt_write(&r, sizeof wire, wire, &n), 0, "not written");
    cr_assert_eq(receipt_read(peal_bytes_of(wire, n), &back), 0, "not read");
    cr_assert(back.n == 2 && back.state == MSG_READ && msg_id_eq(&back.ids[1], &r.ids[1]) &&
                  back.sig[0] == 5,
              "another receipt");
    cr_assert_eq(receipt_read(peal_bytes_of(wire, n - 1), &back), PEAL_E_TRUNCATED,
                 "a piece was read");
    wire[1] = MSG_STORED;
    cr_assert_eq(receipt_read(peal_bytes_of(wire, n), &back), PEAL_E_MALFORMED,
                 "an impossible state was read");
    wire[2] = 0xff;
    cr_assert_eq(receipt_read(peal_bytes_of(wire, n), &back), PEAL_E_TOO_LONG,
                 "a long list was read");
}

Test(profile, what_is_forgotten_leaves_no_trace_in_the_end)
{
    struct peal_msg_id first = id_of(1);
    struct peal_msg_id second = id_of(2);
    uint64_t day_ms = (uint64_t)24 * 3600 * 1000;
    bool gone;
    cr_assert_eq(add(1, "bob", false, "x"), 0, "not added");
    cr_assert_eq(add(2, "bob", false, "y"), 0, "not added");
    cr_assert_eq(profile_begin(p), 0, "no transaction");
    cr_assert_eq(profile_forget(p, me, &first, 1000), 0, "not forgotten");
    cr_assert_eq(profile_forget(p, me, &first, 1000), PEAL_E_NOT_FOUND, "forgotten twice");
    cr_assert_eq(profile_commit(p), 0, "not committed");
    cr_assert_eq(add(1, "bob", false, "x"), PEAL_E_EXISTS, "it came back");
    cr_assert_eq(profile_begin(p), 0, "no transaction");
    cr_assert_eq(profile_forget(p, me, &second, (GONE_DAYS + 1) * day_ms), 0, "not forgotten");
    cr_assert_eq(profile_commit(p), 0, "not committed");
    cr_assert_eq(profile_is_gone(p, me, &first, &gone), 0, "not read");
    cr_assert(!gone, "the trace is still there");
    cr_assert_eq(profile_is_gone(p, me, &second, &gone), 0, "not read");
    cr_assert(gone, "the trace is not there");
}

Test(profile, content_that_agrees_when_messages_vanish)
{
    uint8_t buf[64];
    size_t n;
    struct content c = {.kind = CONTENT_VANISH, .stamp = 9, .vanish = 3600};
    cr_assert_eq(content_write(&c, sizeof buf, buf, &n), 0, "not written");
    cr_assert_eq(parse(buf, n), 0, "not read");
    cr_assert(parsed.kind == CONTENT_VANISH && parsed.vanish == 3600, "another agreement");
    cr_assert_eq(parse(buf, n - 1), PEAL_E_TRUNCATED, "a piece was read");
    cr_assert_eq(parse(buf, n + 1), PEAL_E_TRAILING, "more was read than there is");
}
