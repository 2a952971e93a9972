/* qr: a QR code for a terminal and as a picture. libqrencode makes the code, libpng the file; this
 * only draws. */
#ifndef PEAL_CLIENT_QR_H
#define PEAL_CLIENT_QR_H

#include <peal/base.h>

enum {
    QR_TEXT_MAX = 512, /* bytes that a code may say */
    QR_QUIET = 4,      /* modules of light margin, as the standard wants */
    QR_PIXELS = 8,     /* a module's side in the picture */
};

/* size × size modules, row by row. */
struct qr {
    size_t size;
    bool *dark;
};

/* Error correction M. PEAL_E_TOO_LONG: longer than QR_TEXT_MAX, or empty. PEAL_E_NO_MEMORY. */
PEAL_MUST int qr_make(const char *text, struct qr *out);
void qr_free(struct qr *code);

/* Lines of half blocks, the margin included: what is light is drawn, what is dark is left out, so
 * that it is right on a dark terminal; with colours (SGR, white on black) on any. The caller frees
 * *out. PEAL_E_NO_MEMORY. */
PEAL_MUST int qr_lines(const struct qr *code, bool colours, char **out);
/* A PNG file of grey pixels, the margin included; the caller frees *out. PEAL_E_NO_MEMORY. */
PEAL_MUST int qr_png(const struct qr *code, uint8_t **out, size_t *n);

#endif
