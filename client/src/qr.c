#include "qr.h"

#include <png.h>
#include <qrencode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int qr_make(const char *text, struct qr *out)
{
    size_t n = strnlen(text, QR_TEXT_MAX + 1);
    *out = (struct qr){.size = 0};
    if (n == 0 || n > QR_TEXT_MAX)
        return PEAL_E_TOO_LONG;
    QRcode *code = QRcode_encodeString(text, 0, QR_ECLEVEL_M, QR_MODE_8, 1);
    if (code == NULL)
        return PEAL_E_NO_MEMORY; /* such a text fits every level of the largest version */
    CHECK(code->width > 0);
    size_t size = (size_t)code->width;
    out->dark = calloc(size * size, sizeof *out->dark);
    for (size_t i = 0; out->dark != NULL && i < size * size; i++)
        out->dark[i] = (code->data[i] & 1) != 0;
    out->size = size;
    QRcode_free(code);
    return out->dark != NULL ? 0 : PEAL_E_NO_MEMORY;
}

void qr_free(struct qr *code)
{
    free(code->dark);
    *code = (struct qr){.size = 0};
}

/* At a place of the drawing, whose margin is light, as is what lies below it. */
static bool is_dark(const struct qr *code, size_t x, size_t y)
{
    if (x < QR_QUIET || y < QR_QUIET || x >= code->size + QR_QUIET || y >= code->size + QR_QUIET)
        return false;
    return code->dark[(y - QR_QUIET) * code->size + x - QR_QUIET];
}

int qr_lines(const struct qr *code, bool colours, char **out)
{
    static const char *const blocks[2][2] = {
        {"\xe2\x96\x88", "\xe2\x96\x80"}, /* light above: and below, alone */
        {"\xe2\x96\x84", " "},
    };
    size_t size = code->size + 2 * (size_t)QR_QUIET;
    size_t n;
    char *text = NULL;
    FILE *f = open_memstream(&text, &n);
    if (f == NULL)
        return PEAL_E_NO_MEMORY;
    for (size_t y = 0; y < size; y += 2) {
        (void)fputs(colours ? "\x1b[97;40m" : "", f);
        for (size_t x = 0; x < size; x++)
            (void)fputs(blocks[is_dark(code, x, y)][is_dark(code, x, y + 1)], f);
        (void)fputs(colours ? "\x1b[0m\n" : "\n", f);
    }
    bool failed = ferror(f) != 0;
    if (fclose(f) != 0 || failed) {
        free(text);
        return PEAL_E_NO_MEMORY;
    }
    *out = text;
    return 0;
}

static int encode(png_image *image, const uint8_t *pixels, uint8_t **out, size_t *n)
{
    png_alloc_size_t size = 0;
    if (png_image_write_to_memory(image, NULL, &size, 0, pixels, 0, NULL) == 0)
        return PEAL_E_NO_MEMORY;
    *out = malloc(size);
    if (*out == NULL)
        return PEAL_E_NO_MEMORY;
    if (png_image_write_to_memory(image, *out, &size, 0, pixels, 0, NULL) == 0) {
        free(*out);
        return PEAL_E_NO_MEMORY;
    }
    *n = size;
    return 0;
}

int qr_png(const struct qr *code, uint8_t **out, size_t *n)
{
    enum { BLACK = 0, WHITE = 255 };
    size_t side = (code->size + 2 * (size_t)QR_QUIET) * QR_PIXELS;
    uint8_t *pixels = malloc(side * side);
    if (pixels == NULL)
        return PEAL_E_NO_MEMORY;
    for (size_t y = 0; y < side; y++) {
        for (size_t x = 0; x < side; x++)
            pixels[y * side + x] = is_dark(code, x / QR_PIXELS, y / QR_PIXELS) ? BLACK : WHITE;
    }
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)side,
                       .height = (png_uint_32)side,
                       .format = PNG_FORMAT_GRAY};
    int err = encode(&image, pixels, out, n);
    png_image_free(&image);
    free(pixels);
    return err;
}
