/* sim/lab_zk_tree_impl.h - what the files of lab_zk_tree share. */
#ifndef SIM_LAB_ZK_TREE_IMPL_H
#define SIM_LAB_ZK_TREE_IMPL_H

#include "sim/lab_zk_tree.h"

/* a new one, in no tree yet */
struct lab_zk_node *lab_zk_tree_node(struct lab_zk_tree *t, const char *path, uint32_t len);
void lab_zk_tree_node_free(struct lab_zk_tree *t, struct lab_zk_node *n);
/* into the tree, its parent and its session, and out of them */
void lab_zk_tree_link(struct lab_zk_tree *t, struct lab_zk_node *n);
void lab_zk_tree_unlink(struct lab_zk_tree *t, struct lab_zk_node *n);
uint64_t lab_zk_tree_weight(const struct lab_zk_node *n);
uint8_t *lab_zk_tree_bytes(struct lab_zk_tree *t, const void *p, uint32_t n);
void lab_zk_tree_bytes_free(struct lab_zk_tree *t, const uint8_t *p, uint32_t n);
/* frees what the last change has taken away */
void lab_zk_tree_settle(struct lab_zk_tree *t);

#endif
