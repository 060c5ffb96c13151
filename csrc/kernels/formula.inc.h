/* The type of a formula, which makes results from inputs and constants. Each operation has its own formulas. */

/* What a vector of results is made from: a vector of each input, and the constants of the row. */
typedef struct {
    vec v[SMX_MAX_INPUTS], c[SMX_CONSTANTS];
} terms;

/* Sets y to the results of `count` vectors, up to IN_STEP. */
typedef void (*formula)(const terms *term, int count, const exp_temperature *t, vec *y);
#define EACH for (int k = 0; k < count; k++)
