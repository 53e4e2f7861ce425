/* sim/lab_load_impl.h - shared by lab_load.c (threads), lab_load_pick.c (what they do) and
 * lab_load_probe.c (the walk at the end). */
#ifndef SIM_LAB_LOAD_IMPL_H
#define SIM_LAB_LOAD_IMPL_H

#include "cluster/client_history.h"
#include "core/fmt.h"
#include "core/prng.h"
#include "sim/lab_load.h"
#include "sim/lab_name.h"

enum { LOAD_KNOWN = 128, LOAD_LIST = LAB_MODEL_NAMES, LOAD_DIRS = 256, LOAD_LOGS = 512 };

enum load_state {
    LOAD_IDLE,
    LOAD_THINK,
    LOAD_LINGER,
    LOAD_FS,
    LOAD_READ,
    LOAD_WRITE,
    LOAD_SYNC,
    LOAD_RELEASE,
    LOAD_PLACE, /* asks where to append */
    LOAD_UNDO   /* gives that back */
};

enum load_probe {
    PROBE_NO,
    PROBE_LIST,
    PROBE_ATTR,
    PROBE_FILE_OPEN,
    PROBE_FILE_READ,
    PROBE_FILE_RELEASE,
    PROBE_CREATE,
    PROBE_OPEN,
    PROBE_WRITE,
    PROBE_RELEASE,
    PROBE_REOPEN,
    PROBE_READ,
    PROBE_RERELEASE,
    PROBE_UNLINK,
    PROBE_DONE
};

struct load_known {
    struct ino ino, parent;
    uint32_t type, len;
    char name[LIMIT_NAME + 1];
};

struct load_client;

struct load_thread {
    struct load_client *lc;
    struct prng prng;
    enum load_state state;
    enum lab_load_kind kind;
    struct env_timer timer;
    struct client_req req;
    struct client_io io;
    struct client_file *file;
    struct lab_window w;
    int64_t late_ns; /* world time by which it must have ended */
    char name[LIMIT_NAME + 1], name2[LIMIT_NAME + 1], data[256];
    uint8_t *buf;
    uint32_t buf_bytes;
    struct lab_check_file reading;
    uint64_t session; /* of the client when req was asked */
    uint32_t steps;   /* reads or writes still to come */
    uint64_t at;      /* of a sequential reader */
    bool sequential, read_back, lingers;
    const struct lab_op *op; /* explicit: the one under way */
    uint32_t next_op, step;  /* explicit: where in the list, and in its steps */
    uint32_t record;         /* recorded: index + 1 of the one under way */
    int64_t linger_ns;       /* before the next step */
    uint64_t fill;           /* of what it writes */
    bool appends;            /* what it writes goes to the end, wherever that is */
    struct client_req place; /* where that is, */
    uint64_t place_session;  /* asked in that session */
    struct lab_model_name *list;
    uint32_t n_list;
    int64_t list_from_ns;
};

struct load_history { /* a client's */
    struct client_history of;
    struct load_client *lc;
    uint64_t lives;
};

struct load_client {
    struct lab_load *l;
    struct load_history *history; /* NULL: none */
    struct sim_node *node;
    uint32_t number;
    struct env *env;
    struct client *client; /* NULL: the node is down */
    struct load_thread *threads;
    struct load_known known[LOAD_KNOWN];
    uint32_t n_known;
    int64_t n_places; /* questions where to append */
    /* the probe, by thread 0 */
    enum load_probe probe;
    struct ino dirs[LOAD_DIRS];
    uint32_t n_dirs, dir_at, entry_at;
    uint32_t tries;
    struct ino probe_ino;
};

enum { LOAD_CLIENTS = 4096 };

struct lab_load {
    struct mem *mem;
    struct sim *sim;
    struct lab_check *check;
    struct lab_load_config cfg;
    struct lab_load_stats stats;
    struct load_client *clients[LOAD_CLIENTS];
    uint32_t n_clients;
    bool stopping;
    uint32_t n_requests;        /* see LAB_CHECK_TAGS */
    struct ino logs[LOAD_LOGS]; /* what was appended to */
    uint32_t n_logs;
    uint64_t n_appends;
    struct lab_names *names; /* of a load that is explicit or recorded */
    struct lab_ops *record;
    char *history; /* of clients that always ask */
    size_t history_n, history_cap;
    bool history_is_cut;
    int history_steps; /* 0: as many as usual */
    void (*on_history)(void *ctx, const char *line, size_t n);
    void *history_ctx;
    void (*on_success)(void *ctx, int64_t at_ns);
    void *success_ctx;
    void (*on_answer)(void *ctx, const struct lab_load_answer *a);
    void *answer_ctx;
};

/* ---- lab_load.c */
const char *lab_load_who(const struct load_thread *t);
/* submits t->req, t->io (kind by state), with deadlines and the time of asking */
void lab_load_fs(struct load_thread *t);
void lab_load_io(struct load_thread *t, enum load_state state);
void lab_load_fill(uint8_t *buf, uint32_t len, uint64_t seed);
/* something is asked now: the state, and the times by which it must be answered */
void lab_load_ask(struct load_thread *t, enum load_state state);
/* ... and was answered with ret: accounts, listeners */
void lab_load_answered(struct load_thread *t, int64_t ret);
/* the next step with the open file; after an error none but the release */
void lab_load_next_io(struct load_thread *t);
void lab_load_no_more_io(struct load_thread *t);

/* ---- lab_load_append.c: t->io.len bytes of t->buf */
void lab_load_append(struct load_thread *t);
/* the write to the place has ended with ret; true: the append goes on */
bool lab_load_append_written(struct load_thread *t, int64_t ret);
void lab_load_append_crashed(struct load_thread *t);
/* no other way to write is drawn for it from now on */
void lab_load_log_add(struct lab_load *l, struct ino ino);
bool lab_load_is_log(const struct lab_load *l, struct ino ino);

/* ---- lab_load_history.c */
/* of its next life; NULL: nothing is recorded */
struct client_tap *lab_load_history_tap(struct load_client *lc);
void lab_load_history_put(struct lab_load *l, const char *line, size_t n);

/* ---- lab_load_pick.c */
/* fills t->req.fsop (and t->kind); false: nothing to do it on, try another */
bool lab_load_pick(struct load_thread *t);
void lab_load_learn(struct load_client *lc, struct ino parent, const char *name, uint32_t len,
                    const struct fsattr *a);
void lab_load_forget(struct load_client *lc, struct ino parent, const char *name, uint32_t len);

/* ---- lab_load_explicit.c */
/* sets the timer for its next operation; false: there is none */
bool lab_load_op_wait(struct load_thread *t);
/* fills t->req.fsop from it; false: it is on what nobody has heard of */
bool lab_load_op_pick(struct load_thread *t);
/* the next step with the open file, or NULL: none until it is closed */
const struct lab_step *lab_load_op_step(const struct load_thread *t);
/* no more steps until it is opened again */
void lab_load_op_skip(struct load_thread *t);
/* is it opened again now that it is closed? */
bool lab_load_op_reopen(struct load_thread *t);
void lab_load_op_boot(struct load_thread *t);
/* an operation, and a step of it, has begun */
void lab_load_record_op(struct load_thread *t);
void lab_load_record_step(struct load_thread *t, enum lab_step_kind kind);

/* ---- lab_load_probe.c */
void lab_load_probe_begin(struct load_client *lc);
/* the operation of the probe that was under way has ended */
void lab_load_probe_step(struct load_thread *t, int64_t ret);

#endif
