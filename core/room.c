/* core/room.c - what may still be added to the state, by the budget that FSOP_LIMITS has set.
 *
 * The measure is the bytes of the store's pages: a function of the records applied so far and of
 * nothing else, so every master refuses the same record, and so does a replay.  Pages are never
 * given back, but a freed record's place is used again: what would need no further page is not
 * refused, and removing files makes room for others.
 *
 * INVARIANTS
 *  1. What a client can make grow (inodes, names, attributes, sessions, writers, mounts) ends at
 *     the soft limit: E_NOSPC, or E_AGAIN for a session.
 *  2. Above it there is room for what must not fail: kept answers and intents (up to the hard
 *     limit; then E_AGAIN, until earlier ones are acknowledged or done), and the outcomes of open
 *     intents.
 *  3. So the store never needs more than the budget, and an image at most as much again. */
#include "core/meta_internal.h"

enum { ROOM_OWED = 3 << 20, ROOM_SOFT = 4 << 20, ROOM_SHARE = 16 };
static_assert(META_INTENTS_MAX * (40 + 4 + 256 + 192 + sizeof(struct meta_writer)) +
                      64 * STORE_PAGE <=
                  ROOM_OWED,
              "what the outcomes of all open intents may add");

static uint64_t room_of(const struct meta *m, unsigned table)
{
    return store_grow(&m->st, table, 1);
}

static uint64_t room_blob(const struct meta *m, size_t n)
{
    return store_blob_grow(&m->st, TABLE_BLOB, n);
}

static bool room_left(const struct meta *m, uint64_t grow, uint64_t kept)
{
    uint64_t max = meta_limits(m).bytes_max;
    if (!max || !grow || m->st.bytes + grow + kept <= max)
        return true;
    m->result->is_full = true;
    return false;
}

static int room_soft(const struct meta *m, uint64_t grow)
{
    return room_left(m, grow, ROOM_SOFT + meta_limits(m).bytes_max / ROOM_SHARE) ? 0 : E_NOSPC;
}

int room_inode(const struct meta *m)
{
    return room_soft(m, room_of(m, TABLE_INODE) + room_of(m, TABLE_ORPHAN));
}

int room_entry(const struct meta *m, uint32_t name_len)
{
    return room_soft(m, room_of(m, TABLE_DENTRY) + room_of(m, TABLE_DENTRY_BUCKET) +
                            room_blob(m, name_len));
}

int room_bytes(const struct meta *m, size_t n)
{
    return room_soft(m, room_blob(m, n));
}

int room_xattr(const struct meta *m, uint32_t name_len, uint32_t value_len)
{
    return room_soft(m, room_of(m, TABLE_XATTR) + room_blob(m, name_len) + room_blob(m, value_len));
}

int room_writer(const struct meta *m)
{
    return room_soft(m, room_of(m, TABLE_WRITER));
}

int room_session(const struct meta *m, uint32_t name_len)
{
    uint64_t grow =
        room_of(m, TABLE_SESSION) + room_of(m, TABLE_SESSION_BUCKET) + room_blob(m, name_len);
    return room_soft(m, grow) ? E_AGAIN : 0;
}

int room_reply(const struct meta *m)
{
    uint64_t grow = room_of(m, TABLE_REPLY) + room_of(m, TABLE_REPLY_BUCKET);
    for (size_t n = 127; n < META_REPLY_MAX; n += 64)
        grow += room_blob(m, n);
    return room_left(m, grow, ROOM_OWED) ? 0 : E_AGAIN;
}

int room_intent(const struct meta *m)
{
    uint64_t grow = room_of(m, TABLE_INTENT) + store_grow(&m->st, TABLE_LOCK, 4) +
                    store_grow(&m->st, TABLE_LOCK_BUCKET, 4) + room_blob(m, LIMIT_PATH + 1024);
    for (size_t n = 7; n < LIMIT_NAME; n = n * 2 + 1) /* names that are locked */
        grow += room_blob(m, n) + room_blob(m, n + n / 2);
    return room_left(m, grow, ROOM_OWED) ? 0 : E_AGAIN;
}
