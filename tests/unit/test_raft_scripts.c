/* tests/unit/test_raft_scripts.c - conversations of Raft cores, played from tests/raft/NAME.txt.
 *
 * A script's lines "> command" are carried out; what has to come of one stands below it, indented
 * where it is about messages and writes.  "#" begins a comment.  Nothing happens by itself:
 * messages and writes wait until the script lets them through, and time stands.
 * RAFT_SCRIPTS=rewrite writes what came into the scripts (look at it!); RAFT_SCRIPT=NAME: this one.
 *
 *   open KEY=VALUE ...         options of all: promise suspect inflight batch (ms, messages,
 * bytes), no-pre-vote, no-check-quorum members 1 2 3 4l           who belongs: voters, and learners
 * with an l log ID TERM ...            what is in its log; term=N: that it knows of start ID ... |
 * all         (an empty member of none, if it is not among the members) lead ID it is made the
 * leader of all, and nothing of that is told stand propose read ID [N]  campaign; propose N
 * entries; ask for a read called N change ID 1 2 4 5l         members as they shall be transfer ID
 * TO;  unfit ID;  fit ID broken ID TO;  refused ID TO    what ID is told of its connection to TO
 *   deliver [A>B|>B|A>]        messages that wait now, one after the other; drop: lost instead
 *   first A>B                  only the first of them
 *   store ID [log|meta]        its writes that wait now are done; first-log ID: only one
 *   settle [ID ...]            everything, among these, until nothing waits; told in short
 *   quiet [ID ...]             likewise, and nothing is told
 *   time ID                    the next thing that it does by itself, when that is due
 *   pass MS                    time goes by
 *   image ID                   it takes an image of what it has applied and drops its log
 *   fetched ID;  installed ID  an image has come; it is in place
 *   crash ID;  lease ID;  status ID ...;  entries ID
 */
#include <dirent.h>
#include <stdarg.h>
#include <unistd.h>
#include "core/mutant.h"
#include "tests/unit/test_raft_config.h"
#include "tests/unit/unit.h"

enum { NODES = 7, LOG = 256, WAITING = 512, CONFS = 64, TEXT = 1 << 16, WORDS = 24 };

struct entry {
    uint64_t term;
    uint8_t type, conf;
};

struct waiting { /* a message */
    struct raft_message m;
    struct entry e[LOG];
    uint8_t conf;
};

struct write {
    bool meta;
    uint64_t seq, upto;
};

struct node {
    struct raft *raft;
    struct entry log[LOG]; /* by index */
    uint64_t base, base_term, last;
    struct raft_meta meta;
    struct raft_image image, coming;
    uint8_t coming_conf, image_conf;
    uint64_t applied;
    struct write write[64];
    uint32_t writes;
    struct raft_status st;
    bool installing;
};

static struct {
    struct mem mem;
    struct raft_config cfg;
    struct node node[NODES + 1];
    struct waiting queue[WAITING];
    uint32_t n;
    struct raft_conf conf[CONFS];
    uint8_t n_confs, first_conf;
    int64_t now;
    char text[TEXT];
    size_t len;
    int quiet; /* 1: no messages and writes; 2: nothing */
    struct raft_effects fx;
} s;

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    s.len += (size_t)vsnprintf(s.text + s.len, TEXT - s.len, fmt, ap);
    va_end(ap);
    ASSERT(s.len < TEXT);
}

static uint8_t conf_put(const struct raft_conf *c)
{
    for (uint8_t i = 0; i < s.n_confs; i++)
        if (!memcmp(&s.conf[i], c, sizeof *c))
            return i;
    ASSERT(s.n_confs < CONFS);
    s.conf[s.n_confs] = *c;
    return s.n_confs++;
}

static uint64_t term_at(const struct node *n, uint64_t i)
{
    return i > n->base && i <= n->last ? n->log[i].term : i == n->base ? n->base_term : 0;
}

/* --- what is told --- */

static void say_conf(const struct raft_conf *c)
{
    for (uint32_t i = 0; i < c->n; i++) {
        uint8_t f = c->member[i].flags;
        bool joint = false;
        for (uint32_t k = 0; k < c->n; k++)
            joint |= (c->member[k].flags & RAFT_OLD) != 0;
        say(" %u%s%s%s", c->member[i].id.v, f & RAFT_LEARNER ? "l" : "",
            f & RAFT_PROMOTE ? "+" : "",
            !joint              ? ""
            : !(f & RAFT_OLD)   ? (f & RAFT_VOTER ? "(comes)" : "")
            : !(f & RAFT_VOTER) ? "(goes)"
                                : "");
    }
}

static const char *role_name(enum raft_role r)
{
    static const char *const name[] = {"follower", "pre-candidate", "candidate", "leader"};
    return name[r];
}

typedef unsigned long long ull;

static void say_message(const struct raft_message *m)
{
    say("  %u>%u ", m->from.v, m->to.v);
    switch (m->type) {
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_VOTE:
        say("%s term %llu, log ends %llu/%llu%s", m->type == RAFT_MSG_VOTE ? "vote?" : "pre-vote?",
            (ull)m->term, (ull)m->index, (ull)m->log_term, m->force ? ", as the leader wants" : "");
        break;
    case RAFT_MSG_PRE_VOTE_REPLY:
    case RAFT_MSG_VOTE_REPLY:
        say("%s %s term %llu", m->type == RAFT_MSG_VOTE_REPLY ? "vote" : "pre-vote",
            m->reject ? "no" : "yes", (ull)m->term);
        break;
    case RAFT_MSG_APPEND:
        say("append term %llu after %llu/%llu: %u, commit %llu", (ull)m->term, (ull)m->index,
            (ull)m->log_term, m->n, (ull)m->commit);
        break;
    case RAFT_MSG_APPEND_REPLY:
        if (m->reject)
            say("no term %llu at %llu, try %llu/%llu", (ull)m->term, (ull)m->index, (ull)m->hint,
                (ull)m->log_term);
        else
            say("ok term %llu stored %llu equal %llu%s", (ull)m->term, (ull)m->index, (ull)m->hint,
                m->unfit ? ", unfit" : "");
        break;
    case RAFT_MSG_IMAGE:
        say("image term %llu of %llu/%llu", (ull)m->term, (ull)m->index, (ull)m->log_term);
        break;
    case RAFT_MSG_READ:
        say("read %llu", (ull)m->read);
        break;
    case RAFT_MSG_READ_REPLY:
        say("read %llu %s %llu", (ull)m->read, m->reject ? "refused" : "at", (ull)m->index);
        break;
    case RAFT_MSG_TIMEOUT_NOW:
        say("stand now, term %llu", (ull)m->term);
        break;
    }
    say("\n");
}

static void say_changes(uint32_t id, const struct raft_status *old, const struct raft_conf *conf)
{
    const struct node *n = &s.node[id];
    const struct raft_status *st = &n->st;
    if (s.quiet > 1)
        return;
    if (old->role != st->role || old->term != st->term || old->leader.v != st->leader.v) {
        say("%u is %s, term %llu", id, role_name(st->role), (ull)st->term);
        if (st->role == RAFT_FOLLOWER && st->leader.v)
            say(", follows %u", st->leader.v);
        say("\n");
    }
    if (memcmp(conf, raft_conf(n->raft), sizeof *conf)) {
        say("%u members:", id);
        say_conf(raft_conf(n->raft));
        say("\n");
    }
    if (old->commit != st->commit)
        say("%u commits %llu\n", id, (ull)st->commit);
    if (old->transfer_to.v != st->transfer_to.v && st->transfer_to.v)
        say("%u hands over to %u\n", id, st->transfer_to.v);
    for (uint32_t i = 0; i < s.fx.n_reads; i++)
        if (s.fx.read[i].ret)
            say("%u read %llu: %s\n", id, (ull)s.fx.read[i].name, err_name(s.fx.read[i].ret));
        else
            say("%u read %llu is true at %llu\n", id, (ull)s.fx.read[i].name,
                (ull)s.fx.read[i].index);
    if (s.fx.image_wanted)
        say("%u wants the image of %llu from %u\n", id, (ull)s.fx.image_index, s.fx.image_from.v);
    if (s.fx.install)
        say("%u installs an image\n", id);
}

/* --- steps --- */

static void step(uint32_t id, struct raft_event ev);

static void effects_on_disk(uint32_t id, const struct waiting *from)
{
    struct node *n = &s.node[id];
    const struct raft_effects *fx = &s.fx;
    if (fx->save_meta) {
        n->meta = fx->meta;
        n->write[n->writes++] = (struct write){true, fx->meta_seq, 0};
        if (!s.quiet)
            say("  %u writes term %llu, vote %u\n", id, (ull)fx->meta.term, fx->meta.vote.v);
    }
    if (fx->cut) {
        n->last = fx->cut_to;
        if (!s.quiet)
            say("  %u cuts its log after %llu\n", id, (ull)fx->cut_to);
    }
    for (uint64_t i = fx->store_first; i < fx->store_first + fx->store_n; i++) {
        struct raft_entry e = raft_entry_at(n->raft, i);
        ASSERT(i == n->last + 1 && i < LOG);
        n->log[++n->last] = (struct entry){e.term, e.type, 0};
        if (e.type == RAFT_CONF)
            n->log[i].conf = from && from->m.n ? from->e[i - from->m.index - 1].conf
                                               : conf_put(raft_conf_at(n->raft, i));
    }
    if (fx->store_n && !s.quiet)
        say("  %u writes %llu..%llu\n", id, (ull)fx->store_first,
            (ull)(fx->store_first + fx->store_n - 1));
    if (fx->cut || fx->store_n)
        n->write[n->writes++] = (struct write){false, fx->store_seq, n->last};
    ASSERT(n->writes < ARRAY_LEN(n->write));
}

static void effects_sent(uint32_t id)
{
    const struct node *n = &s.node[id];
    for (uint32_t i = 0; i < s.fx.n_messages; i++) {
        const struct raft_message *m = &s.fx.message[i];
        if (!s.quiet)
            say_message(m);
        ASSERT(s.n < WAITING);
        struct waiting *w = &s.queue[s.n++];
        w->m = *m;
        for (uint32_t k = 0; k < m->n; k++)
            w->e[k] = n->log[m->index + 1 + k];
        w->conf = m->conf ? conf_put(m->conf) : 0;
    }
}

static void effects_fetch(uint32_t id)
{
    const struct node *n = &s.node[id];
    for (uint32_t i = 0; i < s.fx.n_fetches; i++) {
        static struct raft_entry e[LOG];
        struct raft_fetch f = s.fx.fetch[i];
        struct raft_event ev = {.type = RAFT_FETCHED, .u.fetched = {f.id, f.from, 0, e, NULL}};
        for (uint64_t k = f.from; k <= n->last && k > n->base; k++) {
            e[ev.u.fetched.n++] = (struct raft_entry){n->log[k].term, 8, n->log[k].type};
            if (n->log[k].type == RAFT_CONF)
                break;
        }
        if (!s.quiet)
            say("  %u reads its log from %llu\n", id, (ull)f.from);
        step(id, ev);
    }
}

static void step_from(uint32_t id, struct raft_event ev, const struct waiting *from)
{
    struct node *n = &s.node[id];
    struct raft_status old = n->st;
    struct raft_conf conf = *raft_conf(n->raft);
    ev.now_ns = s.now;
    raft_step(n->raft, &ev, &s.fx);
    raft_status(n->raft, &n->st);
    if (s.fx.ret)
        say("%u says %s\n", id, err_name(s.fx.ret));
    say_changes(id, &old, &conf);
    effects_on_disk(id, from);
    effects_sent(id);
    effects_fetch(id);
    if (s.fx.image_wanted) {
        n->coming = (struct raft_image){s.fx.image_index, s.fx.image_term, NULL};
        n->coming_conf = from->conf;
    }
    n->installing |= s.fx.install;
    if (s.fx.more)
        step(id, (struct raft_event){.type = RAFT_TIME});
    if (n->st.commit > n->applied) {
        n->applied = n->st.commit;
        step(id, (struct raft_event){.type = RAFT_APPLIED, .u.index = n->applied});
    }
}

static void step(uint32_t id, struct raft_event ev)
{
    step_from(id, ev, NULL);
}

static void arrive(struct waiting *w)
{
    static struct raft_entry e[LOG];
    uint32_t id = w->m.to.v;
    if (!s.node[id].raft)
        return;
    for (uint32_t i = 0; i < w->m.n; i++) {
        e[i] = (struct raft_entry){w->e[i].term, 8, w->e[i].type};
        if (e[i].type == RAFT_CONF)
            w->m.conf = &s.conf[w->e[i].conf];
    }
    if (w->m.type == RAFT_MSG_IMAGE)
        w->m.conf = &s.conf[w->conf];
    w->m.entry = e;
    step_from(id, (struct raft_event){.type = RAFT_MESSAGE, .u.message = &w->m}, w);
}

/* --- commands --- */

static struct waiting taken;

/* a, b: 0 for anybody.  What is sent meanwhile waits for the next command. */
static void messages(uint32_t a, uint32_t b, bool drop, uint32_t most)
{
    uint32_t here = s.n;
    for (uint32_t i = 0; i < here && most;) {
        struct waiting *w = &s.queue[i];
        if ((a && w->m.from.v != a) || (b && w->m.to.v != b)) {
            i++;
            continue;
        }
        taken = *w;
        memmove(w, w + 1, (--s.n - i) * sizeof *w);
        here--;
        most--;
        if (!drop)
            arrive(&taken);
    }
}

static bool store(uint32_t id, bool log, bool meta, uint32_t most)
{
    struct node *n = &s.node[id];
    bool any = false;
    uint32_t here = n->writes;
    for (uint32_t i = 0; i < here && most;) {
        struct write x = n->write[i];
        if (x.meta ? !meta : !log) {
            i++;
            continue;
        }
        memmove(&n->write[i], &n->write[i + 1], (--n->writes - i) * sizeof x);
        here--;
        most--;
        any = true;
        struct raft_event ev = {.type = x.meta ? RAFT_META_STORED : RAFT_STORED};
        if (x.meta)
            ev.u.seq = x.seq;
        else {
            ev.u.stored.seq = x.seq;
            ev.u.stored.index = x.upto;
        }
        step(id, ev);
    }
    return any;
}

static void settle(uint32_t among, int quiet)
{
    s.quiet = quiet;
    bool any = true;
    for (int round = 0; round < 200 && any; round++) {
        any = false;
        for (uint32_t i = 1; i <= NODES; i++)
            if (s.node[i].raft && (among & 1u << i))
                any |= store(i, true, true, UINT32_MAX);
        for (uint32_t i = 0; i < s.n; i++) {
            struct raft_message *m = &s.queue[i].m;
            if (!(among & 1u << m->from.v) || !(among & 1u << m->to.v))
                continue;
            taken = s.queue[i];
            memmove(&s.queue[i], &s.queue[i + 1], (--s.n - i) * sizeof taken);
            arrive(&taken);
            any = true;
            break;
        }
    }
    s.quiet = 0;
    if (any)
        say("(it goes on and on)\n");
}

static void start(uint32_t id)
{
    static struct raft_run run[LOG];
    struct node *n = &s.node[id];
    uint64_t conf_index[3];
    struct raft_conf conf[3], none = {0};
    bool member = false;
    const struct raft_conf *first = &s.conf[s.first_conf];
    for (uint32_t i = 0; i < first->n; i++)
        member |= first->member[i].id.v == id;
    if (n->image.index == 0)
        n->image_conf = member ? s.first_conf : conf_put(&none);
    n->image.conf = &s.conf[n->image_conf];
    struct raft_start st = {.meta = n->meta,
                            .image = n->image,
                            .base = n->base,
                            .base_term = n->base_term,
                            .n = n->last - n->base,
                            .run = run,
                            .conf_index = conf_index,
                            .conf = conf};
    for (uint64_t i = n->base + 1; i <= n->last; i++) {
        if (st.n_runs == 0 || run[st.n_runs - 1].term != n->log[i].term)
            run[st.n_runs++] = (struct raft_run){i, n->log[i].term};
        if (n->log[i].type != RAFT_CONF || i <= n->image.index)
            continue;
        if (st.n_confs == 3) {
            memmove(conf, conf + 1, 2 * sizeof *conf);
            memmove(conf_index, conf_index + 1, 2 * sizeof *conf_index);
            st.n_confs--;
        }
        conf[st.n_confs] = s.conf[n->log[i].conf];
        conf_index[st.n_confs++] = i;
    }
    s.cfg.self = (struct raft_id){id};
    s.cfg.seed = id;
    n->applied = n->image.index;
    n->writes = 0;
    n->raft = raft_create(&s.mem, &s.cfg, &st, s.now);
    ASSERT(n->raft);
    raft_status(n->raft, &n->st);
}

static struct raft_conf members(char **word, uint32_t n)
{
    struct raft_conf c = {0};
    for (uint32_t i = 0; i < n; i++) {
        char *end;
        struct raft_member *m = &c.member[c.n++];
        m->id.v = (uint32_t)strtoul(word[i], &end, 10);
        m->flags = *end == 'l' ? RAFT_LEARNER : RAFT_VOTER;
        m->priority = 1;
    }
    return c;
}

static void image(uint32_t id)
{
    struct node *n = &s.node[id];
    n->image_conf = conf_put(raft_conf_at(n->raft, n->applied));
    n->image = (struct raft_image){n->applied, term_at(n, n->applied), NULL};
    step(id, (struct raft_event){.type = RAFT_IMAGE_SAVED, .u.image = n->image});
    n->base_term = n->image.term;
    n->base = n->image.index;
    step(id, (struct raft_event){.type = RAFT_TRIMMED, .u.index = n->base});
}

static void installed(uint32_t id)
{
    struct node *n = &s.node[id];
    if (!n->installing) {
        say("%u installs nothing\n", id);
        return;
    }
    n->installing = false;
    n->image = n->coming;
    n->image_conf = n->coming_conf;
    n->base = n->last = n->applied = n->image.index;
    n->base_term = n->image.term;
    n->writes = 0;
    step(id, (struct raft_event){.type = RAFT_IMAGE_INSTALLED});
}

static void status(uint32_t id)
{
    static const char *const progress[] = {"probe", "replicate", "image"};
    struct node *n = &s.node[id];
    raft_status(n->raft, &n->st);
    const struct raft_status *st = &n->st;
    say("%u %s term %llu vote %u, log %llu..%llu stored %llu commit %llu, members", id,
        role_name(st->role), (ull)st->term, st->vote.v, (ull)st->first, (ull)st->last,
        (ull)st->stored, (ull)st->commit);
    say_conf(raft_conf(n->raft));
    say("\n");
    for (uint32_t i = 0; i < st->n_peers; i++)
        say("  %u %s match %llu next %llu%s\n", st->peer[i].id.v, progress[st->peer[i].progress],
            (ull)st->peer[i].match, (ull)st->peer[i].next, st->peer[i].unfit ? " unfit" : "");
}

static void entries(uint32_t id)
{
    struct node *n = &s.node[id];
    say("%u:", id);
    if (n->base)
        say(" (%llu/%llu)", (ull)n->base, (ull)n->base_term);
    for (uint64_t i = n->base + 1; i <= n->last; i++)
        say(" %llu%s", (ull)n->log[i].term, n->log[i].type == RAFT_CONF ? "c" : "");
    say("\n");
}

static void lease(uint32_t id)
{
    struct raft_status st;
    raft_status(s.node[id].raft, &st);
    if (raft_lease_holds(s.node[id].raft, s.now))
        say("%u has a lease, for %lld ms more\n", id,
            (long long)((st.lease_until_ns - s.now) / MS));
    else
        say("%u has no lease\n", id);
}

static void open_options(char **word, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        char *eq = strchr(word[i], '=');
        int64_t v = eq ? strtoll(eq + 1, NULL, 10) : 1;
        if (!strncmp(word[i], "promise", 7))
            s.cfg.promise_ns = v * MS;
        else if (!strncmp(word[i], "inflight", 8))
            s.cfg.inflight_messages = (uint32_t)v;
        else if (!strncmp(word[i], "batch", 5))
            s.cfg.batch_bytes = (uint32_t)v;
        else if (!strcmp(word[i], "no-pre-vote"))
            s.cfg.no_pre_vote = true;
        else if (!strcmp(word[i], "no-check-quorum"))
            s.cfg.no_check_quorum = true;
        else
            say("unknown option %s\n", word[i]);
    }
}

static void log_of(char **word, uint32_t n)
{
    struct node *x = &s.node[atoi(word[0])];
    for (uint32_t i = 1; i < n; i++)
        if (!strncmp(word[i], "term=", 5))
            x->meta.term = strtoull(word[i] + 5, NULL, 10);
        else
            x->log[++x->last] = (struct entry){strtoull(word[i], NULL, 10), RAFT_DATA, 0};
}

/* those about a whole cluster; false: it is none of them */
static bool command_all(char **word, uint32_t n)
{
    const char *c = word[0];
    char *gt = n > 1 ? strchr(word[1], '>') : NULL;
    uint32_t a = gt ? (uint32_t)atoi(word[1]) : 0, b = gt ? (uint32_t)atoi(gt + 1) : 0, among = 0;
    for (uint32_t i = 1; i < n; i++)
        among |= 1u << (atoi(word[i]) & 31);
    if (n == 1)
        among = ~0u;
    if (!strcmp(c, "open"))
        open_options(word + 1, n - 1);
    else if (!strcmp(c, "members")) {
        struct raft_conf conf = members(word + 1, n - 1);
        s.first_conf = conf_put(&conf);
    } else if (!strcmp(c, "log"))
        log_of(word + 1, n - 1);
    else if (!strcmp(c, "start")) {
        for (uint32_t i = 1; i < n; i++)
            start((uint32_t)atoi(word[i]));
    } else if (!strcmp(c, "deliver"))
        messages(a, b, false, UINT32_MAX);
    else if (!strcmp(c, "first"))
        messages(a, b, false, 1);
    else if (!strcmp(c, "drop"))
        messages(a, b, true, UINT32_MAX);
    else if (!strcmp(c, "settle"))
        settle(among, 1);
    else if (!strcmp(c, "quiet"))
        settle(among, 2);
    else if (!strcmp(c, "pass"))
        s.now += strtoll(word[1], NULL, 10) * MS;
    else
        return false;
    return true;
}

static void command_one(char **word, uint32_t n)
{
    const char *c = word[0];
    uint32_t id = n > 1 ? (uint32_t)atoi(word[1]) : 0;
    uint64_t arg = n > 2 ? strtoull(word[2], NULL, 10) : 1;
    struct node *x = &s.node[id <= NODES ? id : 0];
    static const uint32_t len[8] = {8, 8, 8, 8, 8, 8, 8, 8};
    if (id == 0 || id > NODES || !x->raft)
        say("who is to %s?\n", c);
    else if (!strcmp(c, "lead")) {
        s.now += 700 * MS;
        s.quiet = 2;
        step(id, (struct raft_event){.type = RAFT_CAMPAIGN});
        settle(~0u, 2);
        if (x->st.role != RAFT_LEADER)
            say("%u does not lead\n", id);
    } else if (!strcmp(c, "stand"))
        step(id, (struct raft_event){.type = RAFT_CAMPAIGN});
    else if (!strcmp(c, "propose"))
        step(id, (struct raft_event){.type = RAFT_PROPOSE, .u.propose = {(uint32_t)arg & 15, len}});
    else if (!strcmp(c, "read"))
        step(id, (struct raft_event){.type = RAFT_READ, .u.seq = arg});
    else if (!strcmp(c, "change")) {
        struct raft_conf conf = members(word + 2, n - 2);
        step(id, (struct raft_event){.type = RAFT_CHANGE, .u.conf = &conf});
    } else if (!strcmp(c, "transfer"))
        step(id, (struct raft_event){.type = RAFT_TRANSFER, .u.id = {(uint32_t)arg}});
    else if (!strcmp(c, "fit") || !strcmp(c, "unfit"))
        step(id, (struct raft_event){.type = RAFT_HEALTH, .u.fit = *c == 'f'});
    else if (!strcmp(c, "broken") || !strcmp(c, "refused"))
        step(id,
             (struct raft_event){.type = RAFT_CONTACT, .u.contact = {{(uint32_t)arg}, *c == 'b'}});
    else if (!strcmp(c, "store"))
        store(id, n < 3 || *word[2] == 'l', n < 3 || *word[2] == 'm', UINT32_MAX);
    else if (!strcmp(c, "first-log"))
        store(id, true, false, 1);
    else if (!strcmp(c, "time")) {
        int64_t due = raft_deadline_ns(x->raft);
        s.now = due > s.now ? due : s.now;
        step(id, (struct raft_event){.type = RAFT_TIME});
    } else if (!strcmp(c, "image"))
        image(id);
    else if (!strcmp(c, "fetched")) {
        x->coming.conf = &s.conf[x->coming_conf];
        step(id, (struct raft_event){.type = RAFT_IMAGE_READY, .u.image = x->coming});
    } else if (!strcmp(c, "installed"))
        installed(id);
    else if (!strcmp(c, "crash")) {
        raft_free(x->raft);
        x->raft = NULL;
    } else if (!strcmp(c, "lease"))
        lease(id);
    else if (!strcmp(c, "status")) {
        for (uint32_t i = 1; i < n; i++)
            status((uint32_t)atoi(word[i]));
    } else if (!strcmp(c, "entries")) {
        for (uint32_t i = 1; i < n; i++)
            entries((uint32_t)atoi(word[i]));
    } else
        say("unknown command %s\n", c);
}

static void command(char *line)
{
    char *word[WORDS], *save = NULL;
    uint32_t n = 0;
    for (char *p = strtok_r(line, " \n", &save); p && n < WORDS; p = strtok_r(NULL, " \n", &save))
        word[n++] = p;
    if (n && !command_all(word, n))
        command_one(word, n);
}

/* --- scripts --- */

static void reset(void)
{
    memset(&s, 0, sizeof s);
    unit_mem(&s.mem, 1 << 26);
    s.cfg = raft_test_config();
    s.cfg.refused_max_ns = 20 * MS;
    s.cfg.uncommitted_bytes = 1000;
    s.cfg.batch_bytes = 4096;
    s.cfg.inflight_bytes = 8192;
    s.cfg.inflight_messages = 8;
    s.now = 1000000 * MS;
}

static char *slurp(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = f ? calloc(1, TEXT) : NULL;
    if (f)
        text[fread(text, 1, TEXT - 1, f)] = 0;
    if (f)
        fclose(f);
    return text;
}

/* plays it; the script as it should be goes to out */
static void play(const char *text, char *out)
{
    size_t len = 0;
    reset();
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, "\n");
        char line[256] = "";
        memcpy(line, p, n < sizeof line ? n : sizeof line - 1);
        p += n + (p[n] == '\n');
        bool says = *line == '>';
        if (says || *line == '#' || !*line)
            len += (size_t)snprintf(out + len, TEXT - len, "%s\n", line);
        if (!says)
            continue;
        command(line + 1);
        memcpy(out + len, s.text, s.len);
        len += s.len;
        s.len = 0;
    }
    out[len] = 0;
    mem_drop(&s.mem);
}

/* tests/raft, from where this program was built */
static void folder(char *path, size_t size)
{
    char exe[4096] = "";
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    CU_ASSERT_FATAL(n > 0);
    *strrchr(exe, '/') = 0;
    const char *file = __FILE__;
    snprintf(path, size, "%s%s%.*s/../raft", *file == '/' ? "" : exe, *file == '/' ? "" : "/",
             (int)(strrchr(file, '/') - file), file);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_script(const struct dirent *d)
{
    const char *dot = strrchr(d->d_name, '.'), *only = getenv("RAFT_SCRIPT");
    return dot && !strcmp(dot, ".txt") &&
           (!only || !strncmp(only, d->d_name, (size_t)(dot - d->d_name)));
}

/* the first line in which they differ */
static void say_difference(const char *name, const char *want, const char *got)
{
    uint32_t line = 1;
    while (*want && *want == *got) {
        line += *want == '\n';
        want++;
        got++;
    }
    printf("\n%s, line %u or before: wanted \"%.*s\", came \"%.*s\"\n", name, line,
           (int)strcspn(want, "\n"), want, (int)strcspn(got, "\n"), got);
}

/* how many scripts do not hold */
static uint32_t play_all(uint32_t *ret_n, bool tell)
{
    static char out[2 * TEXT];
    char dir[8192], path[8600];
    struct dirent **entry;
    const char *mode = getenv("RAFT_SCRIPTS");
    bool rewrite = mode && !strcmp(mode, "rewrite");
    uint32_t bad = 0;
    folder(dir, sizeof dir);
    int n = scandir(dir, &entry, is_script, by_name);
    *ret_n = 0;
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, entry[i]->d_name);
        char *text = slurp(path);
        play(text, out);
        (*ret_n)++;
        if (strcmp(text, out)) {
            bad++;
            if (tell)
                say_difference(entry[i]->d_name, text, out);
            FILE *f = rewrite ? fopen(path, "w") : NULL;
            if (f) {
                fputs(out, f);
                fclose(f);
            }
        }
        free(text);
        free(entry[i]);
    }
    if (n >= 0)
        free(entry);
    return bad;
}

static void test_scripts(void)
{
    uint32_t n;
    CU_ASSERT_EQUAL(play_all(&n, true), 0);
    CU_ASSERT(n >= 28 || getenv("RAFT_SCRIPT"));
}

UNIT_MAIN("raft scripts", UNIT(test_scripts))
