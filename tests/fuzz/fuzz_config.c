/* tests/fuzz/fuzz_config.c - any text as a configuration. */
#include <stdlib.h>
#include "cluster/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char err[CONFIG_ERROR_MAX];
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    text[size] = 0;
    struct config *c = config_new();
    if (!config_parse(c, text, "fuzz", err, sizeof err) && !config_check(c, err, sizeof err))
        free(config_json(c, true));
    config_free(c);
    free(text);
    return 0;
}
