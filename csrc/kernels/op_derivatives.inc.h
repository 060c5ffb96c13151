/* The products with the Jacobians of softmax and log_softmax: one sum d for each row, then a formula.

       operation           d                 element
       softmax_vjp         sum y g           y (g - d)
       log_softmax_vjp     sum g             g - exp(y) d
       log_softmax_jvp     sum exp(y) g      g - d

   The claims, with the worst cases that tests/find_worst.py found; tests/test_accuracy.py reads them here. u is half
   the machine epsilon times an element's natural scale: y (|g| + sum y |g|), |g| + p |sum g|, |g| + sum p |g|.

   claim: softmax_vjp float32 <= 4 u; found 2.98 at hex: 0x1.005de6p-1, 0x1.ff4436p-2, 0x1.001594p+1, -0x1.afb2p-9
   claim: softmax_vjp float64 <= 4 u; found 2.98 at hex: 0x1.0062e31de38ccp-109, 0x1.ffffffffffffep-1,
     0x1.a3338fcb093f3p-53, 0x1.059650a1144p-8, -0x1.00fec82e7149ep+3, 0x1.365730cb85bc8p+2
   claim: log_softmax_vjp float32 <= 4 u; found 3.00 at hex: -0x1.64dc0ap+0, -0x1.62204ap+0, -0x1.61628ap+0,
     -0x1.63354ap+0, -0x1.886458p-9, -0x1.33d5a2p-8, 0x1.e13e5p-11, -0x1.ffd9cap+3
   claim: log_softmax_vjp float64 <= 4 u; found 2.93 at hex: -0x1.072f8c6383d95p+1, -0x1.082751683b575p+1,
     -0x1.e9d2012199d8cp+0, -0x1.60ea7711e4295p+0, -0x1.bc55026a95727p+0, -0x1.c6b9db25870cep+0,
     -0x1.836eb343b43cbp+8, -0x1.e549800f024dap+7, 0x1.090d1b016b4a3p-1, -0x1.f42bd6739f407p-1, 0x1.9e9ced1d0308ap+6,
     0x1.1b4e31f71e019p+1
   claim: log_softmax_jvp float32 <= 4 u; found 3.02 at hex: -0x1.770c34p-1, -0x1.4f7fa2p-1, 0x1.ad8p-9,
     -0x1.eda9c6p+6
   claim: log_softmax_jvp float64 <= 4 u; found 2.89 at hex: -0x1.bcc94a2831093p+7, -0x1.b3bba4e8f4172p+7,
     -0x1.a8cdcacf6e736p+7, -0x1.13cfca8b1022fp+8, -0x1.7a40977821fa4p-1, -0x1.4c8cc8d77455cp-1,
     -0x1.85cdad0ae3c01p-9, -0x1.d57cf0f21df5ap-9, 0x1.156d0cfcc2313p+3, -0x1.2e04e75d3ff63p-9, 0x1.05216b4a7869dp-9,
     -0x1.fc038f7b451bcp+2 */

/* The reductions of a derivative, except sum_reduce_packed. */
#define REDUCTIONS(op, what)                                                                                           \
    static void op##_reduce_stored_columns(const smx_tile *tile, void *partial) {                                      \
        sum_reduce_stored(tile, partial, SMX_COLUMNS, what);                                                           \
    }                                                                                                                  \
    REDUCE(op, rows) {                                                                                                 \
        if (is_plain_tile(tile))                                                                                       \
            sum_reduce_rows(tile, partial, SMX_REAL, NO_MASK, what);                                                   \
        else                                                                                                           \
            sum_reduce_stored(tile, partial, SMX_ROWS, what);                                                          \
    }                                                                                                                  \
    REDUCE(op, columns) {                                                                                              \
        if (is_plain_tile(tile))                                                                                       \
            sum_reduce_columns(tile, partial, SUMS, SMX_REAL, NO_MASK, what);                                          \
        else                                                                                                           \
            op##_reduce_stored_columns(tile, partial);                                                                 \
    }                                                                                                                  \
    REDUCE(op, short_columns) {                                                                                        \
        if (is_plain_tile(tile))                                                                                       \
            sum_reduce_columns(tile, partial, SHORT_SUMS(what), SMX_REAL, NO_MASK, what);                              \
        else                                                                                                           \
            op##_reduce_stored_columns(tile, partial);                                                                 \
    }                                                                                                                  \
    REDUCE(op, narrow_lines) { sum_reduce_lines(tile, partial, what); }
REDUCTIONS(softmax_vjp, PRODUCT)
REDUCTIONS(log_softmax_vjp, GRADIENT)
REDUCTIONS(log_softmax_jvp, EXP_PRODUCT)
REDUCE(softmax_vjp, packed) { sum_reduce_packed(tile, partial, PRODUCT); }
REDUCE(log_softmax_vjp, packed) { sum_reduce_packed(tile, partial, GRADIENT); }

/* The gradient that stands for a hidden element, whose y is 0: y (g - d) is then +0 for every |d| up to this. */
#define HIDDEN_GRADIENT (REAL_BITS == 32 ? FLT_MAX / 2 : DBL_MAX / 2)

/* If |d| is below this, g - d is finite for every finite g, so y (g - d) is not NaN where y is 0. */
#define MODERATE_SUM (REAL_BITS == 32 ? 0x1p102 : 0x1p969)

static int sum_finish(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift,
                      void *constants) {
    const int rows = tile->rows;
    int flags = 0;
    (void)shift;
    for (int row = 0; row < rows; row += LANES) {
        long_sum total = read_long_sum(partials, rows, row);
        for (ptrdiff_t i = 1; i < pieces; i++) {
            const real *partial = (const real *)partials + i * partial_at(SMX_PARTIALS, rows, 0);
            total = long_sum_add_sum(total, read_long_sum(partial, rows, row));
        }
        /* If the sum is infinite, the part that its roundings lost is NaN. */
        const pair s = sum_renormalize(sum_add(pair_of(total.high, total.lowest), total.low));
        v_store((real *)constants + row, v_select_le(v_abs(total.high), HUGEST, s.high, total.high));
        flags |= v_all_le(v_abs(s.high), v_set1((real)MODERATE_SUM)) ? 0 : SMX_NOT_FINITE;
    }
    return flags; /* A NaN of y may still come up at any element of log_softmax_vjp; its formula takes care of it. */
}

/* softmax_vjp and log_softmax_jvp leave no NaN in a visible element unless sum_finish has set SMX_NOT_FINITE: where d
   is finite, all of y and g that enter the result are finite; where d is moderate, g - d is finite. */
SMX_INLINE void softmax_vjp_of(const terms *term, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH y[k] = v_mul(term[k].v[0], v_sub(term[k].v[1], term[k].c[0]));
}
SMX_INLINE void log_softmax_jvp_of(const terms *term, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH y[k] = v_sub(term[k].v[0], term[k].c[0]);
}
SMX_INLINE void log_softmax_vjp_of(const terms *term, int count, const exp_temperature *t, vec *y) {
    vec x[IN_STEP], e[IN_STEP];
    (void)t;
    EACH x[k] = term[k].v[0];
    exp_alone_in_step(x, count, e);
    EACH y[k] = canonical_nan(v_fnma(e[k], term[k].c[0], term[k].v[1]));
}

/* The writes of a derivative; `inputs` of the views that follow. */
#define WRITES(op, inputs, ...)                                                                                        \
    SMX_INLINE write_spec op##_from(const smx_tile *tile) {                                                            \
        const write_spec spec = {&tile->out, {__VA_ARGS__}, inputs, 1, 1, op##_of};                                    \
        return spec;                                                                                                   \
    }                                                                                                                  \
    SMX_INLINE void op##_write(const smx_tile *tile, enum smx_walk walk, const void *constants) {                      \
        const write_spec spec = op##_from(tile);                                                                       \
        write_walk(tile, walk, &spec, constants);                                                                      \
    }                                                                                                                  \
    WRITE(op, rows) { op##_write(tile, SMX_WALK_ROWS, constants); }                                                    \
    WRITE(op, packed) { op##_write(tile, SMX_WALK_PACKED, constants); }                                                \
    WRITE(op, columns) { op##_write(tile, SMX_WALK_COLUMNS, constants); }                                              \
    WRITE(op, narrow_lines) {                                                                                          \
        const write_spec spec = op##_from(tile);                                                                       \
        write_lines(tile, &spec, constants);                                                                           \
    }
WRITES(softmax_vjp, 2, &tile->in[0], &tile->in[1])
WRITES(log_softmax_vjp, 2, &tile->in[0], &tile->in[1])
WRITES(log_softmax_jvp, 1, &tile->in[1])

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
     .finish = sum_finish,                                                                                             \
     .write = {[SMX_WALK_ROWS] = softmax_vjp_write_rows,                                                               \
               [SMX_WALK_PACKED] = softmax_vjp_write_packed,                                                           \
               [SMX_WALK_COLUMNS] = softmax_vjp_write_columns,                                                         \
               [SMX_WALK_NARROW_LINES] = softmax_vjp_write_narrow_lines,                                               \
               [SMX_WALK_SHORT_COLUMNS] = softmax_vjp_write_columns},                                                  \
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
     .finish = sum_finish,                                                                                             \
     .write = {[SMX_WALK_ROWS] = log_softmax_vjp_write_rows,                                                           \
               [SMX_WALK_PACKED] = log_softmax_vjp_write_packed,                                                       \
               [SMX_WALK_COLUMNS] = log_softmax_vjp_write_columns,                                                     \
               [SMX_WALK_NARROW_LINES] = log_softmax_vjp_write_narrow_lines,                                           \
               [SMX_WALK_SHORT_COLUMNS] = log_softmax_vjp_write_columns},                                              \
     .hidden = HIDDEN(-INFINITY, 0, 0, 1),                                                                             \
     .min_elements_per_thread = MIN_ELEMENTS_PER_THREAD(12)}

#define LOG_SOFTMAX_JVP_ROW                                                                                            \
    {.name = "log_softmax_jvp",                                                                                        \
     .inputs = 2,                                                                                                      \
     .elementwise = 1,                                                                                                 \
     .is_derivative = 1,                                                                                               \
     .reduce = {[SMX_WALK_ROWS] = log_softmax_jvp_reduce_rows,                                                         \
                [SMX_WALK_COLUMNS] = log_softmax_jvp_reduce_columns,                                                   \
                [SMX_WALK_NARROW_LINES] = log_softmax_jvp_reduce_narrow_lines,                                         \
                [SMX_WALK_SHORT_COLUMNS] = log_softmax_jvp_reduce_short_columns},                                      \
     .finish = sum_finish,                                                                                             \
     .write = {[SMX_WALK_ROWS] = log_softmax_jvp_write_rows,                                                           \
               [SMX_WALK_PACKED] = log_softmax_jvp_write_packed,                                                       \
               [SMX_WALK_COLUMNS] = log_softmax_jvp_write_columns,                                                     \
               [SMX_WALK_NARROW_LINES] = log_softmax_jvp_write_narrow_lines,                                           \
               [SMX_WALK_SHORT_COLUMNS] = log_softmax_jvp_write_columns},                                              \
     .hidden = HIDDEN(-INFINITY, 0, 0, 0),                                                                             \
     .min_elements_per_thread = MIN_ELEMENTS_PER_THREAD(12)}
