/* The drawings of a QR code, taken apart again and held against libqrencode's modules. */
#include <criterion/criterion.h>
#include <png.h>
#include <qrencode.h>
#include <stdlib.h>
#include <string.h>

#include "qr.h"

static const char safety[] =
    "peal-safety:1:392600920578609388593880965970536450004056195221037947111729";

static QRcode *reference(const char *text)
{
    QRcode *code = QRcode_encodeString(text, 0, QR_ECLEVEL_M, QR_MODE_8, 1);
    cr_assert_not_null(code, "libqrencode does not take it");
    return code;
}

/* Of the drawing, margin included. */
static bool should_be_dark(const QRcode *code, size_t x, size_t y)
{
    size_t width = (size_t)code->width;
    if (x < QR_QUIET || y < QR_QUIET || x >= width + QR_QUIET || y >= width + QR_QUIET)
        return false;
    return (code->data[(y - QR_QUIET) * width + x - QR_QUIET] & 1) != 0;
}

Test(qr, a_picture_is_the_code)
{
    struct qr code;
    uint8_t *file = NULL;
    size_t n = 0;
    QRcode *ref = reference(safety);
    cr_assert_eq(qr_make(safety, &code), 0, "no code");
    cr_assert_eq(qr_png(&code, &file, &n), 0, "no picture");
    png_image image = {.version = PNG_IMAGE_VERSION};
    cr_assert_neq(png_image_begin_read_from_memory(&image, file, n), 0, "libpng: %s",
                  image.message);
    size_t side = ((size_t)ref->width + 2 * QR_QUIET) * QR_PIXELS;
    cr_assert_eq(image.width, side, "%u pixels wide", image.width);
    cr_assert_eq(image.height, side, "%u pixels high", image.height);
    image.format = PNG_FORMAT_GRAY;
    uint8_t *pixels = malloc(PNG_IMAGE_SIZE(image));
    cr_assert_neq(png_image_finish_read(&image, NULL, pixels, 0, NULL), 0, "libpng: %s",
                  image.message);
    size_t dark = 0;
    for (size_t y = 0; y < side; y++) {
        for (size_t x = 0; x < side; x++) {
            bool want = should_be_dark(ref, x / QR_PIXELS, y / QR_PIXELS);
            cr_assert_eq(pixels[y * side + x], want ? 0 : 255, "pixel %zu, %zu is %u", x, y,
                         pixels[y * side + x]);
            dark += want;
        }
    }
    cr_assert_gt(dark, side * side / 5, "hardly anything is dark: %zu", dark);
    free(pixels);
    free(file);
    qr_free(&code);
    QRcode_free(ref);
}

/* Reads one cell of the lines: how much of it is drawn, which is what is light. */
static const char *cell(const char *s, bool *above, bool *below)
{
    *above = *below = false;
    if (*s == ' ')
        return s + 1;
    *above = strncmp(s, "\xe2\x96\x88", 3) == 0 || strncmp(s, "\xe2\x96\x80", 3) == 0;
    *below = strncmp(s, "\xe2\x96\x88", 3) == 0 || strncmp(s, "\xe2\x96\x84", 3) == 0;
    cr_assert(*above || *below, "neither a block nor a blank: %.6s", s);
    return s + 3;
}

static const char *past(const char *s, const char *what)
{
    cr_assert_eq(strncmp(s, what, strlen(what)), 0, "no \"%s\" but %.8s", what, s);
    return s + strlen(what);
}

static void compare_lines(const char *text, bool colours)
{
    struct qr code;
    char *lines = NULL;
    QRcode *ref = reference(text);
    cr_assert_eq(qr_make(text, &code), 0, "no code");
    cr_assert_eq(qr_lines(&code, colours, &lines), 0, "no lines");
    size_t size = (size_t)ref->width + 2 * QR_QUIET;
    const char *s = lines;
    for (size_t y = 0; y < size; y += 2) {
        s = past(s, colours ? "\x1b[97;40m" : "");
        for (size_t x = 0; x < size; x++) {
            bool above;
            bool below;
            s = cell(s, &above, &below);
            cr_assert_eq(above, !should_be_dark(ref, x, y), "module %zu, %zu", x, y);
            cr_assert_eq(below, !should_be_dark(ref, x, y + 1), "module %zu, %zu", x, y + 1);
        }
        s = past(s, colours ? "\x1b[0m\n" : "\n");
    }
    cr_assert_eq(*s, '\0', "something follows: %s", s);
    free(lines);
    qr_free(&code);
    QRcode_free(ref);
}

Test(qr, lines_are_the_code)
{
    compare_lines(safety, false);
    compare_lines(safety, true);
    compare_lines("a", false); /* the smallest version */
}

Test(qr, has_limits)
{
    char text[QR_TEXT_MAX + 2];
    struct qr code;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    cr_assert_eq(qr_make(text, &code), PEAL_E_TOO_LONG, "too long a text was taken");
    text[QR_TEXT_MAX] = '\0';
    cr_assert_eq(qr_make(text, &code), 0, "the longest text was refused");
    qr_free(&code);
    cr_assert_eq(qr_make("", &code), PEAL_E_TOO_LONG, "nothing was taken");
}
