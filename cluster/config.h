/* cluster/config.h - the configuration: JSON in, checked values out.
 *
 * One table (CONFIG_KEYS) holds every key with its type, default, range and meaning; the parser,
 * the checker, `tarn config show --defaults` and the documentation all come from it.  Unknown keys
 * and bad values are errors that name file, key, and what would be right (the nearest known key).
 *
 * Sizes are numbers of bytes or strings with a unit ("64MiB", "1.5GB" is refused: integers only);
 * durations are strings with a unit ("500ms", "5s", "2m") or 0.  A key can be overridden on the
 * command line by --set key=value. */
#ifndef CLUSTER_CONFIG_H
#define CLUSTER_CONFIG_H

#include <stdio.h>
#include "cluster/master.h"

enum config_type {
    CONFIG_STR,
    CONFIG_ADDR,
    CONFIG_PATH,
    CONFIG_SIZE,
    CONFIG_DURATION,
    CONFIG_INT,
    CONFIG_BOOL,
    CONFIG_ENUM
};

/* X(ID, "section.key", type, "default", min, max, "a|b|c" for ENUM, "meaning") */
#define CONFIG_KEYS(X)                                                                            \
    X(CLUSTER_NAME, "cluster.name", STR, "tarn", 1, 64, NULL, "name of the cluster, for people")  \
    X(CLUSTER_ID, "cluster.id", STR, "", 0, 32, NULL,                                             \
      "32 hex digits; empty: taken from the master's directory, made when it is formatted")       \
    X(CLUSTER_SECRET_FILE, "cluster.secret_file", PATH, "", 0, 0, NULL,                           \
      "file of the secret that processes prove to each other (tarn secret new FILE); empty: "     \
      "none, "                                                                                    \
      "and then only loopback addresses")                                                         \
    X(CLUSTER_PAGE, "cluster.page", SIZE, "1MiB", 64 << 10, 16 << 20, NULL,                       \
      "page size of the workers' caches; a power of two")                                         \
    X(CLUSTER_STRIPE, "cluster.stripe", SIZE, "1GiB", 1 << 20, 1LL << 40, NULL,                   \
      "bytes of a file that stay on one worker; a multiple of the page")                          \
    X(MASTER_LISTEN, "master.listen", ADDR, "127.0.0.1:7700", 0, 0, NULL,                         \
      "host:port of the master")                                                                  \
    X(MASTER_HTTP, "master.http", ADDR, "", 0, 0, NULL,                                           \
      "host:port for /healthz, /readyz and /metrics; empty: off")                                 \
    X(MASTER_DIR, "master.dir", PATH, "", 0, 0, NULL, "directory of the journal; required")       \
    X(MASTER_LEASE, "master.lease", DURATION, "5s", 200000000LL, 600000000000LL, NULL,            \
      "how long a client may use cached names and attributes without contact")                    \
    X(MASTER_SESSION, "master.session", DURATION, "30s", 1000000000LL, 3600000000000LL, NULL,     \
      "a silent client's session expires after this; longer than the lease")                      \
    X(MASTER_WORKER_BEAT, "master.worker_beat", DURATION, "500ms", 50000000LL, 60000000000LL,     \
      NULL, "interval of the workers' reports; a worker is lost after four")                      \
    X(MASTER_INODES_MAX, "master.inodes_max", INT, "100000000", 1000, 4000000000LL, NULL,         \
      "most files, directories and links; beyond: no space left")                                 \
    X(MASTER_MEMORY, "master.memory", SIZE, "16GiB", 128 << 20, 1LL << 44, NULL,                  \
      "most memory of the master process; about 2/5 of it may be names and sessions (some 150 "   \
      "bytes and the name for each file), as much is kept for writing images; beyond: no space "  \
      "left")                                                                                     \
    X(MASTER_REQUESTS_MAX, "master.requests_max", INT, "4096", 16, 1000000, NULL,                 \
      "requests at once; one more is told to try again")                                          \
    X(JOURNAL_TYPE, "journal.type", ENUM, "local", 0, 0, "local|raft|zk",                         \
      "local: one master; raft: a group of masters that keep one journal; zk: masters with one "  \
      "journal in a shared directory, elected through ZooKeeper (docs/zookeeper-journal.md)")     \
    X(JOURNAL_ID, "journal.id", INT, "0", 0, UINT32_MAX, NULL,                                    \
      "raft, zk: which of the masters this one is; 0: none, as for workers and mounts")           \
    X(JOURNAL_MEMBERS, "journal.members", STR, "", 0, 4096, NULL,                                 \
      "raft: the masters a new cluster is made of, \"1@host:port[=PRIORITY],2@host:port,...\"; "  \
      "where masters, workers and mounts reach them.  zk: the latter only")                       \
    X(JOURNAL_ZK_CONNECT, "journal.zk.connect", STR, "", 0, 4096, NULL,                           \
      "zk: the ZooKeeper servers and a path that is this cluster's alone, "                       \
      "\"h1:2181,h2:2181,h3:2181/tarn\"")                                                         \
    X(JOURNAL_ZK_SHARED_DIR, "journal.zk.shared_dir", PATH, "", 0, 0, NULL,                       \
      "zk: directory of the journal, the same storage on every master's host")                    \
    X(JOURNAL_ZK_SESSION, "journal.zk.session", DURATION, "4s", 200000000LL, 60000000000LL, NULL, \
      "zk: a master that ZooKeeper does not hear that long is replaced; servers bound it "        \
      "(2 to 20 of their ticks)")                                                                 \
    X(JOURNAL_ZK_AUTH, "journal.zk.auth", STR, "", 0, 4096, NULL,                                 \
      "zk: \"USER:PASSWORD\" (scheme digest) whose alone the nodes in ZooKeeper are, or the "     \
      "absolute path of a file with that line; empty: open to whoever reaches the servers")       \
    X(JOURNAL_HEARTBEAT, "journal.heartbeat", DURATION, "50ms", 1000000LL, 10000000000LL, NULL,   \
      "raft: a leader that has nothing to say says so that often")                                \
    X(JOURNAL_PROMISE, "journal.promise", DURATION, "150ms", 2000000LL, 60000000000LL, NULL,      \
      "raft: who hears a leader elects no other that long; the leader answers reads by it")       \
    X(JOURNAL_SUSPECT_MIN, "journal.suspect_min", DURATION, "1s", 10000000LL, 600000000000LL,     \
      NULL, "raft: a leader that is silent that long, or up to suspect_max, is replaced")         \
    X(JOURNAL_SUSPECT_MAX, "journal.suspect_max", DURATION, "2s", 10000000LL, 600000000000LL,     \
      NULL, "raft: see journal.suspect_min; longer on busy machines")                             \
    X(JOURNAL_KEEP, "journal.keep_entries", INT, "100000", 0, 1LL << 40, NULL,                    \
      "raft: records kept behind an image, for members that were away; beyond: they get the "     \
      "image")                                                                                    \
    X(JOURNAL_SEGMENT, "journal.segment", SIZE, "16MiB", 1 << 20, 1 << 30, NULL,                  \
      "size of one segment of the write-ahead log")                                               \
    X(JOURNAL_IMAGE_AFTER, "journal.image_after", SIZE, "64MiB", 1 << 20, 1LL << 40, NULL,        \
      "log written between two state images; beside a large image it is a quarter of that")       \
    X(WORKER_LISTEN, "worker.listen", ADDR, "127.0.0.1:7710", 0, 0, NULL,                         \
      "host:port of the worker; `tarn up` counts the port up for each further one")               \
    X(WORKER_HTTP, "worker.http", ADDR, "", 0, 0, NULL, "as master.http")                         \
    X(WORKER_DIR, "worker.dir", PATH, "", 0, 0, NULL, "directory of cached pages; required")      \
    X(WORKER_CAPACITY, "worker.capacity", SIZE, "10GiB", 1 << 20, 1LL << 50, NULL,                \
      "bytes of pages kept in worker.dir")                                                        \
    X(WORKER_EVICTION, "worker.eviction", ENUM, "s3fifo", 0, 0, "s3fifo|lru|fifo",                \
      "which page goes first when the cache is full")                                             \
    X(WORKER_BUFFER, "worker.buffer", SIZE, "64MiB", 4 << 20, 1LL << 40, NULL,                    \
      "memory for pages on their way; at most a quarter of worker.memory")                        \
    X(WORKER_PAGE_CACHE, "worker.page_cache", SIZE, "256MiB", 0, 1LL << 44, NULL,                 \
      "memory for pages that are read whole often; at most half of worker.memory")                \
    X(WORKER_FETCHES_MAX, "worker.fetches_max", INT, "16", 1, 1024, NULL,                         \
      "reads of the under-store at once")                                                         \
    X(WORKER_PASSTHROUGH, "worker.passthrough", BOOL, "true", 0, 0, NULL,                         \
      "hand whole files to mounts on the same host")                                              \
    X(WORKER_MEMORY, "worker.memory", SIZE, "4GiB", 64 << 20, 1LL << 44, NULL,                    \
      "most memory of the worker process")                                                        \
    X(CLIENT_MASTERS, "client.masters", STR, "", 0, 4096, NULL,                                   \
      "host:port[,host:port...]; empty: those of journal.members, else master.listen")            \
    X(CLIENT_READ_FROM, "client.read_from", ENUM, "leader", 0, 0, "leader|any",                   \
      "who is asked about names and attributes: the leader, who lets a client keep the answer; "  \
      "or any master in turn, for what is asked once (docs/ha.md)")                               \
    X(CLIENT_DEADLINE, "client.deadline", DURATION, "30s", 100000000LL, 3600000000000LL, NULL,    \
      "a request that is not answered by then ends with an error")                                \
    X(CLIENT_READAHEAD, "client.readahead_pages", INT, "8", 0, 256, NULL,                         \
      "most pages read ahead of a sequential reader")                                             \
    X(CLIENT_BUFFER, "client.buffer", SIZE, "64MiB", 4 << 20, 1LL << 40, NULL,                    \
      "memory for read-ahead; at most a quarter of client.memory")                                \
    X(CLIENT_PAGE_CACHE, "client.page_cache", SIZE, "512MiB", 0, 1LL << 40, NULL,                 \
      "memory for pages that are read in bits often; at most half of client.memory")              \
    X(CLIENT_CACHE_ENTRIES, "client.cache_entries", INT, "100000", 100, 1000000000LL, NULL,       \
      "names and attributes kept by a client")                                                    \
    X(CLIENT_DIRECT, "client.direct_under_store", BOOL, "true", 0, 0, NULL,                       \
      "read the under-store itself when no worker answers")                                       \
    X(CLIENT_HISTORY, "client.history", PATH, "", 0, 0, NULL,                                     \
      "append what a mount or `tarn fs` asks and is answered, for `tarn-sim check-history`")      \
    X(CLIENT_MEMORY, "client.memory", SIZE, "1GiB", 32 << 20, 1LL << 44, NULL,                    \
      "most memory of a client")                                                                  \
    X(MOUNT_POINT, "mount.point", PATH, "", 0, 0, NULL, "where `tarn up` mounts; empty: nowhere") \
    X(MOUNT_HTTP, "mount.http", ADDR, "", 0, 0, NULL, "as master.http")                           \
    X(MOUNT_OPTIONS, "mount.options", STR, "", 0, 1024, NULL, "as -o of `tarn mount`")            \
    X(MOUNT_READAHEAD, "mount.readahead", SIZE, "1MiB", 0, 64 << 20, NULL,                        \
      "the kernel's read-ahead for the mount")                                                    \
    X(MOUNT_PASSTHROUGH, "mount.passthrough", ENUM, "auto", 0, 0, "off|auto",                     \
      "reads of whole files of a worker on this host go to its disk; needs CAP_SYS_ADMIN")        \
    X(UP_WORKERS, "up.workers", INT, "2", 1, 64, NULL, "workers that `tarn up` starts")           \
    X(UP_HTTP, "up.http", BOOL, "true", 0, 0, NULL,                                               \
      "`tarn up` finds a port for health and metrics of each process that has none configured")   \
    X(NET_SPIN, "net.spin", DURATION, "60us", 0, 10000000LL, NULL,                                \
      "a mount or worker looks for more that long before it sleeps, where that helps")            \
    X(HTTP_ALLOW_REMOTE, "http.allow_remote", BOOL, "false", 0, 0, NULL,                          \
      "health and metrics also on addresses other than loopback; they ask nobody who he is")      \
    X(LOG_LEVEL, "log.level", ENUM, "info", 0, 0, "error|warn|info|debug",                        \
      "least serious lines kept; SIGUSR1 and SIGUSR2 raise and lower it while a process runs")    \
    X(LOG_FILE, "log.file", PATH, "", 0, 0, NULL,                                                 \
      "file of the log, opened again at SIGHUP; empty: standard error")                           \
    X(LOG_FORMAT, "log.format", ENUM, "text", 0, 0, "text|json", "how lines of the log look")

#define CONFIG_ENUM(id, key, type, def, min, max, values, doc) CONFIG_##id,
enum config_id { CONFIG_KEYS(CONFIG_ENUM) CONFIG_COUNT };
#undef CONFIG_ENUM

enum { CONFIG_MOUNTS_MAX = LIMIT_MOUNTS, CONFIG_ERROR_MAX = 512 };

struct config;

/* Defaults only. */
struct config *config_new(void);
void config_free(struct config *c);
/* All return 0 or E_CONFIG (E_NOENT, E_ACCES for the file) with a sentence in err. */
int config_load(struct config *c, const char *file, char *err, size_t err_cap);
int config_parse(struct config *c, const char *json, const char *file_name, char *err,
                 size_t err_cap);
int config_set(struct config *c, const char *key, const char *value, char *err, size_t err_cap);
/* one more mount; uri "" in mode meta */
int config_put_mount(struct config *c, const char *path, const char *uri, const char *mode,
                     const char *interval, char *err, size_t err_cap);
/* forgets the mount at `path`, if there is one */
void config_drop_mount(struct config *c, const char *path);
/* What must hold between keys (page a power of two, lease < session, ...). */
int config_check(const struct config *c, char *err, size_t err_cap);
/* From now on every mistake is told to say(), and what is left is looked at all the same.  The
 * calls above still return what they would, of the first one. */
void config_on_mistake(struct config *c, void (*say)(void *ctx, const char *text), void *ctx);

const char *config_str(const struct config *c, enum config_id id);
int64_t config_int(const struct config *c, enum config_id id); /* SIZE, DURATION (ns), INT, BOOL */
/* a size, at most the given part of a memory budget */
uint64_t config_share(const struct config *c, enum config_id id, enum config_id memory,
                      unsigned part);
/* of a process's memory, what its connections may hold */
uint64_t config_net_share(uint64_t memory);
const struct master_mount *config_mounts(const struct config *c, uint32_t *ret_n);
const char *config_masters(const struct config *c);

/* JSON of every key; with_docs: one object per key with value, default, type, range, meaning. */
char *config_json(const struct config *c, bool with_docs); /* free() it */

/* The candidate nearest to `word` by edit distance, or NULL when none is near. */
const char *config_nearest(const char *word, const char *const *candidates, size_t n);
/* "64MiB" -> bytes; "500ms" -> ns.  false on bad text or overflow. */
bool config_parse_size(const char *s, int64_t *ret_bytes);
bool config_parse_duration(const char *s, int64_t *ret_ns);

#endif
