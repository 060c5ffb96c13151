/* Every operation, written once: in terms of vectors (vec_<level>.h) of reals (real.h).

   kernels.h says what reduce, finish and write are, and what a tile is. Here each operation is a reduction of a row to
   a few constants, then a formula for an element:

       operation           reduction                           element
       softmax             max, sum exp(x)                     exp(x) / sum
       log_softmax         the two largest, sum exp(x)         x - log sum
       logsumexp           as log_softmax                      (none: log sum itself)
       softmax_vjp         d = sum y g                         y (g - d)
       log_softmax_vjp     d = sum g                           g - exp(y) d
       log_softmax_jvp     d = sum exp(y) g                    g - d

   The claims, with the worst cases found by tests/find_worst.py; tests/test_accuracy.py reads them here. One ULP is
   that of the true value (logsumexp: of the larger of it and the maximum); u is half the machine epsilon times an
   element's natural scale, y (|g| + sum y |g|), |g| + p |sum g|, |g| + sum p |g|.

   claim: softmax float32 <= 2 ulp; found 1.44 at hex: -0x1.22e5c6p+5, 0x1.40b6fp+5, 0x1.04a1eep+4,
     0x1.820e08p+5
   claim: softmax float64 <= 2 ulp; found 1.56 at hex: -0x1.219c7c764f00cp+7, 0x1.38a6aac84c2bep+2,
     -0x1.31aed60e68d93p+4, -0x1.2fde832bdfd4dp+4, -0x1.3029c75c52709p+4, -0x1.30ec41be77c1p+4,
     -0x1.30a874c03e2a3p+4, -0x1.30e78693c4e64p+4, -0x1.30f9cc801aaccp+4, 0x1.2650b1a695758p+4,
     -0x1.2f1256f54f035p+4, -0x1.30089097b4f77p+4
   claim: log_softmax float32 <= 2 ulp; found 1.43 at hex: -0x1.7528f8p-1, 0x1.7f26fap-3
   claim: log_softmax float64 <= 2 ulp; found 1.49 at hex: -0x1.07f889a78cf91p+0, 0x1.66ba9b634f529p-3,
     -0x1.016c8ef9eb5c3p+1
   claim: logsumexp float32 <= 2 ulp; found 1.53 at hex: -0x1.a0d29ep-4, -0x1.053318p+0, -0x1.e180a2p+4,
     -0x1.472a5cp+4, -0x1.48dd9cp+4, -0x1.80d06ep+4
   claim: logsumexp float64 <= 2 ulp; found 1.56 at hex: -0x1.0905cecbf45fbp+0, -0x1.2e9fa8414af46p-3
   claim: softmax_vjp float32 <= 4 u; found 2.99 at hex: 0x1.ff83d2p-25, 0x1.0003ep-24, 0x1.01228cp-24,
     0x1.fffffap-1, 0x1.f21a44p-34, 0x1.a0cp-7, 0x1.b8043ep-34, -0x1.003b92p+7
   claim: softmax_vjp float64 <= 4 u; found 2.99 at hex: 0x1.ad02e97dd30b3p-109, 0x1.8830994a9514bp-101,
     0x1.fffffffffffffp-1, 0x1.33fa6695310f2p-107, 0x1.0018835e31126p-77, 0x1.1015415d3352bp-54,
     -0x1.43d40e38dc4e6p+5, -0x1.4ce1ef4f48ee7p+4, 0x1.0071902ae7c22p+6, 0x1.6d6fb3c36813ap+4,
     0x1.14b561ec862p-4, 0x1.7ef639f30ea2dp-8
   claim: log_softmax_vjp float32 <= 4 u; found 2.99 at hex: -0x1.628c64p+0, -0x1.64a0cp+0, -0x1.62664ap+0,
     -0x1.61ff68p+0, 0x1.0fffc8p-12, 0x1.11b6e8p+4, 0x1.2a3ad8p+4, -0x1.d6a9fp+1
   claim: log_softmax_vjp float64 <= 4 u; found 2.96 at hex: -0x1.62fcf4d4665bap-1, -0x1.62cb6c3d9335dp-1,
     -0x1.003a766cea643p+2, 0x1.161a17b08d829p-10
   claim: log_softmax_jvp float32 <= 4 u; found 2.95 at hex: -0x1.620fd2p-1, -0x1.63b8e6p-1, -0x1.041572p+5,
     -0x1.8fdap-5
   claim: log_softmax_jvp float64 <= 4 u; found 2.99 at hex: -0x1.63022c7bde67cp-1, -0x1.62c63524e6f7cp-1,
     -0x1.36a483225f002p-10, -0x1.00c269a35fc81p+4 */

#include "exp.inc.h"
#include "sum.inc.h"
/* after the sums, in which it is written */
#include "log.inc.h"

#define STEP (4 * LANES)       /* elements that a loop over exponentials takes at a time */
#define GROUPS (LANES / WIDTH) /* registers that hold the LANES partial sums of a row */
#define HUGEST v_set1((real)(REAL_BITS == 32 ? FLT_MAX : DBL_MAX))
#define MINUS_INFINITY v_set1(-(real)INFINITY)
#define EVERY_NAN v_set1(real_from_bits(QUIET_NAN))

SMX_INLINE vec v_abs(vec a) { return v_max(a, v_sub(v_set1(0), a)); }

/* Which operand's NaN an operation returns, and the sign of a new one, differ between processors and compilers. */
SMX_INLINE vec one_nan(vec a) { return v_select_le(a, a, a, EVERY_NAN); }

SMX_INLINE real *row_of(const smx_view *view, ptrdiff_t row) { return (real *)view->start + row * view->row; }

SMX_INLINE int partial_sums(const smx_tile *tile) { return tile->length <= SMX_SHORT ? 1 : LANES; }

/* What a loop over ROWS leaves of each row, lane by lane, read across: lane[i] of WIDTH rows from first on. */
typedef real lane_store[SMX_ROWS_AT_ONCE][LANES];

SMX_INLINE void read_lanes(const lane_store store, int first, int width, vec lane[LANES]) {
    const real *rows[WIDTH];
    for (int k = 0; k < WIDTH; k++)
        rows[k] = store[first + k < width ? first + k : width - 1];
    for (int i = 0; i < LANES; i += 4)
        v_load_columns(rows, i, lane + i);
}

SMX_INLINE sum sum_stored_lanes(const lane_store highs, const lane_store lows, int first, int width) {
    vec high[LANES], low[LANES];
    sum lane[LANES];
    read_lanes(highs, first, width, high);
    read_lanes(lows, first, width, low);
    for (int i = 0; i < LANES; i++)
        lane[i] = sum_of(high[i], low[i]);
    return sum_lanes(lane, LANES);
}

/* ---- the largest elements of a row -------------------------------------------------------------------------------

   log_softmax wants the sum without the maximum: at the maximum it is -log(1 + that sum), which is close to 0 when the
   rest is small, and then a sum that held the 1 would have lost the rest. So its reduction finds the two largest
   elements, ties counting as two, and adds up exp(x) for x <= second: without the maximum if it stands alone, else
   with all that equal it, and finish takes one off. Terms are scaled by the second, or by the maximum - NEGLIGIBLE if
   that is more. For softmax "second" is the maximum itself. NaNs are passed over; the sum meets them. */

typedef struct {
    vec first, second;
} largest;

SMX_INLINE largest largest_begin(void) {
    const largest none = {MINUS_INFINITY, MINUS_INFINITY};
    return none;
}

SMX_INLINE largest largest_add(largest m, vec x, int two) {
    if (two)
        m.second = v_max(v_min(x, m.first), m.second);
    m.first = v_max(x, m.first);
    return m;
}

SMX_INLINE largest largest_merge(largest a, largest b) {
    largest m;
    m.second = v_max(v_min(a.first, b.first), v_max(a.second, b.second));
    m.first = v_max(a.first, b.first);
    return m;
}

SMX_INLINE largest largest_end(largest m, int two) {
    if (!two)
        m.second = m.first;
    return m;
}

SMX_INLINE vec reference_of(largest m) { return exp_reference(v_max(m.second, v_sub(m.first, v_set1(NEGLIGIBLE)))); }

/* Rows whose maximum is infinite are not summed up, so a NaN there has to be looked for: the maximum becomes NaN. */
static vec find_nans(const smx_tile *tile, int first, vec maximum) {
    real lane[WIDTH];
    v_store(lane, maximum);
    for (int k = 0; k < WIDTH && first + k < tile->width; k++) {
        const real *x = row_of(&tile->in[0], first + k);
        for (ptrdiff_t j = 0; isinf(lane[k]) && j < tile->n; j++, x += tile->in[0].element)
            if (isnan(*x))
                lane[k] = *x;
    }
    return v_load(lane);
}

SMX_INLINE largest largest_checked(const smx_tile *tile, int first, largest m) {
    if (!v_all_le(v_abs(m.first), HUGEST))
        m.first = find_nans(tile, first, m.first);
    return m;
}

/* ---- sums of exponentials: softmax, log_softmax, logsumexp ------------------------------------------------------ */

/* Number k of the partials of rows row to row + WIDTH. */
SMX_INLINE ptrdiff_t partial_at(int k, int width, int row) { return k * ((width + LANES - 1) / LANES * LANES) + row; }

SMX_INLINE void store_exp_partial(const smx_tile *tile, real *partial, int row, largest m, sum s) {
    v_store(partial + partial_at(0, tile->width, row), m.first);
    v_store(partial + partial_at(1, tile->width, row), m.second);
    v_store(partial + partial_at(2, tile->width, row), s.high);
    v_store(partial + partial_at(3, tile->width, row), s.low);
}

/* Up to four vectors of elements into the partial sum that is theirs. */
SMX_INLINE sum exp_step(sum s, const vec *x, int count, exp_scale scale, vec second, int two, exp_parts *e) {
    for (int k = 0; k < count; k++) {
        e[k] = exp_of(x[k], scale);
        if (two)
            e[k].a = v_keep_le(x[k], second, e[k].a);
    }
    return exp_sum_add(s, e, count);
}

/* Of each part of the exponentials of a row of ROWS that is kept: its length. */
SMX_INLINE ptrdiff_t kept_row(ptrdiff_t n) { return (n + SMX_STEP - 1) / SMX_STEP * SMX_STEP; }

/* Elements [i, i + STEP) of a row; whole says that the row has so many. */
SMX_INLINE void exp_row_step(const real *x, ptrdiff_t i, ptrdiff_t n, int whole, exp_scale scale, vec second, int two,
                             real *keep, sum s[GROUPS]) {
    for (int g = 0; g < GROUPS; g++) {
        vec v[4];
        exp_parts e[4];
        for (int k = 0; k < 4; k++) {
            const ptrdiff_t at = i + k * LANES + g * WIDTH;
            v[k] = whole ? v_load(x + at) : v_load_first(x + at, n - at, MINUS_INFINITY);
        }
        s[g] = exp_step(s[g], v, 4, scale, second, two, e);
        if (keep)
            for (int k = 0; k < 4; k++) {
                real *to = keep + i + k * LANES + g * WIDTH;
                v_store(to, e[k].m);
                v_store(to + kept_row(n), e[k].t);
                v_store(to + 2 * kept_row(n), e[k].a);
            }
    }
}

SMX_INLINE void largest_of_row(const real *x, ptrdiff_t n, int two, real *firsts, real *seconds) {
    enum { CHAINS = GROUPS < 4 ? 4 : GROUPS }; /* independent maxima, to hide the latency */
    largest m[CHAINS];
    for (int c = 0; c < CHAINS; c++)
        m[c] = largest_begin();
    ptrdiff_t i = 0;
    for (; i + CHAINS * WIDTH <= n; i += CHAINS * WIDTH)
        for (int c = 0; c < CHAINS; c++)
            m[c] = largest_add(m[c], v_load(x + i + c * WIDTH), two);
    for (int c = 0; i < n; i += WIDTH, c++)
        m[c] = largest_add(m[c], v_load_first(x + i, n - i, MINUS_INFINITY), two);
    for (int c = GROUPS; c < CHAINS; c++)
        m[c % GROUPS] = largest_merge(m[c % GROUPS], m[c]);
    for (int g = 0; g < GROUPS; g++) {
        v_store(firsts + g * WIDTH, m[g].first);
        v_store(seconds + g * WIDTH, m[g].second);
    }
}

/* Row by row where vectors run along the row; what concerns whole rows is done for WIDTH of them at once. */
SMX_INLINE void exp_reduce_rows(const smx_tile *tile, real *partial, int two, int keep) {
    lane_store firsts, seconds;
    for (int row = 0; row < tile->width; row++)
        largest_of_row(row_of(&tile->in[0], row), tile->n, two, firsts[row], seconds[row]);

    largest m[SMX_ROWS_AT_ONCE / WIDTH];
    real second[SMX_ROWS_AT_ONCE], rounder[SMX_ROWS_AT_ONCE], floor[SMX_ROWS_AT_ONCE];
    for (int row = 0; row < tile->width; row += WIDTH) {
        vec first_lane[LANES], second_lane[LANES];
        read_lanes(firsts, row, tile->width, first_lane);
        read_lanes(seconds, row, tile->width, second_lane);
        largest all = {first_lane[0], second_lane[0]};
        for (int i = 1; i < LANES; i++) {
            const largest lane = {first_lane[i], second_lane[i]};
            all = largest_merge(all, lane);
        }
        all = largest_checked(tile, row, largest_end(all, two));
        const exp_scale scale = exp_scale_of(reference_of(all));
        v_store(second + row, all.second);
        v_store(rounder + row, scale.rounder);
        v_store(floor + row, scale.floor);
        m[row / WIDTH] = all;
    }

    lane_store highs, lows;
    for (int row = 0; row < tile->width; row++) {
        const real *x = row_of(&tile->in[0], row);
        const exp_scale scale = {v_set1(rounder[row]), v_set1(floor[row])};
        const vec threshold = v_set1(second[row]);
        real *kept = keep ? (real *)tile->keep + 3 * row * kept_row(tile->n) : NULL;
        sum s[GROUPS];
        for (int g = 0; g < GROUPS; g++)
            s[g] = exp_sum_begin();
        ptrdiff_t i = 0;
        for (; i + STEP <= tile->n; i += STEP)
            exp_row_step(x, i, tile->n, 1, scale, threshold, two, kept, s);
        if (i < tile->n)
            exp_row_step(x, i, tile->n, 0, scale, threshold, two, kept, s);
        for (int g = 0; g < GROUPS; g++) {
            const sum end = exp_sum_end(s[g]);
            v_store(highs[row] + g * WIDTH, end.high);
            v_store(lows[row] + g * WIDTH, end.low);
        }
    }

    for (int row = 0; row < tile->width; row += WIDTH)
        store_exp_partial(tile, partial, row, m[row / WIDTH], sum_stored_lanes(highs, lows, row, tile->width));
}

/* count elements of a column (or of WIDTH of them), at x and then step apart, into the partial sum that is theirs. */
SMX_INLINE sum exp_column_step(sum s, real *x, ptrdiff_t step, int count, exp_scale scale, vec second, int two,
                               real *kept_m, real *kept_t) {
    vec v[4];
    exp_parts e[4];
    for (int k = 0; k < count; k++)
        v[k] = v_load(x + k * step);
    s = exp_step(s, v, count, scale, second, two, e);
    for (int k = 0; kept_m && k < count; k++) {
        v_store(kept_m + k * step, e[k].m);
        v_store(kept_t + k * step, e[k].t);
        v_store(x + k * step, e[k].a);
    }
    return s;
}

/* A strip of WIDTH rows at a time, each lane another row. */
SMX_INLINE void exp_reduce_columns(const smx_tile *tile, real *partial, int two, int keep) {
    const int count = partial_sums(tile);
    const ptrdiff_t pitch = tile->in[0].element;
    for (int row = 0; row < tile->width; row += WIDTH) {
        real *x = row_of(&tile->in[0], row);
        largest m = largest_begin();
        for (ptrdiff_t j = 0; j < tile->n; j++)
            m = largest_add(m, v_load(x + j * pitch), two);
        m = largest_checked(tile, row, largest_end(m, two));
        const exp_scale scale = exp_scale_of(reference_of(m));

        sum s[LANES];
        for (int i = 0; i < count; i++)
            s[i] = exp_sum_begin();
        for (ptrdiff_t j = 0; j < tile->n; j += 4 * count)
            for (int i = 0; i < count && j + i < tile->n; i++) {
                const ptrdiff_t at = (j + i) * pitch, step = count * pitch;
                const ptrdiff_t rest = tile->n - j - i, left = count == 1 ? rest : (rest + LANES - 1) / LANES;
                real *kept_m = keep ? (real *)tile->keep + row + at : NULL;
                real *kept_t = keep ? kept_m + tile->n * pitch : NULL;
#define STEP_OF(k) exp_column_step(s[i], x + at, step, k, scale, m.second, two, kept_m, kept_t)
                s[i] = left >= 4 ? STEP_OF(4) : left == 3 ? STEP_OF(3) : left == 2 ? STEP_OF(2) : STEP_OF(1);
#undef STEP_OF
            }
        for (int i = 0; i < count; i++)
            s[i] = exp_sum_end(s[i]);
        store_exp_partial(tile, partial, row, m, sum_lanes(s, count));
    }
}

SMX_INLINE void exp_reduce(const smx_tile *tile, void *partial, int two, int keep) {
    if (tile->layout == SMX_ROWS)
        exp_reduce_rows(tile, partial, two, keep);
    else
        exp_reduce_columns(tile, partial, two, keep);
}

static void softmax_reduce(const smx_tile *tile, void *partial) {
    if (tile->keep)
        exp_reduce(tile, partial, 0, 1);
    else
        exp_reduce(tile, partial, 0, 0);
}

static void log_softmax_reduce(const smx_tile *tile, void *partial) { exp_reduce(tile, partial, 1, 0); }

typedef struct {
    largest m;
    vec reference; /* the sum is relative to 2^(reference - HEADROOM) */
    sum s;
} exp_total;

SMX_INLINE largest read_largest(const real *partial, int width, int row) {
    const largest m = {v_load(partial + partial_at(0, width, row)), v_load(partial + partial_at(1, width, row))};
    return m;
}
SMX_INLINE sum read_sum(const real *partial, int k, int width, int row) {
    return sum_of(v_load(partial + partial_at(k, width, row)), v_load(partial + partial_at(k + 1, width, row)));
}

SMX_INLINE exp_total exp_combine(const real *partials, ptrdiff_t pieces, int width, int row) {
    const ptrdiff_t size = partial_at(SMX_PARTIALS, width, 0);
    exp_total total;
    total.m = read_largest(partials, width, row);
    for (ptrdiff_t i = 1; i < pieces; i++) {
        const largest m = read_largest(partials + i * size, width, row);
        /* in x a NaN is passed over, but here it has to stay */
        const vec seen = total.m.first;
        total.m = largest_merge(m, total.m);
        total.m.first = v_select_le(m.first, m.first, v_select_le(seen, seen, total.m.first, seen), m.first);
    }
    total.reference = reference_of(total.m);
    total.s = sum_of(v_set1(0), v_set1(0));
    if (pieces == 1)
        total.s = sum_settle(read_sum(partials, 2, width, row));
    for (ptrdiff_t i = 0; pieces > 1 && i < pieces; i++) {
        const largest m = read_largest(partials + i * size, width, row);
        const sum s = read_sum(partials + i * size, 2, width, row);
        const vec scale = power_of_two(v_sub(reference_of(m), total.reference));
        total.s = sum_add_sum(total.s, sum_of(v_mul(s.high, scale), v_mul(s.low, scale)));
        /* The piece left out its maximum if that stood alone; unless it is the row's, it belongs to the sum. */
        exp_parts e = exp_of(v_min(m.first, total.m.second), exp_scale_of(total.reference));
        e.a = v_keep_le(m.first, total.m.second, v_select_le(m.first, m.second, v_set1(0), e.a));
        total.s = sum_add(total.s, v_mul(e.m, e.a));
        total.s.low = v_fma(e.t, e.a, total.s.low);
        /* Each time: what a hundred thousand pieces leave in low would be rounded as coarsely as high is. */
        total.s = sum_settle(total.s);
    }
    return total;
}

/* Of WIDTH rows: which flags, and what has to be subtracted from those that are too large. */
SMX_INLINE int exp_flags(exp_total total, int left, real *shift) {
    const vec size = v_abs(total.m.first);
    v_store(shift, v_keep_le(size, HUGEST, v_select_le(size, v_set1(LARGE), v_set1(0), total.m.first)));
    if (v_all_le(size, v_set1(LARGE)) && v_all_le(total.s.high, HUGEST))
        return 0;
    int flags = SMX_NOT_FINITE;
    for (int k = 0; k < WIDTH && k < left; k++)
        if (shift[k] != 0)
            flags |= SMX_TOO_LARGE;
    return flags;
}

/* Rows of which |max| <= LARGE is not true have no finite result here. */
SMX_INLINE vec if_in_range(exp_total total, vec yes, vec no) {
    return v_select_le(v_abs(total.m.first), v_set1(LARGE), yes, no);
}

enum { SOFTMAX_ROUNDER, SOFTMAX_FLOOR, SOFTMAX_SCALE_HIGH, SOFTMAX_SCALE_LOW };

static int softmax_finish(int width, ptrdiff_t pieces, const void *partials, const void *shift, void *constants) {
    int flags = 0;
    (void)shift;
    for (int row = 0; row < width; row += WIDTH) {
        real *constant = (real *)constants + row;
        const exp_total total = exp_combine(partials, pieces, width, row);
        const exp_scale scale = exp_scale_of(total.reference);
        /* 1 / sum as a pair: one Newton step on the rounded quotient */
        const vec high = v_div(v_set1(1), total.s.high);
        const vec error = v_fma(high, total.s.low, v_fma(high, total.s.high, v_set1(-1)));
        v_store(constant + SOFTMAX_ROUNDER * SMX_TILE_ROWS, scale.rounder);
        v_store(constant + SOFTMAX_FLOOR * SMX_TILE_ROWS, scale.floor);
        v_store(constant + SOFTMAX_SCALE_HIGH * SMX_TILE_ROWS, if_in_range(total, high, EVERY_NAN));
        v_store(constant + SOFTMAX_SCALE_LOW * SMX_TILE_ROWS, v_fnma(high, error, v_set1(0)));
        flags |= exp_flags(total, width - row, constant + SMX_SHIFT * SMX_TILE_ROWS);
    }
    return flags;
}

/* log sum exp(x) = maximum + log(1 + z), z = sum of the others / exp(maximum), as a pair */
SMX_INLINE sum log_of_total(exp_total total) {
    /* the quotient of two pairs: one Newton step on the rounded one */
    const vec own = exp_reference(total.m.first);
    const exp_parts e = exp_of(total.m.first, exp_scale_of(own));
    const sum divisor = sum_settle(sum_of(v_mul(e.m, e.a), v_mul(e.t, e.a)));
    sum z;
    z.high = v_div(total.s.high, divisor.high);
    z.low = v_fnma(z.high, divisor.low, v_add(v_fnma(z.high, divisor.high, total.s.high), total.s.low));
    z.low = v_div(z.low, divisor.high);
    /* In two equal steps, of which only the second can meet a subnormal number: references are even. */
    const vec root = power_of_two(v_mul(v_sub(total.reference, own), v_set1((real)0.5)));
    z.high = v_mul(v_mul(z.high, root), root);
    z.low = v_mul(v_mul(z.low, root), root);
    const vec tied = v_select_le(total.m.first, total.m.second, v_set1(-1), v_set1(0));
    z = sum_settle(sum_add(z, tied));

    const sum logarithm = log_of_1_plus(z);
    return sum_add_sum(sum_of(total.m.first, v_set1(0)), logarithm);
}

enum { LOG_HIGH, LOG_LOW };

static int log_softmax_finish(int width, ptrdiff_t pieces, const void *partials, const void *shift, void *constants) {
    int flags = 0;
    (void)shift;
    for (int row = 0; row < width; row += WIDTH) {
        real *constant = (real *)constants + row;
        const exp_total total = exp_combine(partials, pieces, width, row);
        const sum logarithm = log_of_total(total);
        v_store(constant + LOG_HIGH * SMX_TILE_ROWS, if_in_range(total, logarithm.high, EVERY_NAN));
        v_store(constant + LOG_LOW * SMX_TILE_ROWS, logarithm.low);
        flags |= exp_flags(total, width - row, constant + SMX_SHIFT * SMX_TILE_ROWS);
    }
    return flags;
}

static int logsumexp_finish(int width, ptrdiff_t pieces, const void *partials, const void *shift, void *constants) {
    int flags = 0;
    for (int row = 0; row < width; row += WIDTH) {
        real *constant = (real *)constants + row;
        const exp_total total = exp_combine(partials, pieces, width, row);
        const vec shifted_by = v_load_first((const real *)shift + row, width - row, v_set1(0));
        const sum logarithm = sum_add_sum(sum_of(shifted_by, v_set1(0)), log_of_total(total));
        const vec value = if_in_range(total, v_add(logarithm.high, logarithm.low), total.m.first);
        v_store(constant, one_nan(value));
        flags |= exp_flags(total, width - row, constant + SMX_SHIFT * SMX_TILE_ROWS);
    }
    return flags;
}

/* ---- sums of products: the derivatives --------------------------------------------------------------------------

   An adder takes one vector of each input into a partial sum; zeros must leave it as it is. */

typedef long_sum (*adder)(long_sum s, vec y, vec g);

/* Of sum y g, an element is as sensitive to sum y |g|, so two parts do; of sum g only to the sum itself. */
SMX_INLINE long_sum add_product(long_sum s, vec y, vec g) {
    s.s = sum_add_product(s.s, y, g);
    return s;
}
SMX_INLINE long_sum add_gradient(long_sum s, vec y, vec g) {
    (void)y;
    return long_sum_add(s, g);
}
SMX_INLINE long_sum add_exp_product(long_sum s, vec y, vec g) { return add_product(s, exp_alone(y), g); }

SMX_INLINE void store_sum_partial(const smx_tile *tile, real *partial, int row, long_sum s) {
    v_store(partial + partial_at(0, tile->width, row), s.s.high);
    v_store(partial + partial_at(1, tile->width, row), s.s.low);
    v_store(partial + partial_at(2, tile->width, row), s.lowest);
}

SMX_INLINE void sum_reduce_rows(const smx_tile *tile, real *partial, adder add) {
    lane_store highs, lows, lowests;
    for (int row = 0; row < tile->width; row++) {
        const real *y = row_of(&tile->in[0], row), *g = row_of(&tile->in[1], row);
        long_sum s[GROUPS];
        for (int k = 0; k < GROUPS; k++)
            s[k] = long_sum_of(v_set1(0), v_set1(0), v_set1(0));
        ptrdiff_t i = 0;
        for (; i + LANES <= tile->n; i += LANES)
            for (int k = 0; k < GROUPS; k++)
                s[k] = add(s[k], v_load(y + i + k * WIDTH), v_load(g + i + k * WIDTH));
        for (int k = 0; i < tile->n; i += WIDTH, k++)
            s[k] = add(s[k], v_load_first(y + i, tile->n - i, v_set1(0)), v_load_first(g + i, tile->n - i, v_set1(0)));
        for (int k = 0; k < GROUPS; k++) {
            v_store(highs[row] + k * WIDTH, s[k].s.high);
            v_store(lows[row] + k * WIDTH, s[k].s.low);
            v_store(lowests[row] + k * WIDTH, s[k].lowest);
        }
    }
    for (int row = 0; row < tile->width; row += WIDTH) {
        vec high[LANES], low[LANES], lowest[LANES];
        long_sum lane[LANES];
        read_lanes(highs, row, tile->width, high);
        read_lanes(lows, row, tile->width, low);
        read_lanes(lowests, row, tile->width, lowest);
        for (int i = 0; i < LANES; i++)
            lane[i] = long_sum_of(high[i], low[i], lowest[i]);
        store_sum_partial(tile, partial, row, long_sum_lanes(lane, LANES));
    }
}

SMX_INLINE void sum_reduce_columns(const smx_tile *tile, real *partial, adder add) {
    const int count = partial_sums(tile);
    for (int row = 0; row < tile->width; row += WIDTH) {
        const real *y = row_of(&tile->in[0], row), *g = row_of(&tile->in[1], row);
        long_sum s[LANES];
        for (int i = 0; i < count; i++)
            s[i] = long_sum_of(v_set1(0), v_set1(0), v_set1(0));
        for (ptrdiff_t j = 0; j < tile->n; j += count)
            for (int i = 0; i < count && j + i < tile->n; i++)
                s[i] = add(s[i], v_load(y + (j + i) * tile->in[0].element), v_load(g + (j + i) * tile->in[1].element));
        store_sum_partial(tile, partial, row, long_sum_lanes(s, count));
    }
}

SMX_INLINE void sum_reduce(const smx_tile *tile, void *partial, adder add) {
    if (tile->layout == SMX_ROWS)
        sum_reduce_rows(tile, partial, add);
    else
        sum_reduce_columns(tile, partial, add);
}

static void softmax_vjp_reduce(const smx_tile *tile, void *partial) { sum_reduce(tile, partial, add_product); }
static void log_softmax_vjp_reduce(const smx_tile *tile, void *partial) { sum_reduce(tile, partial, add_gradient); }
static void log_softmax_jvp_reduce(const smx_tile *tile, void *partial) { sum_reduce(tile, partial, add_exp_product); }

static int sum_finish(int width, ptrdiff_t pieces, const void *partials, const void *shift, void *constants) {
    (void)shift;
    for (int row = 0; row < width; row += WIDTH) {
        long_sum total = long_sum_of(v_set1(0), v_set1(0), v_set1(0));
        for (ptrdiff_t i = 0; i < pieces; i++) {
            const real *partial = (const real *)partials + i * partial_at(SMX_PARTIALS, width, 0);
            const long_sum s = {read_sum(partial, 0, width, row), v_load(partial + partial_at(2, width, row))};
            total = long_sum_add_sum(total, s);
        }
        /* Of an infinite sum, what was lost is NaN. */
        const sum s = sum_settle(sum_add(sum_of(total.s.high, total.lowest), total.s.low));
        v_store((real *)constants + row, v_select_le(v_abs(total.s.high), HUGEST, s.high, total.s.high));
    }
    return 0; /* a NaN may come up at any element: the formulas below see to it */
}

/* ---- write: a formula for each element -------------------------------------------------------------------------- */

/* v: an element of each input; c: the constants of its row */
typedef vec (*formula)(const vec v[3], const vec c[SMX_CONSTANTS]);

/* exp(x) / sum = a (m + t) scale, the scale a pair. a is a power of two, so only the last product can be subnormal, and
   what it multiplies has been rounded as a normal number. */
SMX_INLINE vec softmax_of_parts(const vec v[3], const vec c[SMX_CONSTANTS]) {
    const vec m = v[0], t = v[1], a = v[2];
    const vec small = v_fma(c[SOFTMAX_SCALE_HIGH], t, c[SOFTMAX_SCALE_LOW]);
    return v_mul(v_fma(c[SOFTMAX_SCALE_HIGH], m, small), a);
}
SMX_INLINE vec softmax_of(const vec v[3], const vec c[SMX_CONSTANTS]) {
    const exp_scale scale = {c[SOFTMAX_ROUNDER], c[SOFTMAX_FLOOR]};
    const exp_parts e = exp_of(v[0], scale);
    const vec parts[3] = {e.m, e.t, e.a};
    return softmax_of_parts(parts, c);
}
SMX_INLINE vec log_softmax_of(const vec v[3], const vec c[SMX_CONSTANTS]) {
    return v_sub(v_sub(v[0], c[LOG_HIGH]), c[LOG_LOW]);
}
SMX_INLINE vec softmax_vjp_of(const vec v[3], const vec c[SMX_CONSTANTS]) {
    return one_nan(v_mul(v[0], v_sub(v[1], c[0])));
}
SMX_INLINE vec log_softmax_vjp_of(const vec v[3], const vec c[SMX_CONSTANTS]) {
    return one_nan(v_fnma(exp_alone(v[0]), c[0], v[1]));
}
SMX_INLINE vec log_softmax_jvp_of(const vec v[3], const vec c[SMX_CONSTANTS]) { return one_nan(v_sub(v[0], c[0])); }
SMX_INLINE vec less_constant(const vec v[3], const vec c[SMX_CONSTANTS]) { return v_sub(v[0], c[0]); }
SMX_INLINE vec settled(const vec v[3], const vec c[SMX_CONSTANTS]) {
    (void)c;
    return one_nan(v[0]);
}

/* to = the formula of so many inputs and constants, over a tile. from may be read beyond the tile's width if it is padded
   to whole vectors, as blocks are and a caller's array is not. */
SMX_INLINE void apply(const smx_tile *tile, const smx_view *to, const smx_view *const *from, int is_padded, int inputs,
                      const void *constants, int constant_count, formula f) {
    const int by_row = tile->layout == SMX_ROWS;
    for (int row = 0; row < tile->width; row += by_row ? 1 : WIDTH) {
        vec v[3], c[SMX_CONSTANTS];
        const real *in[3];
        for (int k = 0; k < constant_count; k++) {
            const real *constant = (const real *)constants + k * SMX_TILE_ROWS + row;
            c[k] = by_row ? v_set1(*constant) : v_load(constant);
        }
        for (int k = 0; k < inputs; k++)
            in[k] = row_of(from[k], row);
        real *out = row_of(to, row);
        if (by_row) {
            ptrdiff_t i = 0;
            for (; i + WIDTH <= tile->n; i += WIDTH) {
                for (int k = 0; k < inputs; k++)
                    v[k] = v_load(in[k] + i);
                v_store(out + i, f(v, c));
            }
            if (i < tile->n) {
                for (int k = 0; k < inputs; k++)
                    v[k] = v_load_first(in[k] + i, tile->n - i, v_set1(0));
                v_store_first(out + i, tile->n - i, f(v, c));
            }
        } else {
            const int whole = row + WIDTH <= tile->width;
            for (ptrdiff_t j = 0; j < tile->n; j++) {
                for (int k = 0; k < inputs; k++) {
                    const real *at = in[k] + j * from[k]->element;
                    v[k] = is_padded || whole ? v_load(at) : v_load_first(at, tile->width - row, v_set1(0));
                }
                if (whole)
                    v_store(out + j * to->element, f(v, c));
                else
                    v_store_first(out + j * to->element, tile->width - row, f(v, c));
            }
        }
    }
}

SMX_INLINE void write_with(const smx_tile *tile, int inputs, const void *constants, int constant_count, formula f) {
    const smx_view *const from[2] = {&tile->in[0], &tile->in[1]};
    apply(tile, &tile->out, from, 1, inputs, constants, constant_count, f);
}

static void softmax_write(const smx_tile *tile, const void *constants) {
    if (!tile->keep) {
        write_with(tile, 1, constants, 4, softmax_of);
        return;
    }
    smx_view m = tile->in[0], t = m, a = m;
    const smx_view *const from[3] = {&m, &t, &a};
    if (tile->layout == SMX_ROWS) {
        m.row = t.row = a.row = 3 * kept_row(tile->n);
        m.start = tile->keep;
        t.start = row_of(&m, 0) + kept_row(tile->n);
        a.start = row_of(&t, 0) + kept_row(tile->n);
    } else {
        m.start = tile->keep;
        t.start = row_of(&m, 0) + tile->n * m.element;
    }
    apply(tile, &tile->out, from, 1, 3, constants, 4, softmax_of_parts);
}
static void log_softmax_write(const smx_tile *tile, const void *constants) {
    write_with(tile, 1, constants, 2, log_softmax_of);
}
static void softmax_vjp_write(const smx_tile *tile, const void *constants) {
    write_with(tile, 2, constants, 1, softmax_vjp_of);
}
static void log_softmax_vjp_write(const smx_tile *tile, const void *constants) {
    write_with(tile, 2, constants, 1, log_softmax_vjp_of);
}
static void log_softmax_jvp_write(const smx_tile *tile, const void *constants) {
    const smx_view *const from[1] = {&tile->in[1]};
    apply(tile, &tile->out, from, 1, 1, constants, 1, log_softmax_jvp_of);
}

/* ---- what a tile may need beside ---------------------------------------------------------------------------------- */

static void subtract(const smx_tile *tile, const void *shift) {
    const smx_view *const from[1] = {&tile->in[0]};
    apply(tile, &tile->in[0], from, 1, 1, shift, 1, less_constant);
}

static void settle_nans(const smx_tile *tile) {
    const smx_view *const from[1] = {&tile->out};
    apply(tile, &tile->out, from, 0, 1, NULL, 0, settled);
}

/* Four elements of WIDTH rows at a time, transposed in registers. Of a row's last four some may have been moved before:
   moving them again spares a remainder. Rows of two or three that follow one another are taken apart as a whole. */
static void rows_to_columns(const void *rows, ptrdiff_t row, int width, ptrdiff_t n, void *block, ptrdiff_t element) {
    for (int first = 0; first < width; first += WIDTH) {
        const real *from = (const real *)rows + first * row;
        real *to = (real *)block + first;
        vec column[4];
        if (first + WIDTH <= width && n >= 4) {
            const real *at[WIDTH];
            for (int k = 0; k < WIDTH; k++)
                at[k] = from + k * row;
            for (ptrdiff_t j = 0; j < n; j += 4) {
                const ptrdiff_t here = j + 4 <= n ? j : n - 4;
                v_load_columns(at, here, column);
                for (int k = 0; k < 4; k++)
                    v_store(to + (here + k) * element, column[k]);
            }
        } else if (first + WIDTH <= width && row == n && (n == 2 || n == 3)) {
            if (n == 2)
                v_load_pairs(from, column);
            else
                v_load_triples(from, column);
            for (int k = 0; k < n; k++)
                v_store(to + k * element, column[k]);
        } else {
            for (ptrdiff_t j = 0; j < n; j++)
                for (int k = 0; k < WIDTH; k++)
                    to[j * element + k] = first + k < width ? from[k * row + j] : 0;
        }
    }
}

static void columns_to_rows(const void *block, ptrdiff_t element, void *rows, ptrdiff_t row, int width, ptrdiff_t n) {
    for (int first = 0; first < width; first += WIDTH) {
        const real *from = (const real *)block + first;
        real *to = (real *)rows + first * row;
        vec column[4];
        if (first + WIDTH <= width && n >= 4) {
            real *at[WIDTH];
            for (int k = 0; k < WIDTH; k++)
                at[k] = to + k * row;
            for (ptrdiff_t j = 0; j < n; j += 4) {
                const ptrdiff_t here = j + 4 <= n ? j : n - 4;
                for (int k = 0; k < 4; k++)
                    column[k] = v_load(from + (here + k) * element);
                v_store_columns(at, here, column);
            }
        } else if (first + WIDTH <= width && row == n && (n == 2 || n == 3)) {
            for (int k = 0; k < n; k++)
                column[k] = v_load(from + k * element);
            if (n == 2)
                v_store_pairs(to, column);
            else
                v_store_triples(to, column);
        } else {
            for (ptrdiff_t j = 0; j < n; j++)
                for (int k = 0; k < WIDTH && first + k < width; k++)
                    to[k * row + j] = from[j * element + k];
        }
    }
}

/* ---- the table ------------------------------------------------------------------------------------------------------ */

#define JOIN_(a, b, c, d) a##b##c##d
#define JOIN(a, b, c, d) JOIN_(a, b, c, d)
#define STRING_(a) #a
#define STRING(a) STRING_(a)

const smx_kernels JOIN(smx_, LEVEL, _f, REAL_BITS) = {
    .level = STRING(LEVEL),
    .real_size = sizeof(real),
    .lanes = LANES,
    .op =
        {
            [SMX_SOFTMAX] = {1, 1, 1, 1, softmax_reduce, softmax_finish, softmax_write},
            [SMX_LOG_SOFTMAX] = {1, 1, 0, 1, log_softmax_reduce, log_softmax_finish, log_softmax_write},
            [SMX_LOGSUMEXP] = {1, 0, 0, 1, log_softmax_reduce, logsumexp_finish, NULL},
            [SMX_SOFTMAX_VJP] = {2, 1, 0, 0, softmax_vjp_reduce, sum_finish, softmax_vjp_write},
            [SMX_LOG_SOFTMAX_VJP] = {2, 1, 0, 0, log_softmax_vjp_reduce, sum_finish, log_softmax_vjp_write},
            [SMX_LOG_SOFTMAX_JVP] = {2, 1, 0, 0, log_softmax_jvp_reduce, sum_finish, log_softmax_jvp_write},
        },
    .rows_to_columns = rows_to_columns,
    .columns_to_rows = columns_to_rows,
    .subtract = subtract,
    .settle_nans = settle_nans,
};

END_OF_TARGET
