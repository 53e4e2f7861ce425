/* core/err.c - names, texts and classes out of the one table. */
#include "core/err.h"

#define ERR_ROW(name, number, class, text) {number, ERR_CLASS_##class, #name, text},
static const struct err_row {
    int number;
    enum err_class class;
    const char *name, *text;
} err_rows[] = {{0, ERR_CLASS_NONE, "E_OK", "ok"}, ERR_LIST(ERR_ROW)};
#undef ERR_ROW

static const struct err_row *err_find(int64_t err)
{
    for (size_t i = 0; i < ARRAY_LEN(err_rows); i++)
        if (err_rows[i].number == -err)
            return &err_rows[i];
    return NULL;
}

const char *err_name(int err)
{
    const struct err_row *r = err_find(err);
    return r ? r->name : "E_?";
}

const char *err_text(int err)
{
    const struct err_row *r = err_find(err);
    return r ? r->text : "unknown error";
}

enum err_class err_class(int err)
{
    const struct err_row *r = err_find(err);
    return r ? r->class : ERR_CLASS_NONE;
}

bool err_is_retry(int err)
{
    return err_class(err) == ERR_CLASS_RETRY;
}

int err_checked(int64_t raw)
{
    return raw <= 0 && raw > -1000 && err_find(raw) ? (int)raw : E_PROTO;
}
