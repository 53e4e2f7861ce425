/* journal/zk_record.h - what the files of the ZooKeeper journal hold beyond log_format.h, for who
 * reads them without its driver (zk_drive.c, which says what is where). */
#ifndef JOURNAL_ZK_RECORD_H
#define JOURNAL_ZK_RECORD_H

#include <stdint.h>

/* types of records; each begins with u64 acked_upto */
enum { ZK_REC_DATA = 0, ZK_REC_ACKED = 1 };

enum { ZK_ACKED_BYTES = 8 };

struct zk_image_name { /* images/<member>/image-<index> */
    uint32_t member;
    uint64_t index;
};

/* of a name in images/: "17/" -> 17; 0: it is something else */
uint32_t zk_image_member(const char *name);

#endif
