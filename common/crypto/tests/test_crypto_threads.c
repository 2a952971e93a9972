/* What worker threads do at once: bcrypt, Argon2id, parsing and checking strangers' bytes. A plain
 * program, so that it runs under ThreadSanitizer too; each thread must get the answers that one
 * thread alone gets. */
#include "fixture.h"

#include <pthread.h>
#include <stdio.h>

enum { THREADS = 4, ROUNDS = 4 };

static struct octets bundle, ca, cert;

static int one_round(unsigned number)
{
    struct peal_secret auth = secret_from((uint8_t)number);
    struct peal_secret wrong = secret_from((uint8_t)(number + 1));
    struct cry_kdf kdf = {.ops = CRY_KDF_OPS_MIN, .mem = CRY_KDF_MEM_MIN};
    struct peal_secret one;
    struct peal_secret two;
    struct peal_id id;
    char hash[CRY_BCRYPT_SIZE];
    struct cry_public *p = NULL;
    if (cry_bcrypt_hash(&auth, CRY_BCRYPT_COST_MIN, hash) != 0 ||
        cry_bcrypt_verify(&auth, hash) != 0 || cry_bcrypt_verify(&wrong, hash) != PEAL_E_AUTH)
        return -1;
    if (cry_password_split(peal_bytes_str("a password"), &kdf, &one, &two) != 0 ||
        cry_secret_eq(&one, &two))
        return -1;
    if (cry_cert_verify(view(&cert), view(&ca), &id) != 0)
        return -1;
    int rc = cry_public_parse(view(&bundle), &p);
    cry_public_free(p);
    return rc;
}

static void *work(void *arg)
{
    static char failed;
    const unsigned *number = arg;
    for (unsigned i = 0; i < ROUNDS; i++)
        if (one_round(*number + i) != 0)
            return &failed;
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];
    unsigned failures = 0;
    if (cry_init() != 0)
        return 1;
    bundle = octets_of(V_BOB_BUNDLE);
    ca = octets_of(V_CA);
    cert = octets_of(V_NODE_CERT);
    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = 10 * i;
        int rc = pthread_create(&threads[i], NULL, work, &numbers[i]);
        CHECK(rc == 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        void *result = NULL;
        int rc = pthread_join(threads[i], &result);
        CHECK(rc == 0);
        failures += result != NULL;
    }
    printf("%u of %u threads failed\n", failures, (unsigned)THREADS);
    return failures == 0 ? 0 : 1;
}
