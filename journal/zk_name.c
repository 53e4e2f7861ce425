/* journal/zk_name.c - which paths servers take, and what numbers are called. */
#include "journal/zk_proto.h"

/* one character at s; 0: not UTF-8 as it should be, or one that servers refuse */
static size_t name_char(const uint8_t *s, size_t left)
{
    uint32_t c = s[0], n = 1;
    if (c >= 0xc2 && c <= 0xdf)
        n = 2;
    else if (c >= 0xe0 && c <= 0xef)
        n = 3;
    else if (c >= 0x80) /* four bytes are two surrogates for a server, which refuses these */
        return 0;
    if (n > left)
        return 0;
    c &= n == 1 ? 0x7f : n == 2 ? 0x1f : 0x0f;
    for (uint32_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    bool is_refused = c <= 0x1f || (c >= 0x7f && c <= 0x9f) || (c >= 0xd800 && c <= 0xf8ff) ||
                      c >= 0xfff0 || (n == 3 && c < 0x800);
    return is_refused ? 0 : n;
}

static bool name_is_dots(const char *s, size_t n)
{
    return (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.');
}

const char *zk_proto_path_wrong(const char *path, size_t len, bool is_sequential)
{
    if (!len || path[0] != '/')
        return "does not begin with '/'";
    for (size_t i = 0, n; i < len; i += n) {
        n = name_char((const uint8_t *)path + i, len - i);
        if (!n)
            return "has a character that no path may have";
    }
    if (len == 1)
        return NULL;
    for (size_t at = 1; at <= len;) {
        const char *slash = at < len ? memchr(path + at, '/', len - at) : NULL;
        size_t n = slash ? (size_t)(slash - path) - at : len - at;
        bool is_last = !slash;
        if (!(is_last && is_sequential)) {
            if (!n)
                return is_last ? "ends in '/'" : "has an empty name";
            if (name_is_dots(path + at, n))
                return "has a name that is '.' or '..'";
        }
        at += n + 1;
    }
    return NULL;
}

/* --- names --- */

const char *zk_proto_op_name(int32_t op)
{
    static const char *const names[] = {
        [ZK_OP_NONE] = "notification",
        [ZK_OP_CREATE] = "create",
        [ZK_OP_DELETE] = "delete",
        [ZK_OP_EXISTS] = "exists",
        [ZK_OP_GET_DATA] = "getData",
        [ZK_OP_SET_DATA] = "setData",
        [ZK_OP_GET_ACL] = "getACL",
        [ZK_OP_SET_ACL] = "setACL",
        [ZK_OP_GET_CHILDREN] = "getChildren",
        [ZK_OP_SYNC] = "sync",
        [ZK_OP_PING] = "ping",
        [ZK_OP_GET_CHILDREN2] = "getChildren2",
        [ZK_OP_CHECK] = "check",
        [ZK_OP_MULTI] = "multi",
        [ZK_OP_CREATE2] = "create2",
        [ZK_OP_RECONFIG] = "reconfig",
        [ZK_OP_CHECK_WATCHES] = "checkWatches",
        [ZK_OP_REMOVE_WATCHES] = "removeWatches",
        [ZK_OP_CREATE_CONTAINER] = "createContainer",
        [ZK_OP_DELETE_CONTAINER] = "deleteContainer",
        [ZK_OP_CREATE_TTL] = "createTTL",
        [ZK_OP_MULTI_READ] = "multiRead",
        [ZK_OP_AUTH] = "auth",
        [ZK_OP_SET_WATCHES] = "setWatches",
        [ZK_OP_SASL] = "sasl",
        [ZK_OP_GET_EPHEMERALS] = "getEphemerals",
        [ZK_OP_GET_ALL_CHILDREN_NUMBER] = "getAllChildrenNumber",
        [ZK_OP_SET_WATCHES2] = "setWatches2",
        [ZK_OP_ADD_WATCH] = "addWatch",
        [ZK_OP_WHO_AM_I] = "whoAmI",
    };
    if (op == ZK_OP_CREATE_SESSION)
        return "createSession";
    if (op == ZK_OP_CLOSE_SESSION)
        return "closeSession";
    if (op == ZK_OP_ERROR)
        return "error";
    return op >= 0 && (size_t)op < ARRAY_LEN(names) && names[op] ? names[op] : "unknown";
}

static const struct name_err {
    int32_t number;
    int e;
    const char *name, *text;
} name_errs[] = {
#define ZK_ERR_ROW(name, number, e, text) {number, e, #name, text},
    ZK_ERR_LIST(ZK_ERR_ROW)
#undef ZK_ERR_ROW
};

static const struct name_err *name_err_find(int32_t err)
{
    static const struct name_err none = {0, E_IO, "UNKNOWN", "an error that is not known here"};
    for (size_t i = 0; i < ARRAY_LEN(name_errs); i++)
        if (name_errs[i].number == err)
            return &name_errs[i];
    return &none;
}

const char *zk_proto_err_name(int32_t err)
{
    return name_err_find(err)->name;
}

const char *zk_proto_err_text(int32_t err)
{
    return name_err_find(err)->text;
}

int zk_proto_err_to_e(int32_t err)
{
    return name_err_find(err)->e;
}

const char *zk_proto_event_name(int32_t event)
{
    static const char *const names[] = {"unknown",       "created",           "deleted",
                                        "data",          "children",          "data removed",
                                        "child removed", "persistent removed"};
    if (event == ZK_EVENT_NONE)
        return "none";
    return event > 0 && (size_t)event < ARRAY_LEN(names) ? names[event] : names[0];
}
