/* The type of a formula, which makes results from inputs and constants. Each operation has its own formulas. */

/* What a vector of results is made from: a vector of each input, and the constants of the row. */
typedef struct {
    vec v[SMX_MAX_INPUTS], c[SMX_CONSTANTS];
} terms;

/* Sets y to the results of `count` vectors, up to IN_STEP. */
typedef void (*formula)(const terms *term, int count, const exp_temperature *t, vec *y);

/* What a write applies: a formula, the views that it reads and the one that it writes, and how many constants of a row
   it takes. is_derivative: the inputs may be masked, or of 16 bits. */
typedef struct {
    const smx_view *to, *from[SMX_MAX_INPUTS];
    int inputs, constant_count, is_derivative;
    formula f;
} write_spec;

/* How the numbers of a write are stored and masked, and whether results go past the cache. */
typedef struct {
    enum smx_storage from, to;
    enum masking masking;
    int stream;
} write_mode;

SMX_INLINE write_mode mode_of(enum smx_storage from, enum smx_storage to, enum masking masking, int stream) {
    const write_mode mode = {from, to, masking, stream};
    return mode;
}

#define EACH for (int k = 0; k < count; k++)
