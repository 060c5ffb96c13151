/* The loops of a reduce that adds up exponentials with weights, b exp(x / T), for logsumexp with `b`.

   A weight is taken apart: b = f 2^e, f in [1, 2) or (-2, -1]. Its e is added to the exponent of exp(x / T), an integer
   to an integer, which rounds nothing. So a term is M f + M f p, where M is the power that belongs to x and to e.
   Neither exp(x / T) nor its product with b is ever out of range on its own, and no logarithm of b is taken. M f is
   rounded, so what it loses is a part of the term, too.

   Terms have either sign. A sum starts at a number that is larger than any few terms together, so that Fast2Sum, which
   is cheaper, is exact for every term. After FEW_TERMS terms, TwoSum adds the sum to a total.

   The size of a term is measured by its key, x + e T ln2: in units of x, the logarithm of the term without f. The term
   with the largest key leads. As in largest.inc.h, the sum leaves it out if it stands alone, and is relative to the
   second largest key. The leader's x and b are kept instead. If the largest key is that of several terms, the sum has
   all of them. */

/* ---- weights ---------------------------------------------------------------------------------------------------- */

#ifndef HAS_EXPONENT
/* The exponent of any number, and its fraction, with its sign. 0 has the exponent -inf, an infinity +inf, NaN itself;
   the fraction is any number then, but NaN of NaN. */
SMX_INLINE vec lift_of(vec size) {
    return v_select_le(v_set1((real)(REAL_BITS == 32 ? FLT_MIN : DBL_MIN)), size, v_set1(0), v_set1(FRACTION_BITS + 1));
}
/* |a|, times a power of two if it is subnormal. */
SMX_INLINE vec lifted(vec size) {
    const vec by = v_set1((real)((real_bits)2 << FRACTION_BITS));
    return v_select_le(v_set1((real)(REAL_BITS == 32 ? FLT_MIN : DBL_MIN)), size, size, v_mul(size, by));
}
SMX_INLINE vec v_exponent(vec a) {
    const vec size = v_abs(a), field = v_sub(v_exponent_field(lifted(size)), lift_of(size));
    const vec exponent = v_select_le(size, v_set1(0), MINUS_INFINITY, v_sub(field, v_set1(BIAS)));
    return v_select_le(size, HUGEST, exponent, size);
}
SMX_INLINE vec v_fraction(vec a) {
    const vec size = v_abs(a), fraction = v_significand(lifted(size)), zero = v_set1(0);
    return v_select_le(size, HUGEST, v_select_le(zero, a, fraction, v_sub(zero, fraction)), size);
}
#endif

/* Elements with their weights. */
typedef struct {
    vec x, b;
} weighted;

SMX_INLINE vec key_unit(const exp_temperature *t) { return v_set1(8 * t->step_high); }

/* What a row's loop collects. The leader's x is -inf until it is met. The partial sums share it, because a row has one
   leader at most. */
typedef struct {
    vec x, b;
} leader;

SMX_INLINE leader no_leader(void) {
    const leader none = {MINUS_INFINITY, v_set1(0)};
    return none;
}

/* A sum of terms. Terms are below 2^(HEADROOM + 2.2) in size, and FEW_TERMS of them, with their small parts, are below
   half of the power of two in START. */
enum { FEW_TERMS = 16 };
#define WEIGHTED_SUM_START (384 * HEADROOM_POWER)

typedef struct {
    pair few, total;
} weighted_sum;

SMX_INLINE weighted_sum weighted_sum_begin(void) {
    const vec zero = v_set1(0);
    const weighted_sum s = {pair_of(v_set1(WEIGHTED_SUM_START), zero), pair_of(zero, zero)};
    return s;
}
/* done: terms of each partial sum. */
SMX_INLINE int is_few(ptrdiff_t done) { return done % FEW_TERMS != 0; }
SMX_INLINE weighted_sum weighted_sum_settle(weighted_sum s) {
    const vec start = v_set1(WEIGHTED_SUM_START);
    s.total = sum_add_sum(s.total, pair_of(v_sub(s.few.high, start), s.few.low));
    s.few = pair_of(start, v_set1(0));
    return s;
}

/* Adds vectors of terms, those with keys up to `second`, to their partial sums s. Their small parts are first added
   plainly, as in exp_sum_add. A missing term has a weight of 0, and changes nothing. An element whose weight is 0
   counts as -inf; if it is infinite or NaN, that takes care, which costs two operations, and without care the sum is
   NaN. Two vectors at a time leave enough registers; the widest of floats have enough for four. A row has one leader at
   most, so one branch for several vectors is cheaper than to look for the leader in each. Columns have one in each
   lane. */
SMX_INLINE weighted_sum weighted_add(weighted_sum s, const weighted w[IN_STEP], exp_scale scale, vec second, vec unit,
                                     enum smx_layout layout, int with_care, leader *lead) {
    enum { AT_ONCE = REAL_BITS == 32 && LANES == SUMS ? IN_STEP : 2 };
    exp_scale scales[AT_ONCE];
    for (int k = 0; k < AT_ONCE; k++)
        scales[k] = scale;
    vec small = v_set1(0);
    for (int i = 0; i < IN_STEP; i += AT_ONCE) {
        vec x[AT_ONCE], exponent[AT_ONCE], key[AT_ONCE];
        exp_parts e[AT_ONCE];
        for (int k = 0; k < AT_ONCE; k++) {
            exponent[k] = v_exponent(w[i + k].b);
            x[k] = w[i + k].x;
            if (with_care)
                x[k] = v_select_le(exponent[k], MINUS_INFINITY, MINUS_INFINITY, x[k]);
            key[k] = v_fma(exponent[k], unit, x[k]);
        }
        exp_parts_with(x, key, exponent, AT_ONCE, scales, 1, e);
        vec top = key[0];
        for (int k = 1; k < AT_ONCE; k++)
            top = v_max(key[k], top);
        if (layout == SMX_COLUMNS || !v_all_le(top, second))
            for (int k = 0; k < AT_ONCE; k++) {
                lead->x = v_select_le(key[k], second, lead->x, x[k]);
                lead->b = v_select_le(key[k], second, lead->b, w[i + k].b);
                e[k].power = v_keep_le(key[k], second, e[k].power);
            }
        for (int k = 0; k < AT_ONCE; k++) {
            const pair product = two_product(e[k].power, v_fraction(w[i + k].b));
            s.few = sum_add_smaller(s.few, product.high);
            /* rounded by itself, so that equal terms of opposite signs cancel exactly */
            small = v_add(small, v_fma(product.high, e[k].p, product.low));
        }
    }
    s.few = sum_add_smaller(s.few, small);
    return s;
}

/* ---- rows that are not finite ------------------------------------------------------------------------------------ */

/* As largest_add, but a key that is NaN changes nothing: its weight is 0, or the sum shows it. */
SMX_INLINE largest largest_key_add(largest m, weighted w, vec unit) {
    const vec key = v_fma(v_exponent(w.b), unit, w.x);
    m.second = v_max(v_min(m.first, key), m.second);
    m.first = v_max(key, m.first);
    return m;
}

/* The sum of a row's infinite terms: 0 if there is none, NaN if a term is NaN or if they cancel. */
static real sum_of_infinite(const smx_tile *tile, int row) {
    const smx_view *x = &tile->in[0], *b = &tile->in[1];
    real sum = 0;
    for (ptrdiff_t j = 0; j < tile->n; j++) {
        const real value = row_of(x, row)[j * x->element_stride], weight = row_of(b, row)[j * b->element_stride];
        if (weight == 0)
            continue;
        if (value != value || weight != weight || (value < 0 && isinf(value) && isinf(weight)))
            sum = (real)NAN;
        else if ((value > 0 && isinf(value)) || isinf(weight))
            sum += weight > 0 ? (real)INFINITY : -(real)INFINITY;
    }
    return sum;
}

/* The partial of a piece: the two largest keys, the sum, the leader, and the sum of infinite terms. */
enum { PARTIAL_LEADER = 4, PARTIAL_INFINITE = 6 };

/* Stores the partials of LANES rows. left: how many of them there are. */
SMX_INLINE void weighted_store(const smx_tile *tile, real *partial, int row, largest m, pair s, leader lead) {
    const int rows = tile->rows;
    const vec zero = v_set1(0), none = v_select_le(v_abs(s.high), HUGEST, zero, v_set1(1));
    /* A key may be infinite though its term is not: the row is shifted then. A term that is NaN has no key: the sum is
       NaN then. */
    v_store(partial + partial_at(0, rows, row), v_min(m.first, HUGEST));
    v_store(partial + partial_at(1, rows, row), v_min(m.second, HUGEST));
    store_pair(partial, PARTIAL_TERMS, rows, row, sum_renormalize(s));
    v_store(partial + partial_at(PARTIAL_LEADER, rows, row), lead.x);
    v_store(partial + partial_at(PARTIAL_LEADER + 1, rows, row), lead.b);
    real *infinite = partial + partial_at(PARTIAL_INFINITE, rows, row);
    v_store(infinite, zero);
    if (v_all_le(m.first, HUGEST) && v_all_le(none, zero))
        return;
    for (int k = 0; k < LANES && row + k < rows; k++)
        infinite[k] = sum_of_infinite(tile, row + k);
}

/* ---- ROWS ------------------------------------------------------------------------------------------------------- */

SMX_INLINE weighted weighted_at(const real *x, const real *b, ptrdiff_t left, int is_whole) {
    weighted w;
    w.x = is_whole ? v_load(x) : v_load_first(x, left, MINUS_INFINITY);
    w.b = is_whole ? v_load(b) : v_load_first(b, left, v_set1(0));
    KEEP_IN_REGISTER(w.x);
    KEEP_IN_REGISTER(w.b);
    return w;
}

/* The largest keys of a row; the result is in the first lane. */
SMX_INLINE largest largest_keys_of_row(const real *x, const real *b, ptrdiff_t n, vec unit) {
    enum { CHAINS = 4 };
    largest m[CHAINS];
    for (int c = 0; c < CHAINS; c++)
        m[c] = largest_begin();
    ptrdiff_t i = 0;
    for (; i + CHAINS * LANES <= n; i += CHAINS * LANES)
        for (int c = 0; c < CHAINS; c++)
            m[c] = largest_key_add(m[c], weighted_at(x + i + c * LANES, b + i + c * LANES, LANES, 1), unit);
    for (; i < n; i += LANES)
        m[0] = largest_key_add(m[0], weighted_at(x + i, b + i, n - i, 0), unit);
    return largest_of_lanes(largest_merge(largest_merge(m[0], m[1]), largest_merge(m[2], m[3])), OTHERS);
}

/* The sum of a row, still in lanes. next: a row of elements and one of weights to prefetch, or NULL. */
SMX_INLINE pair weighted_row(const real *x, const real *b, ptrdiff_t n, exp_scale scale, vec second, vec unit,
                             const real *const *next, int with_care, leader *lead) {
    weighted_sum s[GROUPS];
    pair total[GROUPS];
    weighted w[IN_STEP];
    for (int g = 0; g < GROUPS; g++)
        s[g] = weighted_sum_begin();
    ptrdiff_t i = 0;
    for (; i + STEP <= n; i += STEP) {
        for (int k = 0; next && k < 2; k++)
            prefetch(next[k] + i, STEP * sizeof(real));
        for (int g = 0; g < GROUPS; g++) {
            for (int k = 0; k < IN_STEP; k++) {
                const ptrdiff_t at = i + g * LANES + k * SUMS;
                w[k] = weighted_at(x + at, b + at, LANES, 1);
            }
            s[g] = weighted_add(s[g], w, scale, second, unit, SMX_ROWS, with_care, lead);
        }
        for (int g = 0; !is_few((i + STEP) / SUMS) && g < GROUPS; g++)
            s[g] = weighted_sum_settle(s[g]);
    }
    for (int g = 0; g < GROUPS && i + g * LANES < n; g++) {
        const ptrdiff_t from = i + g * LANES;
        for (int k = 0; k < IN_STEP; k++)
            w[k] = weighted_at(x + from + k * SUMS, b + from + k * SUMS, n - from - k * SUMS, 0);
        s[g] = weighted_add(s[g], w, scale, second, unit, SMX_ROWS, with_care, lead);
    }
    for (int g = 0; g < GROUPS; g++)
        total[g] = weighted_sum_settle(s[g]).total;
    ADD_PAIRWISE(sum_add_sum, total, GROUPS);
    return total[0];
}

SMX_APART pair weighted_row_with_care(const real *x, const real *b, ptrdiff_t n, exp_scale scale, vec second, vec unit,
                                      leader *lead) {
    return weighted_row(x, b, n, scale, second, unit, NULL, 1, lead);
}

static void weighted_reduce_rows(const smx_tile *tile, void *partials) {
    const exp_temperature copy = *(const exp_temperature *)tile->temperature, *t = &copy;
    real *partial = partials;
    const int rows = tile->rows;
    const vec unit = key_unit(t);
    real number[6][SMX_ROWS_AT_ONCE]; /* of each row, before they are stored by whole vectors */
    for (int first = 0; first < rows; first += LANES) {
        const vec initial = initial_of(tile, first, tile->again, t).reference;
        real reference[LANES];
        const int last = first + LANES < rows ? first + LANES : rows;
        vec all[2] = {v_set1(0), v_set1(0)};
        for (int row = first; row < last; row++) {
            const largest m = largest_keys_of_row(row_of(&tile->in[0], row), row_of(&tile->in[1], row), tile->n, unit);
            put_number(number[0], row, &all[0], m.first);
            put_number(number[1], row, &all[1], m.second);
        }
        const largest found = {all[0], all[1]};
        v_store(reference, reference_of(found, initial, t));
        vec sums[4] = {v_set1(0), v_set1(0), v_set1(0), v_set1(0)};
        for (int row = first; row < last; row++) {
            leader lead = no_leader();
            const real *x = row_of(&tile->in[0], row), *b = row_of(&tile->in[1], row);
            const exp_scale scale = exp_scale_of(v_set1(reference[row - first]), t);
            const vec second = v_set1(number[1][row]);
            const real *next[2] = {next_row(tile, 0, row), next_row(tile, 1, row)};
            pair lanes = weighted_row(x, b, tile->n, scale, second, unit, next[0] && next[1] ? next : NULL, 0, &lead);
            if (!v_all_le(v_abs(lanes.high), HUGEST)) {
                lead = no_leader();
                lanes = weighted_row_with_care(x, b, tile->n, scale, second, unit, &lead);
            }
            const pair s = sum_lanes(lanes);
            for (int half = LANES / 2; half > 0; half /= 2) { /* one lane at most has met the leader */
                lead.x = v_max(v_move_down(lead.x, half), lead.x);
                lead.b = v_add(v_move_down(lead.b, half), lead.b);
            }
            put_number(number[2], row, &sums[0], s.high);
            put_number(number[3], row, &sums[1], s.low);
            put_number(number[4], row, &sums[2], lead.x);
            put_number(number[5], row, &sums[3], lead.b);
        }
        const leader lead = {sums[2], sums[3]};
        weighted_store(tile, partial, first, found, pair_of(sums[0], sums[1]), lead);
    }
}

/* ---- COLUMNS ---------------------------------------------------------------------------------------------------- */

SMX_INLINE weighted weighted_in_columns(const real *x, const real *b, ptrdiff_t left) {
    const weighted w = {load_left(x, left), load_left(b, left)};
    return w;
}

SMX_INLINE void weighted_reduce_columns(const smx_tile *tile, real *partial, int sum_count) {
    const exp_temperature copy = *(const exp_temperature *)tile->temperature, *t = &copy;
    const int rows = tile->rows;
    const ptrdiff_t n = tile->n, x_stride = tile->in[0].element_stride, b_stride = tile->in[1].element_stride;
    const vec unit = key_unit(t);
    const weighted missing = {MINUS_INFINITY, v_set1(0)};
    for (int row = 0; row < rows; row += LANES) {
        const real *x = row_of(&tile->in[0], row), *b = row_of(&tile->in[1], row);
        const ptrdiff_t left = rows - row;
        largest m = largest_begin();
        for (ptrdiff_t j = 0; j < n; j++)
            m = largest_key_add(m, weighted_in_columns(x + j * x_stride, b + j * b_stride, left), unit);
        const vec reference = reference_of(m, initial_of(tile, row, tile->again, t).reference, t);
        const exp_scale scale = exp_scale_of(reference, t);
        leader lead = no_leader();
        weighted_sum s[SUMS];
        pair total[SUMS];
        weighted w[IN_STEP];
        for (int i = 0; i < sum_count; i++)
            s[i] = weighted_sum_begin();
        for (ptrdiff_t j = 0; j < n; j += IN_STEP * sum_count) {
            for (int i = 0; i < sum_count && j + i < n; i++) {
                for (int k = 0; k < IN_STEP; k++) {
                    const ptrdiff_t at = j + i + k * sum_count;
                    w[k] = at < n ? weighted_in_columns(x + at * x_stride, b + at * b_stride, left) : missing;
                }
                s[i] = weighted_add(s[i], w, scale, m.second, unit, SMX_COLUMNS, 1, &lead);
            }
            for (int i = 0; !is_few(j / sum_count + IN_STEP) && i < sum_count; i++)
                s[i] = weighted_sum_settle(s[i]);
        }
        for (int i = 0; i < sum_count; i++)
            total[i] = weighted_sum_settle(s[i]).total;
        ADD_PAIRWISE(sum_add_sum, total, sum_count);
        weighted_store(tile, partial, row, m, total[0], lead);
    }
}
