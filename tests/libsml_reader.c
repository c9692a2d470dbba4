/* Reads SML telegrams with libsml, for the tests. Standard input holds telegrams, each behind its size (four bytes,
 * least significant first), since libsml's own transport waits for ever at the end of a file. Prints what it found:
 *
 * L SERVER-ID                                     one list of values; bytes are in hexadecimal digits
 * E NAME STATUS UNIT SCALER TYPE VALUE            one entry; "-" is what is left out
 *
 * TYPE is i (signed), u (unsigned), o (octets) or b (boolean). Ends with its input.
 */
#include <inttypes.h>
#include <stdio.h>

#include <sml/sml_file.h>
#include <sml/sml_value.h>

static void octets(const octet_string *text)
{
    if (text == NULL || text->len == 0)
        fputs("-", stdout);
    for (int at = 0; text != NULL && at < text->len; at++)
        printf("%02x", text->str[at]);
}

static void status(const sml_status *found)
{
    switch (found == NULL ? 0 : found->type & SML_LENGTH_FIELD) {
    case 1: printf(" %" PRIu8, *found->data.status8); break;
    case 2: printf(" %" PRIu16, *found->data.status16); break;
    case 4: printf(" %" PRIu32, *found->data.status32); break;
    case 8: printf(" %" PRIu64, *found->data.status64); break;
    default: fputs(" -", stdout);
    }
}

static void value(const sml_value *found)
{
    switch (found == NULL ? 0xff : found->type) {
    case SML_TYPE_OCTET_STRING: fputs(" o ", stdout); octets(found->data.bytes); break;
    case SML_TYPE_BOOLEAN: printf(" b %d", *found->data.boolean != 0); break;
    case SML_TYPE_INTEGER | 1: printf(" i %" PRId8, *found->data.int8); break;
    case SML_TYPE_INTEGER | 2: printf(" i %" PRId16, *found->data.int16); break;
    case SML_TYPE_INTEGER | 4: printf(" i %" PRId32, *found->data.int32); break;
    case SML_TYPE_INTEGER | 8: printf(" i %" PRId64, *found->data.int64); break;
    case SML_TYPE_UNSIGNED | 1: printf(" u %" PRIu8, *found->data.uint8); break;
    case SML_TYPE_UNSIGNED | 2: printf(" u %" PRIu16, *found->data.uint16); break;
    case SML_TYPE_UNSIGNED | 4: printf(" u %" PRIu32, *found->data.uint32); break;
    case SML_TYPE_UNSIGNED | 8: printf(" u %" PRIu64, *found->data.uint64); break;
    default: fputs(" - -", stdout);
    }
    putchar('\n');
}

static void telegram(unsigned char *data, size_t size)
{
    sml_file *file = sml_file_parse(data + 8, size - 16);
    for (int at = 0; at < file->messages_len; at++) {
        sml_message *message = file->messages[at];
        if (message->message_body == NULL || *message->message_body->tag != SML_MESSAGE_GET_LIST_RESPONSE)
            continue;
        sml_get_list_response *body = message->message_body->data;
        fputs("L ", stdout);
        octets(body->server_id);
        putchar('\n');
        for (sml_list *entry = body->val_list; entry != NULL; entry = entry->next) {
            fputs("E ", stdout);
            octets(entry->obj_name);
            status(entry->status);
            entry->unit == NULL ? (void)fputs(" -", stdout) : (void)printf(" %" PRIu8, *entry->unit);
            entry->scaler == NULL ? (void)fputs(" -", stdout) : (void)printf(" %" PRId8, *entry->scaler);
            value(entry->value);
        }
    }
    sml_file_free(file);
}

int main(void)
{
    static unsigned char data[65536];
    unsigned char size[4];
    while (fread(size, 1, 4, stdin) == 4) {
        size_t length = size[0] | size[1] << 8 | size[2] << 16 | (size_t)size[3] << 24;
        if (length < 16 || length > sizeof data || fread(data, 1, length, stdin) != length)
            return 2;
        telegram(data, length);
    }
    return 0;
}
