/* tests/fuzz/driver.c - runs a fuzz target without libFuzzer: replays files, or makes inputs.
 *
 *   fuzz_x FILE...              replay
 *   fuzz_x --runs N [--seed S] [FILE...]   N random inputs: pure noise, and mutations of the files
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/prng.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 64 * 1024, SEEDS_MAX = 256 };

struct seed_file {
    uint8_t *bytes;
    size_t len;
};

static struct seed_file seeds[SEEDS_MAX];
static size_t n_seeds;

static void panic(const char *file, int line, const char *what)
{
    fprintf(stderr, "panic: %s:%d: %s\n", file, line, what);
}

static int load(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f || n_seeds == SEEDS_MAX) {
        fprintf(stderr, "%s: cannot be read\n", path);
        return 1;
    }
    struct seed_file *s = &seeds[n_seeds++];
    s->bytes = malloc(INPUT_MAX);
    s->len = s->bytes ? fread(s->bytes, 1, INPUT_MAX, f) : 0;
    fclose(f);
    return 0;
}

static size_t make(struct prng *r, uint8_t *to)
{
    size_t n = prng_below(r, 16) ? prng_below(r, 600) : prng_below(r, INPUT_MAX);
    if (n_seeds && prng_below(r, 4)) {
        struct seed_file *s = &seeds[prng_below(r, n_seeds)];
        n = s->len;
        memcpy(to, s->bytes, n);
        for (uint64_t k = prng_below(r, 8) + 1; k && n; k--) {
            size_t at = prng_below(r, n);
            switch (prng_below(r, 4)) {
            case 0:
                to[at] ^= (uint8_t)(1 << prng_below(r, 8));
                break;
            case 1:
                to[at] = (uint8_t)prng_u64(r);
                break;
            case 2:
                to[at] = prng_below(r, 2) ? 0xff : 0;
                break;
            default:
                n = at;
            }
        }
        return n;
    }
    uint64_t small = prng_below(r, 3);
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)(small ? prng_below(r, small == 1 ? 4 : 256) : prng_u64(r));
    return n;
}

int main(int argc, char **argv)
{
    unsigned long runs = 0, seed = 1;
    base_panic_hook = panic;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--runs") && i + 1 < argc)
            runs = strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
            seed = strtoul(argv[++i], NULL, 10);
        else if (load(argv[i]))
            return 2;
    }
    for (size_t i = 0; i < n_seeds; i++)
        LLVMFuzzerTestOneInput(seeds[i].bytes, seeds[i].len);
    struct prng r;
    prng_seed(&r, seed, "fuzz", 0);
    for (unsigned long i = 0; i < runs; i++) {
        uint8_t *input = malloc(INPUT_MAX); /* fresh, so that a sanitizer sees an overrun */
        size_t n = input ? make(&r, input) : 0;
        uint8_t *exact = malloc(n ? n : 1);
        if (!exact)
            return 2;
        if (n)
            memcpy(exact, input, n);
        free(input);
        LLVMFuzzerTestOneInput(exact, n);
        free(exact);
    }
    printf("%s: %zu files, %lu random inputs: ok\n", argv[0], n_seeds, runs);
    for (size_t i = 0; i < n_seeds; i++)
        free(seeds[i].bytes);
    return 0;
}
