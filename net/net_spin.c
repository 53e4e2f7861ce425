/* net/net_spin.c - looking once more before sleeping.
 *
 * Waking a thread on a processor that went to sleep itself takes longer (some 20 us in a virtual
 * machine) than most questions take to answer.  So a loop that has just had something to do may
 * look again for a short while, in turns that do not wait, before it sleeps.  Whether that helps
 * depends on where the scheduler puts the others and on who else wants this processor: nobody can
 * know, so it is tried, and what came of it decides how often it is tried again.
 *
 * INVARIANTS
 *  1. A wait spins for at most spin_ns, and only after a turn that brought something from outside;
 *     timers do not count.  A process that has nothing to do does not spin.
 *  2. Each spin that nothing came of makes the waits between two spins four times as many, each
 *     that something came of half as many; at most 2^SPIN_LEVEL_MAX.  So where others need this
 *     very processor to answer, some 60 us are lost in a thousand waits.
 *  3. Waits of two kinds are judged apart: after something was sent a peer must answer, else
 *     somebody outside (the kernel's FUSE device, a peer's next question) must come. */
#include "net/net_impl.h"

enum { SPIN_LEVEL_MAX = 10, SPIN_LEVEL_FIRST = 4 };

void net_spin_init(struct net *net)
{
    struct net_spin *s = &net->spin;
    for (size_t i = 0; i < ARRAY_LEN(s->kinds); i++)
        s->kinds[i].level = SPIN_LEVEL_FIRST;
}

void net_spin_event(struct net *net)
{
    net->spin.had_event = true;
}

static void net_spin_end(struct net *net, bool came)
{
    struct net_spin *s = &net->spin;
    struct net_spin_kind *k = &s->kinds[s->kind];
    s->is_on = false;
    if (came) {
        net->stats.spins_hit++;
        k->level -= k->level > 0;
    } else {
        k->level = k->level + 2 < SPIN_LEVEL_MAX ? k->level + 2 : SPIN_LEVEL_MAX;
    }
    k->skip = k->level ? 1u << k->level : 0;
}

bool net_spin_wait(struct net *net)
{
    struct net_spin *s = &net->spin;
    bool came = s->had_event;
    if (net->config.spin_ns <= 0)
        return false;
    s->had_event = false;
    if (s->is_on && came)
        net_spin_end(net, true);
    if (!s->is_on) {
        if (!came)
            return false;
        s->kind = net->stats.writes != s->writes;
        s->writes = net->stats.writes;
        struct net_spin_kind *k = &s->kinds[s->kind];
        if (k->skip) {
            k->skip--;
            return false;
        }
        net->stats.spins++;
        s->is_on = true;
        s->until_ns = net_loop_clock() + net->config.spin_ns;
        return true;
    }
    if (net_loop_clock() < s->until_ns)
        return true;
    net_spin_end(net, false);
    return false;
}
