/* journal/raft_drive_impl.h - what the files of the Raft driver share; nobody else includes it.
 *
 *   raft_drive.c   the core's effects, applying, submits, reads, images
 *   raft_image.c   state images, own ones and those of others
 *   raft_boot.c    from a directory to a running member, and back
 *   raft_peer.c    connections between members: hello, messages, entries read back for them
 *   raft_offline.c a directory without its group
 *   raft_hold.c    the host ends what it began before another one is called to lead
 *   raft_gone.c    who is a member no more is told so
 *   raft_admin.c   changes of the group, what the status says */
#ifndef JOURNAL_RAFT_DRIVE_IMPL_H
#define JOURNAL_RAFT_DRIVE_IMPL_H

#include "core/fmt.h"
#include "journal/image_read.h"
#include "journal/journal.h"
#include "journal/log_meta.h"
#include "journal/raft_format.h"
#include "journal/raft_log.h"
#include "journal/ship.h"
#include "journal/snap.h"

enum {
    DRIVE_LINKS = 2 * RAFT_MEMBERS_MAX, /* members, and some that were or will be */
    DRIVE_CONNS = 3 * DRIVE_LINKS,
    DRIVE_READS = 32,  /* groups of reads under way */
    DRIVE_CHANGES = 8, /* of the group, that are waited for */
    DRIVE_MEM_ENTRIES = 16384,
    DRIVE_BATCH_BYTES = 96 * 1024, /* of a message's entries; a frame holds them and their heads */
    DRIVE_FETCH_BYTES = 2 * DRIVE_BATCH_BYTES,
    DRIVE_APPLY_TURN = 1024, /* entries applied in one turn of the loop */
    DRIVE_PROTO = 1,
};

enum drive_frame {
    DRIVE_FRAME_HELLO = JOURNAL_FRAME_MIN, /* drive_hello, by who connects; first */
    DRIVE_FRAME_WELCOME,                   /* i32 err, drive_hello of the other; raft_gone.c */
    DRIVE_FRAME_MESSAGE,                   /* raft_format.h */
    DRIVE_FRAME_GONE,                      /* raft_gone.c */
};

struct drive;
struct drive_link;

struct drive_conn { /* one connection */
    struct env_peer peer;
    struct drive *d;
    struct drive_link *link;   /* NULL: nobody knows yet whose it is */
    struct env_timer deadline; /* for the hello */
    bool is_used, is_out, is_up;
    uint64_t up_no; /* the later it came up the higher */
    uint64_t disk;  /* of who is up */
};

/* Another member.  Each dials the other, so there may be two connections. */
struct drive_link {
    struct drive *d;
    struct raft_id id; /* 0: free */
    char addr[ENV_ADDR_MAX];
    uint64_t disk;     /* a member's, as it was written down, or said before that; 0: not known */
    uint32_t settings; /* of its host; 0: not known */
    bool is_member, is_connecting, is_refused, was_told;
    bool is_elsewhere; /* where it is being connected to it is no more */
    struct drive_conn *out, *in;
    struct env_op connecting;
    struct env_timer retry;
    int64_t backoff_ns, said_ns;
    int64_t asked_ns; /* since when what was asked has had no answer; 0: nothing is */
    bool is_silent;   /* for too long: its connections are made anew (drive.some_silent) */
    /* entries that left memory, on their way to it */
    struct raft_log_reader *reader;
    struct env_op read_op, close_op;
    bool is_reading, is_closing;
    uint64_t fetch_from;
    uint64_t fetch_next; /* asked for while another read is under way; 0: nothing */
    uint32_t fetch_n, fetch_bytes;
    uint8_t *fetch; /* DRIVE_FETCH_BYTES */
    struct raft_entry fetch_entry[RAFT_BATCH_ENTRIES];
    const uint8_t *fetch_at[RAFT_BATCH_ENTRIES];
    struct raft_conf fetch_conf;
};

enum drive_state {
    DRIVE_LIST,
    DRIVE_META,
    DRIVE_JOIN, /* an empty directory: whose cluster will it be? */
    DRIVE_IMAGES,
    DRIVE_RECOVER,
    DRIVE_SAVE,
    DRIVE_BEGIN,
    DRIVE_REPLAY,
    DRIVE_FOUND,   /* the first entry of a new cluster becomes durable */
    DRIVE_OFFLINE, /* the first entry of a new era becomes durable */
    DRIVE_RUNNING,
    DRIVE_CHECKED,
    DRIVE_FAILED,
};

enum drive_snap { DRIVE_SNAP_NOTHING, DRIVE_SNAP_WRITE, DRIVE_SNAP_INSTALL, DRIVE_SNAP_SPACE };

enum drive_stop {
    DRIVE_STOP_NOT,
    DRIVE_STOP_SNAP,
    DRIVE_STOP_PEERS,
    DRIVE_STOP_SHIP,
    DRIVE_STOP_META,
    DRIVE_STOP_LOG,
    DRIVE_STOPPED
};

struct drive_wait { /* a submit that is proposed */
    uint64_t index;
    struct env_op *op;
};

struct drive_read { /* barriers that were asked for together */
    uint64_t name;  /* 0: free */
    uint64_t index; /* to be applied; 0: not known yet */
    struct list ops;
};

/* where the bytes of new entries come from */
struct drive_source {
    uint64_t first;
    uint32_t n;
    const void *const *bytes; /* of a message */
    const struct raft_entry *entry;
    bool is_queue; /* of the queue of submits */
};

struct drive_change { /* that is waited for */
    struct drive *d;
    struct env_op *op; /* NULL: none is */
    struct journal_change what;
    struct env_timer timer;
    uint64_t index; /* of its first entry; 0: it was under way */
};

struct drive_found { /* by those who only look */
    uint64_t base, last, last_term, conf_index;
    struct raft_conf conf;
    bool appended;
};

struct drive {
    struct journal journal;
    struct env *env;
    struct mem *mem;
    struct journal_host *host;
    struct journal_config cfg;
    char own_dir[ENV_NAME_MAX], dir[ENV_NAME_MAX];
    struct raft_id self;
    enum drive_state state;
    enum journal_role role;
    uint64_t epoch;
#ifdef TARN_MUTANTS
    int64_t timer_clock_ns;
#endif

    /* start */
    bool has_data, busy, begun;
    struct env_op op;
    char names[LOG_BLOCK], after[ENV_NAME_MAX];
    struct raft_conf first_conf; /* of a new cluster, or of a recovered one */
    bool is_called;              /* an empty directory, by a member */
    uint64_t join_era;           /* of that one */
    struct drive_found found;

    /* the core and its parts */
    struct raft *raft;
    struct raft_log *log;
    struct raft_log_host log_host;
    struct raft_log_config log_cfg;
    struct raft_effects fx;
    struct raft_format_message in;             /* the message being handled */
    uint8_t *frame;                            /* one to be sent */
    uint64_t store_seq, applied, applied_told; /* told: to the core */
    bool is_settling, settle_again, has_stored;
    struct env_timer timer, stall;
    bool is_late; /* the second one fires */
    bool fit, full;

    /* vote and term */
    struct log_meta_file file;
    struct env_op meta_op;
    struct raft_meta meta_want;
    uint64_t meta_seq, meta_saving_seq;
    bool meta_saving, meta_dirty;
    uint64_t trim_want, trim_saving; /* entries that may leave the disk once that is written down */

    /* submits */
    uint8_t *queue; /* u32 length, bytes; a ring */
    uint64_t queue_head, queue_tail;
    struct list queued; /* their ops */
    uint32_t n_queued;
    uint32_t last_batch;     /* records of the last proposal */
    struct drive_wait *wait; /* DRIVE_MEM_ENTRIES of them, a ring */
    uint64_t wait_head, wait_tail;
    struct env_op kick_op;
    bool kicked;

    /* applying what left memory */
    struct raft_log_reader *reader;
    struct env_op read_op, reader_close_op;
    bool is_reading, reader_closing;
    uint8_t *record; /* one entry that is applied */

    /* reads */
    struct drive_read reads[DRIVE_READS];
    bool reads_busy; /* perhaps: one of them is not free */
    struct list reads_new;
    uint64_t read_name;

    /* images */
    struct snap *snap;
    struct ship *ship;
    struct image_read image_read; /* for a backup */
    struct journal_host snap_host;
    struct env_op snap_op, ship_op;
    enum drive_snap snap_doing;
    bool image_wanted, image_again, reserve_due, release_due, conf_due, conf_loaded;
    bool image_mends;       /* the one being written takes a damaged one's place */
    int64_t image_again_ns; /* not before */
    int64_t image_runs_ns;  /* nor one for the sake of many terms before this */
    uint32_t losses;        /* of the others, as was logged */
    bool reserving;         /* what snap_op does */
    bool is_poor;           /* the reserve was given to the log, and is not there again */
    bool forsaken;          /* without space, and without a leader for long */
    int64_t led_ns, reserve_ns;
    uint64_t image_mark;              /* raft_log_written when the last one began */
    uint64_t image_past;              /* the log ended here at the start */
    uint64_t retry_bytes;             /* bytes since then at which to try again after a failure */
    uint64_t image_index, image_term; /* of the one that is written, or was loaded */
    struct raft_conf image_conf;
    struct list image_ops, image_ops_running;
    bool installing, ship_wanted, is_shipping;
    struct raft_id ship_from;
    uint64_t ship_index, ship_term;
    /* the one that is on its way; the wanted one may be newer by now */
    struct raft_id shipping_from;
    uint64_t shipping_index, shipping_term;
    struct raft_conf shipping_conf;
    bool ship_resume;    /* it was cut off */
    uint32_t ship_fails; /* in a row, of the kind that another try does not help at once */
    bool ship_in_vain;   /* nor does another image: what came was damaged, or did not fit */
    int64_t ship_again_ns;
    struct raft_conf ship_conf;

    /* other members */
    struct drive_link link[DRIVE_LINKS];
    bool some_silent; /* perhaps: one of them is */
    struct drive_conn conn[DRIVE_CONNS];
    uint64_t ups;                               /* connections that came up */
    struct raft_fetch unread[RAFT_MEMBERS_MAX]; /* asked for by the core, for nobody's link */
    uint32_t n_unread;
    uint64_t conf_seen, conf_seen_term; /* the configuration that the links follow */
    int64_t hello_said_ns;

    /* raft_gone.c */
    uint64_t gone_told, gone_told_term; /* of which configuration, and when, others were told */
    struct raft_run gone;     /* the latest entry by which others know this member to be none */
    struct raft_run gone_led; /* the last one of the leader that was heard last */
    bool is_gone;

    /* raft_admin.c */
    struct drive_change change[DRIVE_CHANGES]; /* of the group */
    struct drive_change elect;
    uint32_t n_changes; /* that are waited for, with an election */
    struct raft_conf change_want;

    /* raft_hold.c */
    bool holds, is_held; /* the host was asked to begin nothing more; what it began has ended */
    bool elect_waits;    /* the change is an election, not begun yet */
    bool has_call;       /* kept back: */
    struct raft_message call;
    int64_t call_until_ns; /* one has left, and is over then; 0: none */
    struct env_timer hold_timer;

    /* stop */
    struct env_op *stop_op, ship_stop_op, log_stop_op;
    enum drive_stop stop;
    bool ship_stopping, ship_stopped, log_stopping, log_stopped;
    uint64_t elections, lost, messages, message_bytes;
};

/* raft_drive.c */
static inline void raft_drive_reply(struct drive *d, struct env_op *op, int64_t ret)
{
    env_reply(d->env, op, ret);
}
static inline void raft_drive_reply_all(struct drive *d, struct list *ops, int64_t ret)
{
    env_reply_all(d->env, ops, ret);
}
void raft_drive_fail(struct drive *d, int why);
/* one event of the core with all that follows from it */
int raft_drive_event(struct drive *d, struct raft_event *ev, const struct drive_source *src);
void raft_drive_kick(struct drive *d);
void raft_drive_settle(struct drive *d);
void raft_drive_init(struct drive *d);
void raft_drive_meta_save(struct drive *d);
void raft_drive_launch(struct drive *d, const struct raft_start *s); /* the core is made */
void raft_drive_end_all(struct drive *d, int why);                   /* submits, reads, images */

/* raft_image.c */
void raft_drive_images(struct drive *d);
void raft_drive_on_space(struct drive *d, bool full);
void raft_drive_snap_done(struct env_op *op);
void raft_drive_ship_done(struct env_op *op);
void raft_drive_init_images(struct drive *d);
void raft_drive_image_bad(void *d, uint64_t index); /* for ship_config */
bool raft_drive_image_is_bad(void *d, uint64_t index);
uint64_t raft_drive_image_wanted(void *d); /* for snap_config */

/* raft_boot.c */
void raft_drive_run(struct drive *d);

/* raft_offline.c */
void raft_offline_replayed(struct drive *d, const struct raft_start *s); /* instead of a launch */
void raft_offline_run(struct drive *d);
void raft_offline_status(const struct drive *d, struct journal_status *st);
/* another group of this cluster has come after this one: this member fails */
bool raft_offline_outdated(struct drive *d, uint64_t hi, uint64_t lo, uint64_t era, uint32_t from);

/* raft_peer.c */
void raft_drive_send(struct drive *d, const struct raft_message *m);
void raft_drive_fetch(struct drive *d, const struct raft_fetch *f);
void raft_drive_links_follow(struct drive *d); /* the configuration has changed */
void raft_drive_links_heed(struct drive *d);   /* the silent ones are called anew */
struct drive_link *raft_drive_link_find(struct drive *d, struct raft_id id);
struct env_peer *raft_drive_link_peer(const struct drive_link *k); /* NULL: not connected */
struct env_peer *raft_drive_accept(struct journal *j, const char *from);
bool raft_drive_peers_end(struct drive *d); /* at stop: true when all is closed */

/* raft_hold.c */
void raft_hold_init(struct drive *d);
/* must this call to lead wait? */
bool raft_hold_keeps(struct drive *d, const struct raft_message *call);
bool raft_hold_elect(struct drive *d); /* may the election begin now?  else later, by itself */
void raft_hold_elect_end(struct drive *d);
void raft_hold_run(struct drive *d); /* is the host ready?  is it over? */
void raft_hold_held(struct journal *j);

/* raft_gone.c */
void raft_gone_tell(struct drive *d, const struct drive_link *k);       /* if it is no member */
void raft_gone_put(const struct drive *d, struct wbuf *w, uint32_t id); /* to be told to this one */
int raft_gone_heard(struct drive *d, struct rbuf *r);
void raft_gone_led(struct drive *d, const struct raft_message *m); /* what a leader says it has */
bool raft_gone_is(const struct drive *d, const struct raft_brief *s); /* is this one no member? */
void raft_gone_run(struct drive *d, const struct raft_brief *s);

/* raft_admin.c */
int raft_drive_members_parse(const char *text, struct raft_conf *ret_conf);
void raft_drive_change(struct journal *j, const struct journal_change *c, int64_t deadline_ns,
                       struct env_op *op);
void raft_drive_change_init(struct drive *d);
void raft_drive_change_run(struct drive *d); /* is one done? */
void raft_drive_change_end_all(struct drive *d, int ret);
void raft_drive_elect_end(struct drive *d, int ret);
void raft_drive_learn_disks(struct drive *d);
void raft_drive_status(struct journal *j, struct journal_status *ret_status);

#endif
