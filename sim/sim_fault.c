/* sim/sim_fault.c - named fault sites, in two phases: a site is on in a run or not; one that is on
 * fires now and then.
 *
 *  1. Whether a site is on depends on (seed, name) alone, not on who asks first.
 *  2. Firing draws from the asking node's own stream; what is not on draws nothing.
 *  3. What a site does is what may happen without it, too: a full table, a lost lease, a small
 *     batch. */
#include "sim/sim_internal.h"

/* new ones at the end: scenarios say which by number */
static const struct sim_known_site known[] = {
    {"wal.batch_of_one", "a batch of the log takes one record, however many wait"},
    {"wal.segment_early", "the log goes on in its next segment though there is room in this one"},
    {"image.early", "a state image is written long before it is due"},
    {"ship.small", "an image that is fetched comes in smaller pieces"},
    {"raft.queue_full", "a submit is refused as if too many waited"},
    {"master.busy", "a request is refused as if there were too many"},
    {"master.no_lease", "an answer may not be kept"},
    {"worker.busy", "a read or write is refused as if there were too many"},
    {"worker.not_kept", "a page that was fetched is not kept"},
    {"worker.tells_all", "a worker reports all its pages, not what has changed"},
    {"client.forgets", "what a client has cached is asked again"},
    {"client.reads_no_ahead", "there is no buffer to read ahead"},
};

const struct sim_known_site *sim_fault_known(uint32_t i)
{
    return i < ARRAY_LEN(known) ? &known[i] : NULL;
}

/* may it be on?  Those of tests have no number. */
static bool sim_fault_may(const struct sim *s, const char *name)
{
    for (uint32_t i = 0; i < ARRAY_LEN(known); i++)
        if (!strcmp(known[i].name, name))
            return s->cfg.fault_sites >> i & 1;
    return true;
}

static struct sim_site_state *sim_fault_lookup(struct sim *s, const char *name)
{
    for (uint32_t i = 0; i < s->n_sites; i++)
        if (s->sites[i].literal == name && !strcmp(s->sites[i].pub.name, name))
            return &s->sites[i];
    size_t len = strlen(name);
    ASSERT(len < sizeof s->sites[0].pub.name);
    uint64_t hash = base_hash(name, len, 0);
    for (uint32_t i = 0; i < s->n_sites; i++)
        if (s->sites[i].hash == hash)
            return &s->sites[i];
    ASSERT(s->n_sites < SIM_SITES);
    struct sim_site_state *site = &s->sites[s->n_sites++];
    struct prng p;
    prng_seed(&p, s->cfg.seed, name, 1);
    site->hash = hash;
    site->literal = name;
    memcpy(site->pub.name, name, len + 1);
    site->pub.on = prng_chance_ppm(&p, s->cfg.fault_on_ppm) && sim_fault_may(s, name);
    site->pub.fire_ppm = s->cfg.fault_fire_ppm;
    return site;
}

bool sim_fault_vt(struct env *e, const char *name)
{
    struct sim_node *n = container_of(e, struct sim_node, env);
    struct sim_site_state *site = sim_fault_lookup(n->sim, name);
    site->pub.asked++;
    bool fires = site->pub.on && prng_chance_ppm(&n->fault, site->pub.fire_ppm);
    struct sim_hit hit = {.kind = SIM_CHANCE_SITE};
    if (n->sim->chance)
        fires = sim_chance_ask(n->sim, n, NULL, name, fires, &hit);
    if (!fires)
        return false;
    site->pub.fired++;
    sim_record(n->sim, n, SIM_K_FAULT, site->hash, 0);
    return true;
}

void sim_fault_set(struct sim *s, const char *site, uint32_t ppm)
{
    struct sim_site_state *st = sim_fault_lookup(s, site);
    st->pub.on = ppm > 0;
    st->pub.fire_ppm = ppm;
}

const struct sim_site *sim_fault_site(const struct sim *s, uint32_t i)
{
    return i < s->n_sites ? &s->sites[i].pub : NULL;
}
