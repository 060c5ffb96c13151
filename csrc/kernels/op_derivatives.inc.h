/* The products with the Jacobians of softmax and log_softmax: one sum d for each row, then a formula.

       operation           d                 element
       softmax_vjp         sum y g           y (g - d) / T
       log_softmax_vjp     sum g             (g - exp(y) d) / T
       log_softmax_jvp     sum exp(y) g      (g - d) / T

   docs/accuracy.md, theorem 6, derives the bounds. Where numbers are too large for the loops, finish asks for a second
   round, in which their rows are done with care (care.inc.h).

   The claims, with the worst cases that tests/find_worst.py found; tests/test_accuracy.py reads them here. u is half
   the machine epsilon times an element's natural scale: y (|g| + sum y |g|), |g| + p sum |g|, |g| + sum p |g|.

   claim: softmax_vjp float32 <= 6 u; found 4.62 at hex: 0x1.dcb2e2p-1, 0x1.4667dcp-16, 0x1.1a548ep-4,
     -0x1.15f912p-8, 0x1.881546p-10, -0x1.e891p-16
   claim: softmax_vjp float64 <= 6 u; found 4.56 at hex: 0x1.2ad5d9834ab84p-56, 0x1.fffbb098e9ccap-1,
     0x1.e7b1902515409p-55, 0x1.13d905a8e63b3p-15, 0x1.606fb33a86372p-59, 0x1.7fc7de35551a4p-32,
     0x1.5365c3f479c5bp-5, 0x1.01f56e281104bp+5, -0x1.2a665bd02c8eap+5, 0x1.e31b19da957e2p-7, 0x1.2ebf576583e5bp+7,
     -0x1.fcff9fe7c03aap-4
   claim: log_softmax_vjp float32 <= 6 u; found 4.86 at hex: -0x1.608984p+1, -0x1.60da8ep+1, -0x1.210988p-3,
     -0x1.408c34p+3, -0x1.49658ep+4, -0x1.5b063p+2, -0x1.30fap-17, -0x1.94cf84p-8, -0x1.588ap-6, 0x1.01424cp+3,
     0x1.8e6fd8p-5, -0x1.7d1b2p-10
   claim: log_softmax_vjp float64 <= 6 u; found 4.44 at hex: -0x1.cf0da2ffdb0adp+0, -0x1.ba911a24cfccep+0,
     -0x1.a663501c7fc1bp+0, -0x1.94d8ea1ec7ba4p+0, -0x1.a0eebbf10cac1p+0, -0x1.5e6f95dfad9e2p+1, 0x1.3199e122013b1p-5,
     -0x1.2c0367084ae7ep-8, 0x1.dbca070b75935p-9, 0x1.082ff336c85eap+5, 0x1.0a7e101eacc1ap-4, 0x1.fd7475644d712p-7
   claim: log_softmax_jvp float32 <= 6 u; found 3.87 at hex: -0x1.b3a092p+1, -0x1.1ef4ecp+3, -0x1.163452p-5,
     -0x1.c3ad74p+3, -0x1.e6f818p-9, 0x1.fef3c6p+0, 0x1.1736dap+2, -0x1.2dc9fep+2
   claim: log_softmax_jvp float64 <= 6 u; found 4.28 at hex: -0x1.3d0f25897dc56p-18, -0x1.1319dcabf5d42p+4,
     -0x1.88a3b8d0a76d5p+3, 0x1.018e2b9c16899p+2, 0x1.4f6a6419d042bp+2, -0x1.67c6068a6a9c9p-8 */

/* ---- reduce ----------------------------------------------------------------------------------------------------- */

/* The reductions of a derivative, except sum_reduce_packed. In the second round of a tile, the sums of the rows that
   need it are replaced. */
#define REDUCTIONS(op, what)                                                                                           \
    SMX_INLINE void op##_again(const smx_tile *tile, void *partial) {                                                  \
        if (tile->again)                                                                                               \
            sum_again(tile, partial, what);                                                                            \
    }                                                                                                                  \
    static void op##_reduce_stored_columns(const smx_tile *tile, void *partial) {                                      \
        sum_reduce_stored(tile, partial, SMX_COLUMNS, what);                                                           \
    }                                                                                                                  \
    REDUCE(op, rows) {                                                                                                 \
        if (is_plain_tile(tile))                                                                                       \
            sum_reduce_rows(tile, partial, SMX_REAL, NO_MASK, what);                                                   \
        else                                                                                                           \
            sum_reduce_stored(tile, partial, SMX_ROWS, what);                                                          \
        op##_again(tile, partial);                                                                                     \
    }                                                                                                                  \
    REDUCE(op, columns) {                                                                                              \
        if (is_plain_tile(tile))                                                                                       \
            sum_reduce_columns(tile, partial, 0, SMX_REAL, NO_MASK, what);                                             \
        else                                                                                                           \
            op##_reduce_stored_columns(tile, partial);                                                                 \
        op##_again(tile, partial);                                                                                     \
    }                                                                                                                  \
    REDUCE(op, short_columns) {                                                                                        \
        if (is_plain_tile(tile))                                                                                       \
            sum_reduce_columns(tile, partial, 1, SMX_REAL, NO_MASK, what);                                             \
        else                                                                                                           \
            op##_reduce_stored_columns(tile, partial);                                                                 \
        op##_again(tile, partial);                                                                                     \
    }                                                                                                                  \
    REDUCE(op, narrow_lines) {                                                                                         \
        sum_reduce_lines(tile, partial, what);                                                                         \
        op##_again(tile, partial);                                                                                     \
    }
REDUCTIONS(softmax_vjp, PRODUCT)
REDUCTIONS(log_softmax_vjp, GRADIENT)
/* For double backward alone, so it has no loops of its own for numbers of 16 bits, masks and whole rows: a block makes
   reals of the elements. */
SMX_INLINE void log_softmax_jvp_again(const smx_tile *tile, void *partial) {
    if (tile->again)
        sum_again(tile, partial, EXP_PRODUCT);
}
REDUCE(log_softmax_jvp, rows) {
    sum_reduce_rows(tile, partial, SMX_REAL, NO_MASK, EXP_PRODUCT);
    log_softmax_jvp_again(tile, partial);
}
REDUCE(log_softmax_jvp, columns) {
    sum_reduce_columns(tile, partial, is_short(tile), SMX_REAL, NO_MASK, EXP_PRODUCT);
    log_softmax_jvp_again(tile, partial);
}
REDUCE(log_softmax_jvp, narrow_lines) {
    sum_reduce_lines(tile, partial, EXP_PRODUCT);
    log_softmax_jvp_again(tile, partial);
}
REDUCE(softmax_vjp, packed) {
    sum_reduce_packed(tile, partial, PRODUCT);
    softmax_vjp_again(tile, partial);
}
REDUCE(log_softmax_vjp, packed) {
    sum_reduce_packed(tile, partial, GRADIENT);
    log_softmax_vjp_again(tile, partial);
}

/* ---- finish ----------------------------------------------------------------------------------------------------- */

/* The gradient that stands for a hidden element, whose y is 0: y (g - d) is then 0 for every |d| up to this. */
#define HIDDEN_GRADIENT (REAL_BITS == 32 ? FLT_MAX / 2 : DBL_MAX / 2)

/* If |d| is below this, g - d is finite for every finite g, so y (g - d) is not NaN where y is 0. */
#define MODERATE_SUM ((real)(REAL_BITS == 32 ? 0x1p102 : 0x1p969))

/* If |d| is below this, exp(y) d is finite for every y up to 20, in the scale that log_softmax_vjp chooses for d. */
#define MODERATE_FACTOR ((real)(REAL_BITS == 32 ? 0x1p67 : 0x1p931))

/* One scale does for every |d| between these two: exp(y) 2^(SCALED_HEADROOM - SCALED_REFERENCE) and d / 2^(...) are
   normal numbers, as long as their product is at least half of the smallest subnormal. */
#define LEAST_FACTOR ((real)(REAL_BITS == 32 ? 0x1p-71 : 0x1p-831))
#define MOST_FACTOR ((real)(REAL_BITS == 32 ? 0x1p31 : 0x1p137))

/* What finish leaves. d is a pair; that of log_softmax_vjp is divided by the scale of the exponentials, whose reference
   is the third number. WAY is the same for all rows of the tile: 1 if the plain formula makes their results, else 0.
   What care.inc.h needs lies between. */
enum { SUM_HIGH, SUM_LOW, SUM_REFERENCE, SUM_WAY = CARE_EXPONENT + 1 };

/* The sum of rows of one piece as the plain formula takes it. Returns 0 if the plain formula alone does not do, or if
   results may be NaN. */
SMX_INLINE int plain_sum(pair total, enum summand what, vec *constant) {
    const vec d = v_mul(sum_renormalize(total).high, v_set1(1 / SUM_SCALE(what))), size = v_abs(d);
    if (what != GRADIENT) {
        *constant = d;
        return v_all_le(size, v_set1(MODERATE_SUM));
    }
    *constant = v_mul(d, power_of_two(v_set1(SCALED_REFERENCE - SCALED_HEADROOM)));
    return v_all_le(v_select_le(v_set1(LEAST_FACTOR), size, v_set1(0), size), v_set1(0)) &&
           v_all_le(size, v_set1(MOST_FACTOR));
}

/* Sets the constants of log_softmax_vjp of LANES rows. Returns 1 if the plain formula will do. */
SMX_INLINE int put_factor(real *constant, pair d, int is_tempered) {
    const vec size = v_abs(d.high), usual = v_set1(SCALED_REFERENCE), zero = v_set1(0);
    /* a number of the size of d, or one that is moderate */
    const vec moderate = v_select_le(size, v_set1(MODERATE_FACTOR), size, v_set1(1));
    vec reference = v_select_le(size, v_set1(MODERATE_FACTOR), v_sub(v_set1(BIAS), v_exponent_field(moderate)), usual);
    if (!is_tempered) {
        const vec is_small = v_select_le(v_set1(LEAST_FACTOR), size, zero, size);
        const vec is_unusual = v_select_le(size, v_set1(MOST_FACTOR), is_small, v_set1(1));
        reference = v_select_le(is_unusual, zero, usual, reference);
    }
    const vec factor = power_of_two(v_sub(reference, v_set1(SCALED_HEADROOM)));
    v_store(constant + SUM_HIGH * SMX_TILE_ROWS, v_mul(d.high, factor));
    v_store(constant + SUM_LOW * SMX_TILE_ROWS, is_tempered ? v_mul(d.low, factor) : zero);
    v_store(constant + SUM_REFERENCE * SMX_TILE_ROWS, reference);
    return !is_tempered && v_all_le(reference, usual) && v_all_le(usual, reference);
}

SMX_INLINE int sum_finish(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift,
                          real *constants, enum summand what) {
    const int is_factor = what == GRADIENT; /* of the exponentials in log_softmax_vjp */
    const exp_temperature *t = tile->temperature;
    const vec zero = v_set1(0), limit = v_set1(is_factor ? MODERATE_FACTOR : MODERATE_SUM);
    const vec scale = v_set1(t->scale_up / SUM_SCALE(what));
    const int rows = tile->rows, is_tempered = !is_1(t);
    int flags = 0, is_plain_way = !is_tempered;
    for (int row = 0; row < rows; row += LANES) {
        real *constant = constants + row;
        pair total = read_sum(partials, 0, rows, row);
        sum_of_pieces sum = sum_of_pieces_begin();
        for (ptrdiff_t i = 0; pieces > 1 && i < pieces; i++) {
            const real *partial = (const real *)partials + i * partial_at(SMX_PARTIALS, rows, 0);
            sum.few = sum_add_sum(sum.few, read_sum(partial, 0, rows, row));
            sum = sum_of_pieces_next(sum, i, pieces);
            total = sum.total;
        }
        /* If the sum is infinite, the part that its roundings lost is NaN. */
        const pair s = sum_renormalize(total);
        const vec size = v_abs(total.high), high = v_select_le(size, HUGEST, s.high, total.high);
        const pair d = pair_of(v_mul(high, scale), v_mul(v_keep_le(size, HUGEST, s.low), scale));
        if (is_factor) {
            is_plain_way &= put_factor(constant, d, is_tempered);
        } else {
            v_store(constant + SUM_HIGH * SMX_TILE_ROWS, d.high);
            v_store(constant + SUM_LOW * SMX_TILE_ROWS, is_tempered ? d.low : zero);
        }
        if (shift) {
            /* What was found too large is done with care, unless the numbers themselves are not finite. */
            const vec care = v_keep_le(size, HUGEST, v_load((const real *)shift + row));
            v_store(constant + CARE * SMX_TILE_ROWS, care);
            v_store(constant + CARE_HIGH * SMX_TILE_ROWS, high);
            v_store(constant + CARE_LOW * SMX_TILE_ROWS, s.low);
            v_store(constant + CARE_EXPONENT * SMX_TILE_ROWS, v_set1((real)-SUM_EXPONENT(what)));
            flags = SMX_NOT_FINITE;
        } else if (!v_all_le(v_abs(d.high), limit)) {
            flags = SMX_TOO_LARGE | SMX_NOT_FINITE;
        }
        const vec again = v_select_le(size, HUGEST, v_set1(WRITE_AGAIN), v_set1(SUM_AGAIN));
        v_store(constant + SMX_SHIFT * SMX_TILE_ROWS, v_select_le(v_abs(d.high), limit, zero, again));
    }
    for (int row = 0; shift && row < rows; row++)
        if (constants[CARE * SMX_TILE_ROWS + row] == SUM_AGAIN)
            total_with_care(tile, pieces, partials, row, constants);
    for (int row = 0; row < rows; row += LANES)
        v_store(constants + SUM_WAY * SMX_TILE_ROWS + row, v_set1((real)is_plain_way));
    return flags; /* A NaN of y may still come up at any element of log_softmax_vjp; its formula takes care of it. */
}
#define FINISH(op, what)                                                                                               \
    static int op##_finish(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift,            \
                           void *constants) {                                                                          \
        return sum_finish(tile, pieces, partials, shift, constants, what);                                             \
    }
FINISH(softmax_vjp, PRODUCT)
FINISH(log_softmax_vjp, GRADIENT)
FINISH(log_softmax_jvp, EXP_PRODUCT)

/* ---- write ------------------------------------------------------------------------------------------------------ */

/* softmax_vjp and log_softmax_jvp leave no NaN in a visible element unless sum_finish has set SMX_NOT_FINITE: where d
   is finite, all of y and g that enter the result are finite; where d is moderate, g - d is finite. Adding 0 makes 0 of
   -0. */
SMX_INLINE void softmax_vjp_of(const terms *term, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH y[k] = v_fma(term[k].v[0], v_sub(term[k].v[1], term[k].c[SUM_HIGH]), v_set1(0));
}
SMX_INLINE void log_softmax_jvp_of(const terms *term, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH y[k] = v_sub(term[k].v[0], term[k].c[SUM_HIGH]);
}
SMX_INLINE void log_softmax_vjp_of(const terms *term, int count, const exp_temperature *t, vec *y) {
    vec x[IN_STEP], e[IN_STEP];
    (void)t;
    SMX_ASSUME(count > 0);
    EACH x[k] = term[k].v[0];
    exp_scaled_in_step(x, count, v_set1(SCALED_REFERENCE), e);
    EACH y[k] = canonical_nan(v_fnma(e[k], term[k].c[SUM_HIGH], term[k].v[1]));
}

/* With a temperature. d is scaled up already. So is g, unless it is too large for that; then d is scaled down again,
   and what follows the difference is scaled up. */
typedef struct {
    vec of_g, of_d, after;
} scaling;

#define LARGE_GRADIENT ((real)(REAL_BITS == 32 ? 0x1p10 : 0x1p60))
SMX_INLINE scaling scaling_of(vec g, const exp_temperature *t) {
    const vec up = v_set1(t->scale_up), down = v_set1(t->scale_down), one = v_set1(1);
    const vec size = v_abs(g), most = v_set1(LARGE_GRADIENT);
    const scaling s = {v_select_le(size, most, up, one), v_select_le(size, most, one, down),
                       v_select_le(size, most, one, up)};
    return s;
}
/* factor difference / T + zero, for a difference that is to be scaled up yet by s.after. Where that is infinite, it is
   scaled up by less. 1 / T is a pair. A zero of -0 changes nothing, one of +0 makes 0 of -0. */
SMX_INLINE vec over_temperature(vec factor, vec difference, real zero, scaling s, const exp_temperature *t) {
    const real most = (real)((real_bits)1 << FRACTION_BITS), extra = t->scale_up == 1 ? 1 : most,
               less = t->scale_up == 1 ? 1 : 1 / most;
    const vec by_all = v_fma(v_mul(factor, s.after), difference, v_set1(zero)), size = v_abs(by_all);
    const vec by_less = v_mul(v_mul(factor, v_mul(s.after, v_set1(less))), difference);
    const vec x = v_select_le(size, HUGEST, by_all, by_less);
    /* if x is infinite, the second product may be NaN: v_min makes a number of it */
    const vec low = v_min(v_mul(x, v_set1(t->scaled_inverse_low)), HUGEST);
    return v_mul(v_fma(x, v_set1(t->scaled_inverse), low), v_select_le(size, HUGEST, v_set1(1), v_set1(extra)));
}
/* g - d, scaled. */
SMX_INLINE vec scaled_difference(vec g, const vec *d, scaling s) {
    return v_sub(v_sub(v_mul(g, s.of_g), v_mul(d[SUM_LOW], s.of_d)), v_mul(d[SUM_HIGH], s.of_d));
}
static void softmax_vjp_tempered_of(const terms *term, int count, const exp_temperature *t, vec *y) {
    EACH {
        const scaling s = scaling_of(term[k].v[1], t);
        const vec difference = scaled_difference(term[k].v[1], term[k].c, s);
        y[k] = over_temperature(term[k].v[0], difference, 0, s, t);
    }
}
static void log_softmax_jvp_tempered_of(const terms *term, int count, const exp_temperature *t, vec *y) {
    EACH {
        const scaling s = scaling_of(term[k].v[0], t);
        y[k] = over_temperature(v_set1(1), scaled_difference(term[k].v[0], term[k].c, s), -(real)0, s, t);
    }
}
/* Also without a temperature, where |d| is so large or small that its row needs a scale of its own. */
static void log_softmax_vjp_tempered_of(const terms *term, int count, const exp_temperature *t, vec *y) {
    EACH {
        const vec *c = term[k].c, g = term[k].v[1];
        const scaling s = scaling_of(g, t);
        vec e;
        exp_scaled_in_step(&term[k].v[0], 1, c[SUM_REFERENCE], &e);
        /* the low part may be 0, which an infinite exponential must not make NaN */
        const vec first = v_fnma(v_min(e, HUGEST), v_mul(c[SUM_LOW], s.of_d), v_mul(g, s.of_g));
        const vec difference = v_fnma(e, v_mul(c[SUM_HIGH], s.of_d), first);
        y[k] = canonical_nan(over_temperature(v_set1(1), difference, -(real)0, s, t));
    }
}

/* Defines the writes of a derivative, which read the `inputs` views that follow. If some rows of a tile are to be done
   with care, its rows are written one by one. */
#define WRITES(op, formula_, inputs, ...)                                                                              \
    static void op##_write_with_care(const smx_tile *tile, const real *constants);                                     \
    SMX_INLINE void op##_write(const smx_tile *tile, enum smx_walk walk, const void *constants) {                      \
        const int is_derivative = (formula_) != EXP_PRODUCT;                                                           \
        const write_spec plain = {&tile->out, {__VA_ARGS__}, inputs, 1, is_derivative, op##_of};                       \
        const int tempered_constants = (formula_) == GRADIENT ? SUM_REFERENCE + 1 : SUM_LOW + 1;                       \
        const write_spec tempered = {&tile->out,         {__VA_ARGS__}, inputs,                                        \
                                     tempered_constants, is_derivative, op##_tempered_of};                             \
        const int is_plain_way = ((const real *)constants)[SUM_WAY * SMX_TILE_ROWS] != 0;                              \
        if (tile->again)                                                                                               \
            op##_write_with_care(tile, constants);                                                                     \
        else if (!is_plain_way && walk == SMX_WALK_NARROW_LINES)                                                       \
            write_lines(tile, &tempered, constants);                                                                   \
        else if (!is_plain_way)                                                                                        \
            write_rarely(tile, walk, &tempered, constants);                                                            \
        else if (walk == SMX_WALK_NARROW_LINES)                                                                        \
            write_lines(tile, &plain, constants);                                                                      \
        else                                                                                                           \
            write_walk(tile, walk, &plain, constants);                                                                 \
    }                                                                                                                  \
    WRITE(op, rows) { op##_write(tile, SMX_WALK_ROWS, constants); }                                                    \
    WRITE(op, packed) { op##_write(tile, SMX_WALK_PACKED, constants); }                                                \
    WRITE(op, columns) { op##_write(tile, SMX_WALK_COLUMNS, constants); }                                              \
    WRITE(op, narrow_lines) { op##_write(tile, SMX_WALK_NARROW_LINES, constants); }                                    \
    static void op##_write_with_care(const smx_tile *tile, const real *constants) {                                    \
        for (int row = 0; row < tile->rows; row++)                                                                     \
            if (constants[CARE * SMX_TILE_ROWS + row] != 0) {                                                          \
                write_row_with_care(tile, row, constants, formula_);                                                   \
            } else {                                                                                                   \
                const smx_tile one = row_alone(tile, row);                                                             \
                (tile->layout == SMX_ROWS ? op##_write_rows : op##_write_columns)(&one, constants + row);              \
            }                                                                                                          \
    }
WRITES(softmax_vjp, PRODUCT, 2, &tile->in[0], &tile->in[1])
WRITES(log_softmax_vjp, GRADIENT, 2, &tile->in[0], &tile->in[1])
WRITES(log_softmax_jvp, EXP_PRODUCT, 1, &tile->in[1])

/* ---- the rows of the table -------------------------------------------------------------------------------------- */

#define SOFTMAX_VJP_ROW                                                                                                \
    {.name = "softmax_vjp",                                                                                            \
     .inputs = 2,                                                                                                      \
     .elementwise = 1,                                                                                                 \
     .is_derivative = 1,                                                                                               \
     .reduce = {[SMX_WALK_PACKED] = softmax_vjp_reduce_packed,                                                         \
                [SMX_WALK_ROWS] = softmax_vjp_reduce_rows,                                                             \
                [SMX_WALK_COLUMNS] = softmax_vjp_reduce_columns,                                                       \
                [SMX_WALK_NARROW_LINES] = softmax_vjp_reduce_narrow_lines,                                             \
                [SMX_WALK_SHORT_COLUMNS] = softmax_vjp_reduce_short_columns},                                          \
     .finish = softmax_vjp_finish,                                                                                     \
     .write = {[SMX_WALK_ROWS] = softmax_vjp_write_rows,                                                               \
               [SMX_WALK_PACKED] = softmax_vjp_write_packed,                                                           \
               [SMX_WALK_COLUMNS] = softmax_vjp_write_columns,                                                         \
               [SMX_WALK_NARROW_LINES] = softmax_vjp_write_narrow_lines,                                               \
               [SMX_WALK_SHORT_COLUMNS] = softmax_vjp_write_columns},                                                  \
     .whole = {[SMX_WALK_ROWS] = softmax_vjp_whole_rows, [SMX_WALK_PACKED] = softmax_vjp_whole_packed},                \
     .whole_segments = VJP_SEGMENTS,                                                                                   \
     .hidden = HIDDEN(0, HIDDEN_GRADIENT, 0, 1),                                                                       \
     .min_elements_per_thread = MIN_ELEMENTS_PER_THREAD(24)}

#define LOG_SOFTMAX_VJP_ROW                                                                                            \
    {.name = "log_softmax_vjp",                                                                                        \
     .inputs = 2,                                                                                                      \
     .elementwise = 1,                                                                                                 \
     .is_derivative = 1,                                                                                               \
     .reduce = {[SMX_WALK_PACKED] = log_softmax_vjp_reduce_packed,                                                     \
                [SMX_WALK_ROWS] = log_softmax_vjp_reduce_rows,                                                         \
                [SMX_WALK_COLUMNS] = log_softmax_vjp_reduce_columns,                                                   \
                [SMX_WALK_NARROW_LINES] = log_softmax_vjp_reduce_narrow_lines,                                         \
                [SMX_WALK_SHORT_COLUMNS] = log_softmax_vjp_reduce_short_columns},                                      \
     .finish = log_softmax_vjp_finish,                                                                                 \
     .write = {[SMX_WALK_ROWS] = log_softmax_vjp_write_rows,                                                           \
               [SMX_WALK_PACKED] = log_softmax_vjp_write_packed,                                                       \
               [SMX_WALK_COLUMNS] = log_softmax_vjp_write_columns,                                                     \
               [SMX_WALK_NARROW_LINES] = log_softmax_vjp_write_narrow_lines,                                           \
               [SMX_WALK_SHORT_COLUMNS] = log_softmax_vjp_write_columns},                                              \
     .whole = {[SMX_WALK_ROWS] = log_softmax_vjp_whole_rows, [SMX_WALK_PACKED] = log_softmax_vjp_whole_packed},        \
     .whole_segments = log_softmax_vjp_whole_segments,                                                                 \
     .hidden = HIDDEN(-INFINITY, 0, 0, 1),                                                                             \
     .min_elements_per_thread = MIN_ELEMENTS_PER_THREAD(12)}

#define LOG_SOFTMAX_JVP_ROW                                                                                            \
    {.name = "log_softmax_jvp",                                                                                        \
     .inputs = 2,                                                                                                      \
     .elementwise = 1,                                                                                                 \
     .reduce = {[SMX_WALK_ROWS] = log_softmax_jvp_reduce_rows,                                                         \
                [SMX_WALK_COLUMNS] = log_softmax_jvp_reduce_columns,                                                   \
                [SMX_WALK_NARROW_LINES] = log_softmax_jvp_reduce_narrow_lines,                                         \
                [SMX_WALK_SHORT_COLUMNS] = log_softmax_jvp_reduce_columns},                                            \
     .finish = log_softmax_jvp_finish,                                                                                 \
     .write = {[SMX_WALK_ROWS] = log_softmax_jvp_write_rows,                                                           \
               [SMX_WALK_PACKED] = log_softmax_jvp_write_packed,                                                       \
               [SMX_WALK_COLUMNS] = log_softmax_jvp_write_columns,                                                     \
               [SMX_WALK_NARROW_LINES] = log_softmax_jvp_write_narrow_lines,                                           \
               [SMX_WALK_SHORT_COLUMNS] = log_softmax_jvp_write_columns},                                              \
     .hidden = HIDDEN(-INFINITY, 0, 0, 0),                                                                             \
     .min_elements_per_thread = MIN_ELEMENTS_PER_THREAD(12)}
