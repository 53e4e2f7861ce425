/* sim/lab_json.c - see sim/lab_json.h. */
#include "sim/lab_json.h"

/* bytes of the character of UTF-8 at s; 0: there is none (RFC 3629: none too long, no surrogates)
 */
static size_t json_character(const unsigned char *s, size_t n)
{
    size_t len = s[0] < 0x80                    ? 1
                 : s[0] >= 0xc2 && s[0] <= 0xdf ? 2
                 : s[0] >= 0xe0 && s[0] <= 0xef ? 3
                 : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
                                                : 0;
    if (len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    bool wrong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
                 (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f);
    return wrong ? 0 : len;
}

void lab_json_bytes(FILE *to, const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    fputc('"', to);
    for (size_t i = 0; i < n;) {
        size_t len = json_character(p + i, n - i);
        if (!len || p[i] < 32) {
            fprintf(to, "\\u%04x", p[i++]);
            continue;
        }
        if (p[i] == '"' || p[i] == '\\')
            fputc('\\', to);
        fwrite(p + i, 1, len, to);
        i += len;
    }
    fputc('"', to);
}

void lab_json_string(FILE *to, const char *s)
{
    lab_json_bytes(to, s, strlen(s));
}
