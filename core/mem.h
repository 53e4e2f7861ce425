/* core/mem.h - where a component's memory comes from.
 *
 * A composition root (a daemon's main, a simulated node) makes one `struct mem` with a budget in
 * bytes and hands it down; nothing below it calls malloc.  Small blocks come in size classes carved
 * from 64 KiB chunks; large ones come from the source directly.  Blocks carry no header: the owner
 * gives the size back on free.  mem_drop() returns everything at once, which is how a simulated
 * node's memory dies with its process.
 *
 * Exhaustion: mem_alloc returns NULL over the budget.  Requests and buffers come from pools of a
 * fixed count, made at start, so that running out is a state to wait in, not an error path. */
#ifndef CORE_MEM_H
#define CORE_MEM_H

#include "core/err.h"
#include "core/list.h"

/* get returns n bytes aligned to 64, or NULL; put takes the same n back */
struct mem_source {
    void *(*get)(void *ctx, size_t n);
    void (*put)(void *ctx, void *p, size_t n);
    void *ctx;
    size_t zeroed_min; /* blocks of so many bytes and more are zeros when got; 0: none are */
};

enum { MEM_CLASSES = 48, MEM_CHUNK = 64 * 1024 };

struct mem {
    struct mem_source source;
    uint64_t budget, used, used_max; /* bytes taken from the source */
    uint64_t promised;               /* to parts, and not taken by them yet */
    struct mem *whole;               /* of a part */
    struct list chunks, large;       /* everything taken, for mem_drop */
    void *free_head[MEM_CLASSES];
    void *spare; /* chunks that were set aside: each begins with the next one's address */
};

void mem_init(struct mem *m, struct mem_source source, uint64_t budget_bytes);
/* A part of m with a budget of its own, which nobody else can use up.  false: m has not that much
 * left.  It ends with mem_part_end, or with m. */
bool mem_part(struct mem *part, struct mem *m, uint64_t budget_bytes) MUST_CHECK;
void mem_part_end(struct mem *part);
/* Sets chunks of small blocks aside, of so many bytes or as many as there are, so that they need
 * not be asked for later. */
void mem_reserve(struct mem *m, uint64_t bytes);
/* NULL over the budget; 16-byte aligned (64 from 16 KiB on); contents undefined */
void *mem_alloc(struct mem *m, size_t n) MUST_CHECK;
void *mem_zalloc(struct mem *m, size_t n) MUST_CHECK;
/* n as it was allocated; p may be NULL */
void mem_free(struct mem *m, void *p, size_t n);
/* gives every block back to the source; all pointers into m die */
void mem_drop(struct mem *m);

#include "core/pool.h"

#endif
