/* Eleven messages and their encodings, kept so that neither format changes unnoticed. A change here
 * is a change of the protocol. */
#ifndef PEAL_WIRE_GOLDEN_H
#define PEAL_WIRE_GOLDEN_H

#include <peal/wire.h>

struct golden {
    uint16_t type;
    union wire_any msg;
    const char *hex;
    const char *json;
};

static inline bool golden_message(unsigned i, struct golden *g)
{
    static const struct peal_id id = {{0x01, 0x02, 0x03, [ID_BYTES - 1] = 0xff}};
    static const struct peal_msg_id msg_id = {{0x01, 0x94, [MSG_ID_BYTES - 1] = 0x7f}};
    static const uint8_t body[] = {0x00, 0xfb, 0xff, 0xbe};
    static struct wire_row row;
    static struct peal_msg_id ids[2];
    static struct peal_id path[] = {{{0x12, [ID_BYTES - 1] = 2}}, {{0xc9, [ID_BYTES - 1] = 1}}};
    static struct peal_id way[2];
    static const char list[] = "\x09"
                               "1.2.3.4:5"
                               "\x07"
                               "[::1]:6"; /* of addresses */
    static struct wire_contact contact;
    contact = (struct wire_contact){.id = id,
                                    .incarnation = 3,
                                    .addresses = peal_bytes_of(list, sizeof list - 1),
                                    .key = peal_bytes_of(body, sizeof body),
                                    .signature = peal_bytes_of(body, 1)};
    row = (struct wire_row){.box = id,
                            .id = msg_id,
                            .kind = WIRE_ROW_MESSAGE,
                            .from = peal_bytes_str("zo\xc3\xab"),
                            .stamp = UINT64_MAX,
                            .expires = 1700000000000,
                            .body = peal_bytes_of(body, sizeof body)};
    ids[0] = msg_id;
    ids[1] = (struct peal_msg_id){{0xff}};
    way[0] = id;
    way[1] = (struct peal_id){{0xff}};
    switch (i) {
    case 0:
        *g = (struct golden){
            .type = WIRE_c_send,
            .msg.c_send = {.id = msg_id,
                           .name = peal_bytes_str("bob"),
                           .kind = WIRE_ROW_MESSAGE,
                           .body = peal_bytes_of(body, sizeof body)},
            .hex = "004b0194000000000000000000000000007f00000003626f62010000000400fbffbe",
            .json = "{\"t\":\"c_send\",\"id\":\"0194000000000000000000000000007f\",\"name\":"
                    "\"bob\",\"kind\":1,\"body\":\"APv_vg\"}"};
        return true;
    case 1:
        *g = (struct golden){
            .type = WIRE_c_deliver,
            .msg.c_deliver = {.rows = {&row, 1}},
            .hex = "004e0000000101020300000000000000000000000000000000ff019400000000000000000000000"
                   "0007f01000000047a6fc3abffffffffffffffff0000018bcfe568000000000400fbffbe",
            .json =
                "{\"t\":\"c_deliver\",\"rows\":[{\"box\":"
                "\"01020300000000000000000000000000000000ff\",\"id\":"
                "\"0194000000000000000000000000007f\",\"kind\":1,\"from\":\"zo\xc3\xab\",\"stamp\":"
                "\"18446744073709551615\",\"expires\":\"1700000000000\",\"body\":\"APv_vg\"}]}"};
        return true;
    case 2:
        *g = (struct golden){.type = WIRE_c_error,
                             .msg.c_error = {.req = 7,
                                             .code = 12,
                                             .message = peal_bytes_str("\"no\"\n\\"),
                                             .hint = peal_bytes_str("")},
                             .hex = "00420000000000000007000c00000006226e6f220a5c00000000",
                             .json = "{\"t\":\"c_error\",\"req\":\"7\",\"code\":12,\"message\":"
                                     "\"\\\"no\\\"\\u000a\\\\\",\"hint\":\"\"}"};
        return true;
    case 3:
        *g = (struct golden){
            .type = WIRE_c_ack,
            .msg.c_ack = {.ids = {ids, 2}},
            .hex = "004f000000020194000000000000000000000000007fff000000000000000000000000000000",
            .json = "{\"t\":\"c_ack\",\"ids\":[\"0194000000000000000000000000007f\","
                    "\"ff000000000000000000000000000000\"]}"};
        return true;
    case 4:
        *g = (struct golden){
            .type = WIRE_c_ring_get,
            .msg.c_ring_get = {.req = UINT64_MAX, .observe = true},
            .hex = "0056ffffffffffffffff01",
            .json = "{\"t\":\"c_ring_get\",\"req\":\"18446744073709551615\",\"observe\":true}"};
        return true;
    case 5:
        *g = (struct golden){.type = WIRE_c_lookup,
                             .msg.c_lookup = {.req = 9, .name = peal_bytes_str("zo\xc3\xab")},
                             .hex = "00590000000000000009000000047a6fc3ab",
                             .json = "{\"t\":\"c_lookup\",\"req\":\"9\",\"name\":\"zo\xc3\xab\"}"};
        return true;
    case 6:
        *g = (struct golden){
            .type = WIRE_c_path,
            .msg.c_path = {.req = 9, .key = id, .owner = path[1], .path = {path, 2}, .micros = 640},
            .hex =
                "005a000000000000000901020300000000000000000000000000000000ffc9000000000000000000"
                "00000000000000000001000000021200000000000000000000000000000000000002c90000000000"
                "00000000000000000000000000010000000000000280",
            .json = "{\"t\":\"c_path\","
                    "\"req\":\"9\","
                    "\"key\":\"01020300000000000000000000000000000000ff\","
                    "\"owner\":\"c900000000000000000000000000000000000001\","
                    "\"path\":[\"1200000000000000000000000000000000000002\","
                    "\"c900000000000000000000000000000000000001\"],"
                    "\"micros\":\"640\"}"};
        return true;
    case 7:
        *g = (struct golden){
            .type = WIRE_r_find,
            .msg.r_find = {.to = id,
                           .stamp = 1,
                           .op = UINT64_MAX,
                           .kind = 1,
                           .spare = 4,
                           .key = {{0x80}},
                           .path = {way, 2}},
            .hex = "002e01020300000000000000000000000000000000ff0000000000000001ffffffffffffffff010"
                   "4800"
                   "0000000000000000000000000000000000000000000020102030000000000000000000000000000"
                   "0000"
                   "ffff00000000000000000000000000000000000000",
            .json =
                "{\"t\":\"r_find\",\"to\":\"01020300000000000000000000000000000000ff\",\"stamp\":"
                "\"1\",\"op\":\"18446744073709551615\",\"kind\":1,\"spare\":4,\"key\":"
                "\"8000000000000000000000000000000000000000\",\"path\":["
                "\"01020300000000000000000000000000000000ff\","
                "\"ff00000000000000000000000000000000000000\"]}"};
        return true;
    case 8:
        *g = (struct golden){
            .type = WIRE_n_contacts,
            .msg.n_contacts = {.to = id, .stamp = 1, .contacts = {&contact, 1}},
            .hex = "000401020300000000000000000000000000000000ff0000000000000001"
                   "00000001"
                   "01020300000000000000000000000000000000ff0000000000000003"
                   "0000001209312e322e332e343a35075b3a3a315d3a36"
                   "0000000400fbffbe0000000100",
            .json = "{\"t\":\"n_contacts\",\"to\":\"01020300000000000000000000000000000000ff\","
                    "\"stamp\":\"1\",\"contacts\":[{"
                    "\"id\":\"01020300000000000000000000000000000000ff\",\"incarnation\":\"3\","
                    "\"addresses\":[\"1.2.3.4:5\",\"[::1]:6\"],\"key\":\"APv_vg\","
                    "\"signature\":\"AA\"}]}"};
        return true;
    case 9:
        *g = (struct golden){
            .type = WIRE_n_reg_prepare,
            .msg.n_reg_prepare = {.to = id,
                                  .stamp = 1,
                                  .ring = {{0x80}},
                                  .epoch = 2,
                                  .op = UINT64_MAX,
                                  .look = true,
                                  .key = id,
                                  .ballot = {(uint64_t)2 << 40 | 7, path[1]}},
            .hex = "000b01020300000000000000000000000000000000ff0000000000000001"
                   "8000000000000000000000000000000000000000"
                   "0000000000000002ffffffffffffffff01"
                   "01020300000000000000000000000000000000ff"
                   "0000020000000007c900000000000000000000000000000000000001",
            .json = "{\"t\":\"n_reg_prepare\","
                    "\"to\":\"01020300000000000000000000000000000000ff\",\"stamp\":\"1\","
                    "\"ring\":\"8000000000000000000000000000000000000000\",\"epoch\":\"2\","
                    "\"op\":\"18446744073709551615\",\"look\":true,"
                    "\"key\":\"01020300000000000000000000000000000000ff\","
                    "\"ballot\":{\"round\":\"2199023255559\","
                    "\"node\":\"c900000000000000000000000000000000000001\"}}"};
        return true;
    case 10:
        *g = (struct golden){
            .type = WIRE_n_reg_accept,
            .msg.n_reg_accept = {.to = id,
                                 .stamp = 1,
                                 .ring = {{0x80}},
                                 .epoch = 2,
                                 .op = 9,
                                 .key = id,
                                 .ballot = {(uint64_t)2 << 40 | 7, path[1]},
                                 .next = {(uint64_t)2 << 40 | 8, path[1]},
                                 .value = peal_bytes_of(body, sizeof body)},
            .hex = "000d01020300000000000000000000000000000000ff0000000000000001"
                   "8000000000000000000000000000000000000000"
                   "00000000000000020000000000000009"
                   "01020300000000000000000000000000000000ff"
                   "0000020000000007c900000000000000000000000000000000000001"
                   "0000020000000008c900000000000000000000000000000000000001"
                   "0000000400fbffbe",
            .json = "{\"t\":\"n_reg_accept\","
                    "\"to\":\"01020300000000000000000000000000000000ff\",\"stamp\":\"1\","
                    "\"ring\":\"8000000000000000000000000000000000000000\",\"epoch\":\"2\","
                    "\"op\":\"9\","
                    "\"key\":\"01020300000000000000000000000000000000ff\","
                    "\"ballot\":{\"round\":\"2199023255559\","
                    "\"node\":\"c900000000000000000000000000000000000001\"},"
                    "\"next\":{\"round\":\"2199023255560\","
                    "\"node\":\"c900000000000000000000000000000000000001\"},"
                    "\"value\":\"APv_vg\"}"};
        return true;
    default:
        return false;
    }
}

#endif
