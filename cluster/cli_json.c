/* cluster/cli_json.c - JSON as programs want it: whole numbers in full, always valid text.
 *
 * INVARIANT: what is printed is UTF-8.  Names of files are any bytes; one that is no part of a
 * UTF-8 sequence is written as the escape \udc80 ... \udcff, which Python's json and os.fsencode
 * turn back into that byte (surrogateescape). */
#include <inttypes.h>
#include <stdlib.h>
#include "cluster/cli.h"

static bool cli_printed; /* a document, or bytes, went to standard output */

void cli_printed_raw(void)
{
    cli_printed = true;
}

bool cli_has_printed(void)
{
    return cli_printed;
}

void cli_json_u64(cJSON *j, const char *name, uint64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, v);
    cJSON_AddRawToObject(j, name, text);
}

void cli_json_i64(cJSON *j, const char *name, int64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, v);
    cJSON_AddRawToObject(j, name, text);
}

/* bytes of the UTF-8 sequence at s; 0: it is none */
static size_t cli_json_sequence(const unsigned char *s)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (s[0] > 0xf4 || (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) /* the end of the text, too */
            return 0;
    return n;
}

void cli_json_write(FILE *out, const char *text)
{
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        size_t n = cli_json_sequence(s);
        if (n)
            fwrite(s, 1, n, out);
        else
            fprintf(out, "\\udc%02x", *s);
        s += n ? n : 1;
    }
}

void cli_print_json(cJSON *j)
{
    cli_printed = true;
    char *text = cJSON_Print(j);
    cli_json_write(stdout, text ? text : "{}");
    putchar('\n');
    free(text);
    cJSON_Delete(j);
}

void cli_json_item(struct cli_json_list *l, cJSON *item)
{
    char *text = cJSON_PrintUnformatted(item);
    cli_printed = true;
    fputs(l->n++ ? ",\n" : "[", stdout);
    cli_json_write(stdout, text ? text : "null");
    free(text);
    cJSON_Delete(item);
}

void cli_json_end(struct cli_json_list *l)
{
    cli_printed = true;
    puts(l->n ? "]" : "[]");
}
