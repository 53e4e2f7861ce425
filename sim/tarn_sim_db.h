/* sim/tarn_sim_db.h - the results of a campaign in SQLite; docs/simulator.md has the schema.
 *
 *  1. A database is of one commit and one list of (scenario, settings).  Whoever comes with another
 *     is refused.
 *  2. A run's row and what it came to are written in one transaction; what a kill -9 takes away is
 *     the transaction under way, at most a second.
 *  3. One process writes at a time. */
#ifndef SIM_TARN_SIM_DB_H
#define SIM_TARN_SIM_DB_H

#include <sqlite3.h>
#include "sim/tarn_sim_row.h"

enum { DB_SCHEMA = 3 };

struct db_machine {
    char cpu[80], kernel[80];
    int64_t cores; /* that are on line */
};

/* says on standard error why not; ret: 0, EXIT_USAGE or EXIT_BROKEN */
int tarn_sim_db_open(const char *path, bool may_create, sqlite3 **ret_db);
/* ends the transaction and the database; ret: 0 or EXIT_BROKEN */
int tarn_sim_db_close(sqlite3 *db);
/* says what went wrong and ends the process with EXIT_BROKEN */
__attribute__((noreturn)) void tarn_sim_db_panic(sqlite3 *db);
void tarn_sim_db_do(sqlite3 *db, const char *sql);
/* one statement; bind by sqlite3_bind_*; tarn_sim_db_row is false at the end, and after errors none
 */
sqlite3_stmt *tarn_sim_db_ask(sqlite3 *db, const char *sql);
bool tarn_sim_db_row(sqlite3_stmt *st);
/* for statements without rows: runs it, and makes it ready for the next time */
void tarn_sim_db_run(sqlite3_stmt *st);
int64_t tarn_sim_db_number(sqlite3 *db, const char *sql);
const char *tarn_sim_db_meta(sqlite3 *db, const char *key, char *ret, size_t cap);

/* takes the campaign's identity over into an empty database, or compares; fills in db_id */
int tarn_sim_db_bind(sqlite3 *db, const char *path, struct row_plan *p);
/* a run is over; ret: the status of (scenario, seed) now, which a second run may have changed */
int tarn_sim_db_put(sqlite3 *db, const struct row_plan *p, const struct row *r);
/* sets state[seed - from] of each run that is there */
void tarn_sim_db_done(sqlite3 *db, const struct row_plan *p, uint64_t from, uint64_t to);
/* counts anew which marks were reached, from the rows */
void tarn_sim_db_reached(sqlite3 *db);
/* one number of the marks of a row: pairs of (id in the table mark, hits) */
size_t tarn_sim_db_pack(uint8_t *to, uint64_t v);
const uint8_t *tarn_sim_db_unpack(const uint8_t *at, const uint8_t *end, uint64_t *ret_v);
const char *tarn_sim_db_verdict(int status);
/* the commit of this program, its hash, and what compiled it */
const char *tarn_sim_db_commit(void);
const char *tarn_sim_db_build(void);
const char *tarn_sim_db_compiler(void);
/* where this runs */
const struct db_machine *tarn_sim_db_machine(void);

#endif
