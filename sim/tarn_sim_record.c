/* sim/tarn_sim_record.c - what tarn-sim run --history writes. */
#include "sim/tarn_sim_record.h"
#include <string.h>
#include "core/fmt.h"

void tarn_sim_record_answer(FILE *to, const struct lab_load_answer *a)
{
    const struct fsop *op = a->op;
    fprintf(to, "%.6f %.6f %s.%u %s %llu", (double)a->w.from_ns / 1e9, (double)a->w.to_ns / 1e9,
            a->client, a->thread, a->step, (unsigned long long)op->ino.v);
    if (op->name_len)
        fprintf(to, " \"%.*s\"", (int)op->name_len, op->name);
    if (op->name2_len)
        fprintf(to, " -> %llu \"%.*s\"", (unsigned long long)op->ino2.v, (int)op->name2_len,
                op->name2);
    if (op->valid || op->mode || op->flags)
        fprintf(to, " valid %x mode %o size %llu flags %x", op->valid, op->mode,
                (unsigned long long)op->size, op->flags);
    if (a->len)
        fprintf(to, " [%llu + %u]", (unsigned long long)a->off, a->len);
    if (a->ret < 0)
        fprintf(to, " : %s\n", err_name((int)a->ret));
    else
        fprintf(to, " : %lld, record %llu inode %llu version %llu size %llu flags %x\n",
                (long long)a->ret, (unsigned long long)a->rep->index,
                (unsigned long long)a->rep->attr.ino.v, (unsigned long long)a->rep->attr.version,
                (unsigned long long)a->rep->attr.size, a->rep->attr.flags);
}

void tarn_sim_record_record(FILE *to, int64_t at_ns, uint64_t index, const struct fsop *op,
                            const struct meta_result *res)
{
    const struct fsattr *a = &res->reply.attr;
    struct rbuf r = rbuf_make(op->data, op->data_len);
    struct fsent e;
    fprintf(to, "%.6f record %llu %s %llu", (double)at_ns / 1e9, (unsigned long long)index,
            fsop_kind_name(op->kind), (unsigned long long)op->ino.v);
    if (op->name_len)
        fprintf(to, " \"%.*s\"", (int)op->name_len, op->name);
    fprintf(to, " session %llu seq %llu arg %llu : %s", (unsigned long long)op->session.v,
            (unsigned long long)op->seq, (unsigned long long)op->arg,
            res->reply.err ? err_name(res->reply.err) : "ok");
    if (res->reply.intent)
        fprintf(to, " intent %llu", (unsigned long long)res->reply.intent);
    if (a->ino.v)
        fprintf(to, " inode %llu mode %o uid %u nlink %u size %llu version %llu flags %x",
                (unsigned long long)a->ino.v, a->mode, a->uid, a->nlink,
                (unsigned long long)a->size, (unsigned long long)a->version, a->flags);
    bool has_ents = op->kind == FSOP_LOAD || op->kind == FSOP_REFRESH || op->kind == FSOP_OUTCOME ||
                    op->kind == FSOP_WRITE_CLOSE;
    while (has_ents && rbuf_left(&r) && fsop_ent_get(&r, &e) == 0)
        fprintf(to, " {%.*s %o uid %u size %llu file %llu fp %llx}", (int)e.name_len,
                e.name ? e.name : "", e.mode, e.uid, (unsigned long long)e.size,
                (unsigned long long)e.ufs_ino, (unsigned long long)e.fp);
    fprintf(to, "\n");
}

/* ---- operations on registers, as check-history reads them ---- */

static void put_value(FILE *to, uint64_t v)
{
    if (v)
        fprintf(to, "%llu", (unsigned long long)v);
    else
        fprintf(to, "null"); /* what a register begins with */
}

void tarn_sim_record_op(FILE *to, int64_t at_ns, const struct lab_group_op *o, uint32_t *lives)
{
    bool is_read = !strcmp(o->what, "read"), is_cas = !strcmp(o->what, "cas");
    const char *type = o->phase == LAB_GROUP_ASKED      ? "invoke"
                       : o->phase == LAB_GROUP_GIVEN_UP ? "info"
                       : is_cas && !o->did              ? "fail"
                                                        : "ok";
    uint32_t *life = &lives[o->number % RECORD_THREADS];
    fprintf(to, "{\"process\": %u, \"type\": \"%s\", \"f\": \"%s\", \"key\": %llu, \"value\": ",
            o->number % RECORD_THREADS + RECORD_THREADS * *life, type, o->what,
            (unsigned long long)o->key);
    if (is_cas)
        fprintf(to, "[");
    put_value(to, is_read ? o->value : o->a);
    if (is_cas) {
        fprintf(to, ", ");
        put_value(to, o->b);
        fprintf(to, "]");
    }
    fprintf(to, ", \"time\": %lld}\n", (long long)at_ns);
    *life += o->phase == LAB_GROUP_GIVEN_UP; /* it goes on under another number */
}
