/* journal/raft_format.c - see raft_format.h. */
#include "journal/raft_format.h"

enum { RAFT_FORMAT_IMAGE_MAGIC = 0x31475252 };

enum { RAFT_FORMAT_REJECT = 1, RAFT_FORMAT_FORCE = 2, RAFT_FORMAT_UNFIT = 4, RAFT_FORMAT_LOST = 8 };
enum { RAFT_FORMAT_YOUNG = 1, RAFT_FORMAT_ENDED = 2 };

void raft_format_conf_put(struct wbuf *w, const struct raft_conf *c)
{
    wbuf_u32(w, c->n);
    for (uint32_t i = 0; i < c->n; i++) {
        const struct raft_member *m = &c->member[i];
        wbuf_u32(w, m->id.v);
        wbuf_u8(w, m->flags);
        wbuf_u8(w, m->priority);
        wbuf_u64(w, m->disk);
        wbuf_str16(w, m->addr, strlen(m->addr));
    }
}

int raft_format_conf_get(struct rbuf *r, struct raft_conf *ret_conf)
{
    struct raft_conf *c = ret_conf;
    memset(c, 0, sizeof *c); /* equal configurations are equal bytes */
    c->n = rbuf_u32(r);
    if (c->n > RAFT_MEMBERS_MAX)
        return E_PROTO;
    for (uint32_t i = 0; i < c->n; i++) {
        struct raft_member *m = &c->member[i];
        m->id.v = rbuf_u32(r);
        m->flags = rbuf_u8(r);
        m->priority = rbuf_u8(r);
        m->disk = rbuf_u64(r);
        size_t n;
        const char *addr = rbuf_str16(r, &n);
        if (!addr || n >= sizeof m->addr || memchr(addr, 0, n) || m->id.v == 0 ||
            (i && m[-1].id.v >= m->id.v) || m->flags == 0 ||
            (m->flags & ~(RAFT_VOTER | RAFT_OLD | RAFT_LEARNER | RAFT_PROMOTE)))
            return E_PROTO;
        memcpy(m->addr, addr, n);
    }
    return r->bad ? E_PROTO : 0;
}

void raft_format_image_put(struct wbuf *w, uint64_t index, uint64_t term, const struct raft_conf *c)
{
    wbuf_u32(w, RAFT_FORMAT_IMAGE_MAGIC);
    wbuf_u64(w, index);
    wbuf_u64(w, term);
    raft_format_conf_put(w, c);
}

int raft_format_image_get(struct rbuf *r, uint64_t *ret_index, uint64_t *ret_term,
                          struct raft_conf *ret_conf)
{
    uint32_t magic = rbuf_u32(r);
    *ret_index = rbuf_u64(r);
    *ret_term = rbuf_u64(r);
    return r->bad || magic != RAFT_FORMAT_IMAGE_MAGIC || raft_format_conf_get(r, ret_conf)
               ? E_VERSION
               : 0;
}

void raft_format_head_put(struct wbuf *w, const struct raft_message *m)
{
    wbuf_u8(w, (uint8_t)m->type);
    wbuf_u8(w, (uint8_t)((m->reject ? RAFT_FORMAT_REJECT : 0) | (m->force ? RAFT_FORMAT_FORCE : 0) |
                         (m->unfit ? RAFT_FORMAT_UNFIT : 0) | (m->lost ? RAFT_FORMAT_LOST : 0)));
    wbuf_u32(w, m->from.v);
    wbuf_u32(w, m->to.v);
    wbuf_u64(w, m->term);
    wbuf_u64(w, m->index);
    wbuf_u64(w, m->log_term);
    wbuf_u64(w, m->hint);
    wbuf_u64(w, m->commit);
    wbuf_u64(w, m->read);
    wbuf_u64(w, (uint64_t)m->sent_ns);
    wbuf_u64(w, 0); /* reserved */
    wbuf_u32(w, m->n);
    /* more flags: those not known say nothing */
    wbuf_u32(w, (m->young ? RAFT_FORMAT_YOUNG : 0) | (m->ended ? RAFT_FORMAT_ENDED : 0));
}

void raft_format_entry_put(struct wbuf *w, const struct raft_entry *e, const void *bytes)
{
    wbuf_u64(w, e->term);
    wbuf_u8(w, e->type);
    wbuf_u32(w, e->len);
    wbuf_bytes(w, bytes, e->len);
}

static int raft_format_entries(struct rbuf *r, struct raft_format_message *f)
{
    struct raft_message *m = &f->message;
    if (m->n > RAFT_BATCH_ENTRIES || (m->n && m->type != RAFT_MSG_APPEND))
        return E_PROTO;
    for (uint32_t i = 0; i < m->n; i++) {
        struct raft_entry *e = &f->entry[i];
        e->term = rbuf_u64(r);
        e->type = rbuf_u8(r);
        e->len = rbuf_u32(r);
        f->bytes[i] = rbuf_bytes(r, e->len);
        if (r->bad || (e->type == RAFT_NOOP && e->len))
            return E_PROTO;
        if (e->type != RAFT_CONF)
            continue;
        struct rbuf c = rbuf_make(f->bytes[i], e->len);
        if (i + 1 < m->n || raft_format_conf_get(&c, &f->conf) || rbuf_left(&c))
            return E_PROTO;
        m->conf = &f->conf;
    }
    return 0;
}

int raft_format_get(const void *p, size_t n, struct raft_format_message *ret)
{
    struct rbuf r = rbuf_make(p, n);
    struct raft_message *m = &ret->message;
    uint8_t type = rbuf_u8(&r), flags = rbuf_u8(&r);
    *m = (struct raft_message){.type = (enum raft_message_type)type,
                               .reject = flags & RAFT_FORMAT_REJECT,
                               .force = flags & RAFT_FORMAT_FORCE,
                               .unfit = flags & RAFT_FORMAT_UNFIT,
                               .lost = flags & RAFT_FORMAT_LOST,
                               .entry = ret->entry};
    m->from.v = rbuf_u32(&r);
    m->to.v = rbuf_u32(&r);
    m->term = rbuf_u64(&r);
    m->index = rbuf_u64(&r);
    m->log_term = rbuf_u64(&r);
    m->hint = rbuf_u64(&r);
    m->commit = rbuf_u64(&r);
    m->read = rbuf_u64(&r);
    m->sent_ns = (int64_t)rbuf_u64(&r);
    rbuf_u64(&r);
    m->n = rbuf_u32(&r);
    uint32_t more = rbuf_u32(&r);
    m->young = more & RAFT_FORMAT_YOUNG;
    m->ended = more & RAFT_FORMAT_ENDED;
    if (r.bad || type < RAFT_MSG_PRE_VOTE || type > RAFT_MSG_TIMEOUT_NOW || flags > 15 ||
        m->from.v == 0)
        return E_PROTO;
    int ret_code = raft_format_entries(&r, ret);
    if (ret_code == 0 && type == RAFT_MSG_IMAGE) {
        ret_code = raft_format_conf_get(&r, &ret->conf);
        m->conf = &ret->conf;
    }
    return ret_code ? ret_code : rbuf_left(&r) || r.bad ? E_PROTO : 0;
}
