/* The form of a formula, which makes results from inputs and constants. Each operation brings its own. */

/* What write makes a vector of results from: an element of each input, and the constants of its row. */
typedef struct {
    vec v[SMX_MAX_INPUTS], c[SMX_CONSTANTS];
} terms;

/* y of so many vectors, up to IN_STEP */
typedef void (*formula)(const terms *of, int count, const exp_temperature *t, vec *y);
#define EACH for (int k = 0; k < count; k++)
