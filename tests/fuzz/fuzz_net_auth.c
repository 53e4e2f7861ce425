/* tests/fuzz/fuzz_net_auth.c - two pairs of ends that begin a connection, and somebody between them
 * without the secret who delivers, repeats, crosses, changes and makes up their bytes.
 *
 * Whatever he does: an end that has a secret opens only if an end of the other role holds one of
 * its secrets and has seen the same two hellos; nothing is read beyond what has come.  The
 * same bytes are also taken for the file of a secret. */
#include "core/crc.h"
#include "net/net_auth.h"
#include "tests/fuzz/fuzz.h"

enum { ENDS = 4, INBOX = 600, SAID = NET_FRAME_HELLO + NET_FRAME_PROOF };

struct end {
    struct net_auth a;
    struct net_secrets s;
    unsigned which; /* of the secrets: bits */
    uint8_t said[SAID];
    size_t said_n, delivered; /* to its own other end */
    uint8_t inbox[INBOX];
    size_t n;
};

static void end_says(struct end *e)
{
    ASSERT(e->a.out_n <= sizeof e->a.out && e->said_n + e->a.out_n <= SAID);
    memcpy(e->said + e->said_n, e->a.out, e->a.out_n);
    e->said_n += e->a.out_n;
    e->a.out_n = 0;
}

static void end_begin(struct end *e, unsigned i, unsigned which)
{
    struct net_hello mine = {.version_min = NET_FRAME_VERSION_MIN,
                             .version_max = NET_FRAME_VERSION,
                             .frame_max = ENV_FRAME_MAX};
    uint8_t fresh[NET_FRAME_CHALLENGE];
    memset(fresh, (int)i + 1, sizeof fresh);
    memset(e, 0, sizeof *e);
    e->which = which;
    for (unsigned k = 0; k < 3; k++)
        if (which & 1u << k && e->s.n < 2) {
            memset(e->s.key[e->s.n], 'a' + (int)k, NET_SECRET_MIN);
            e->s.len[e->s.n++] = NET_SECRET_MIN;
        }
    if (e->s.n == 1) {
        memcpy(e->s.key[1], e->s.key[0], NET_SECRET_MIN);
        e->s.len[1] = e->s.len[0];
    }
    net_auth_begin(&e->a, i & 1, &mine, &e->s, fresh);
    end_says(e);
}

static bool end_is_over(const struct end *e)
{
    return e->a.state == NET_AUTH_OPEN || e->a.state == NET_AUTH_DEAD;
}

static void end_check(const struct end *ends, const struct end *e)
{
    if (e->a.state != NET_AUTH_OPEN || !e->s.n)
        return;
    for (unsigned i = 0; i < ENDS; i++) {
        const struct end *o = &ends[i];
        /* it may have been refused since: its proof was good all the same */
        bool proved = e->a.accepts ? o->said_n == NET_FRAME_HELLO + NET_FRAME_PROOF
                                   : o->a.state == NET_AUTH_OPEN;
        if (o->a.accepts != e->a.accepts && proved && o->which & e->which &&
            !memcmp(o->a.hello, e->a.hello, sizeof e->a.hello))
            return;
    }
    ASSERT(!"opened to somebody who proved nothing");
}

static void end_step(const struct end *ends, struct end *e)
{
    while (!end_is_over(e) && e->n) {
        uint8_t *exact = malloc(e->n); /* so that a sanitizer sees a read beyond it */
        ASSERT(exact);
        memcpy(exact, e->inbox, e->n);
        int64_t used = net_auth_take(&e->a, &e->s, exact, e->n);
        free(exact);
        end_says(e);
        ASSERT(used <= (int64_t)e->n && (used >= 0 || e->a.state == NET_AUTH_DEAD));
        ASSERT(used || e->n < NET_FRAME_HELLO);
        end_check(ends, e);
        if (used <= 0)
            return;
        e->n -= (size_t)used;
        memmove(e->inbox, e->inbox + used, e->n);
    }
}

static void end_put(struct end *e, const uint8_t *b, size_t n)
{
    n = n < INBOX - e->n ? n : INBOX - e->n;
    memcpy(e->inbox + e->n, b, n);
    e->n += n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct end ends[ENDS];
    struct net_secrets file;
    char err[256] = "";
    int bad = net_secret_parse((const char *)data, size, &file, err, sizeof err);
    ASSERT(bad ? bad == E_CONFIG && !file.n && *err : file.n == 1 || file.n == 2);
    for (unsigned i = 0; i < 2 && !bad; i++)
        ASSERT(file.len[i] >= NET_SECRET_MIN && file.len[i] <= NET_SECRET_MAX);
    if (size < ENDS)
        return 0;
    for (unsigned i = 0; i < ENDS; i++)
        end_begin(&ends[i], i, data[i] & 7);
    data += ENDS;
    size -= ENDS;
    while (size >= 3) {
        unsigned to = data[0] & 3, from = data[0] >> 2 & 3, x = data[1], y = data[2];
        struct end *t = &ends[to], *f = &ends[from];
        unsigned kind = data[0] >> 4 & 7;
        data += 3;
        size -= 3;
        switch (kind) {
        case 0: { /* a piece of what that one said: often a whole message or mac */
            static const uint8_t offs[] = {0, 128, 136, 160}, lens[] = {32, 40, 64, 128};
            x = x & 128 ? offs[x & 3] : x;
            y = y & 128 ? lens[y & 3] : y;
            x = x < f->said_n ? x : 0;
            end_put(t, f->said + x, y < f->said_n - x ? y : f->said_n - x);
            break;
        }
        case 1: { /* his own */
            size_t n = x < size ? x : size;
            end_put(t, data, n);
            data += n;
            size -= n;
            break;
        }
        case 2:
            if (t->n)
                t->inbox[(x << 8 | y) % t->n] ^= (uint8_t)(1 + (x & 127));
            break;
        case 3:
            if (t->n >= NET_FRAME_HELLO)
                base_put_u32(t->inbox + 124, crc_update(0, t->inbox, 124));
            break;
        case 4:
            if (y & 1)
                t->n = x < t->n ? x : t->n;
            else /* a verdict begins so */
                end_put(t, (const uint8_t[8]){0}, 8);
            break;
        case 5:
            end_step(ends, t);
            break;
        default: /* as it should be */
            f = &ends[to ^ 1];
            end_put(t, f->said + f->delivered, f->said_n - f->delivered);
            f->delivered = f->said_n;
            end_step(ends, t);
            break;
        }
    }
    return 0;
}
