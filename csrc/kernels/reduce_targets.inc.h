/* The loops of a reduce that adds up targets, for cross-entropy: T, the sum of a row's targets t_j, and
   S = sum t_j (max - x_j).

   S of a piece is relative to the maximum of the piece; target_combine makes it relative to the maximum of the row. S
   is in units of x: finish divides it by the temperature. The targets of labels are looked up row by row. The three
   losses differ in which other targets there are. */

/* ---- numbers with their exponents apart ------------------------------------------------------------------------- */

#define TINY_NORMAL v_set1((real)(REAL_BITS == 32 ? FLT_MIN : DBL_MIN))

/* The nearest integers. */
SMX_INLINE vec v_rounded(vec a) { return v_sub(v_add(a, v_set1(ROUNDER)), v_set1(ROUNDER)); }

/* 2^k for any integer k: where that is out of range, the nearest normal power. */
SMX_INLINE vec bounded_power(vec k) { return power_of_two(v_max(v_set1(1 - BIAS), v_min(v_set1(BIAS), k))); }

/* a 2^exponent, in two steps of which the second may round. It is right for any integer exponent if a is between
   2^-BIAS/2 and 2^BIAS/2. */
typedef struct {
    vec first, second;
} two_powers;

SMX_INLINE two_powers two_powers_of(vec exponent) {
    const vec half = v_rounded(v_mul(exponent, v_set1((real)0.5)));
    const two_powers powers = {bounded_power(half), bounded_power(v_sub(exponent, half))};
    return powers;
}
SMX_INLINE vec scaled_twice(vec a, two_powers powers) { return v_mul(v_mul(a, powers.first), powers.second); }
SMX_INLINE vec scaled_by(vec a, vec exponent) { return scaled_twice(a, two_powers_of(exponent)); }

/* A number that is not negative, as fraction 2^exponent; 0 has the fraction 0, any other one in [1, 2). */
typedef struct {
    vec fraction, exponent;
} apart;

SMX_INLINE apart apart_of(vec a) {
    const vec lift = v_set1(FRACTION_BITS + 1), zero = v_set1(0);
    const vec is_normal = v_select_le(TINY_NORMAL, a, v_set1(1), zero);
    const vec number = v_select_le(v_set1(1), is_normal, a, v_mul(a, v_set1((real)((real_bits)2 << FRACTION_BITS))));
    const vec exponent =
        v_sub(v_sub(v_exponent_field(number), v_set1(BIAS)), v_select_le(v_set1(1), is_normal, zero, lift));
    const apart parts = {v_select_le(a, zero, zero, v_significand(number)), v_select_le(a, zero, zero, exponent)};
    return parts;
}

/* ---- sums over targets ------------------------------------------------------------------------------------------ */

typedef struct {
    pair t, s;
} target_sums;

SMX_INLINE target_sums target_begin(void) {
    const pair zero = pair_of(v_set1(0), v_set1(0));
    const target_sums none = {zero, zero};
    return none;
}

/* v holds x, weight and, if there are three inputs, q. Zeros add nothing. */
SMX_INLINE target_sums target_add(target_sums sums, const vec v[SMX_MAX_INPUTS], int inputs, vec keep, vec spread,
                                  vec maximum) {
    const vec zero = v_set1(0);
    const vec share = inputs > 2 ? v_fma(keep, v[2], spread) : spread;
    const vec target = v_mul(v[1], share);
    const vec gap = v_select_le(v_abs(target), zero, zero, v_sub(maximum, v[0]));
    sums.t = sum_add_product(sums.t, v[1], share);
    sums.s = sum_add_product(sums.s, target, gap);
    return sums;
}

SMX_INLINE target_sums target_add_sums(target_sums a, target_sums b) {
    a.t = sum_add_sum(a.t, b.t);
    a.s = sum_add_sum(a.s, b.s);
    return a;
}

/* The partial of a piece: first that of the exponentials, then T, then S. */
enum { PARTIAL_T = 4, PARTIAL_S = 6 };

/* What a piece's S is relative to: its largest element, which is finite here even if all elements are -inf. The maximum
   of a row that is shifted is 0, and x was rounded when it was shifted. So S of a shifted row is relative to 0, and no
   difference is rounded a second time. shift: NULL, or what was subtracted from the rows. */
SMX_INLINE vec target_reference(vec first, const real *shift, int row) {
    const vec zero = v_set1(0), finite = v_max(v_sub(zero, HUGEST), first);
    return shift ? v_select_le(v_abs(v_load(shift + row)), zero, finite, zero) : finite;
}
/* The same for rows from `row` on, from what their piece has left. */
SMX_INLINE vec target_reference_of(const real *partial, int rows, const real *shift, int row) {
    return target_reference(v_load(partial + partial_at(0, rows, row)), shift, row);
}

SMX_INLINE void target_reduce_rows(const smx_tile *tile, real *partial, int inputs) {
    const int rows = tile->rows;
    const ptrdiff_t n = tile->n;
    const real *spreads = tile->spread;
    const vec keep = v_set1((real)tile->targets->keep), zero = v_set1(0);
    vec t_high = zero, t_low = zero, s_high = zero, s_low = zero;
    real references[SMX_TILE_ROWS];
    for (int row = 0; row < rows; row += LANES)
        v_store(references + row, target_reference_of(partial, rows, tile->again, row));
    for (int row = 0; row < rows; row++) {
        const vec maximum = v_set1(references[row]);
        const vec spread = v_set1(spreads ? spreads[row] : (real)tile->targets->spread);
        const real *in[SMX_MAX_INPUTS];
        for (int k = 0; k < inputs; k++)
            in[k] = row_of(&tile->in[k], row);
        target_sums sums[GROUPS];
        vec v[SMX_MAX_INPUTS];
        for (int g = 0; g < GROUPS; g++)
            sums[g] = target_begin();
        ptrdiff_t i = 0;
        for (; i + SUMS <= n; i += SUMS)
            for (int g = 0; g < GROUPS; g++) {
                for (int k = 0; k < inputs; k++)
                    v[k] = v_load(in[k] + i + g * LANES);
                sums[g] = target_add(sums[g], v, inputs, keep, spread, maximum);
            }
        for (int g = 0; i < n; i += LANES, g++) {
            for (int k = 0; k < inputs; k++)
                v[k] = v_load_first(in[k] + i, n - i, zero);
            sums[g] = target_add(sums[g], v, inputs, keep, spread, maximum);
        }
        ADD_PAIRWISE(target_add_sums, sums, GROUPS);
        const pair t = sum_lanes(sums[0].t), s = sum_lanes(sums[0].s);
        put_row(partial, PARTIAL_T, rows, row, &t_high, t.high);
        put_row(partial, PARTIAL_T + 1, rows, row, &t_low, t.low);
        put_row(partial, PARTIAL_S, rows, row, &s_high, s.high);
        put_row(partial, PARTIAL_S + 1, rows, row, &s_low, s.low);
    }
}

SMX_INLINE void target_reduce_columns(const smx_tile *tile, real *partial, int sum_count, int inputs) {
    const int rows = tile->rows;
    const real *spreads = tile->spread;
    const vec keep = v_set1((real)tile->targets->keep), zero = v_set1(0);
    for (int row = 0; row < rows; row += LANES) {
        const vec maximum = target_reference_of(partial, rows, tile->again, row);
        const vec spread =
            spreads ? v_load_first(spreads + row, rows - row, zero) : v_set1((real)tile->targets->spread);
        target_sums sums[SUMS];
        for (int i = 0; i < sum_count; i++)
            sums[i] = target_begin();
        for (ptrdiff_t j = 0; j < tile->n; j += sum_count)
            for (int i = 0; i < sum_count && j + i < tile->n; i++) {
                vec v[SMX_MAX_INPUTS];
                for (int k = 0; k < inputs; k++)
                    v[k] = v_load(row_of(&tile->in[k], row) + (j + i) * tile->in[k].element_stride);
                sums[i] = target_add(sums[i], v, inputs, keep, spread, maximum);
            }
        ADD_PAIRWISE(target_add_sums, sums, sum_count);
        store_pair(partial, PARTIAL_T, rows, row, sums[0].t);
        store_pair(partial, PARTIAL_S, rows, row, sums[0].s);
    }
}

SMX_INLINE void target_reduce(const smx_tile *tile, real *partial, enum smx_walk walk, int inputs) {
    if (walk == SMX_WALK_ROWS)
        target_reduce_rows(tile, partial, inputs);
    else
        target_reduce_columns(tile, partial, walk == SMX_WALK_SHORT_COLUMNS ? 1 : SUMS, inputs);
}

/* The logit and the target of each row's label. The target is 0 if the label is not in this piece. */
typedef struct {
    real x[SMX_TILE_ROWS], target[SMX_TILE_ROWS];
} labels;

SMX_INLINE void label_find(const smx_tile *tile, labels *found) {
    const int rows = tile->rows;
    const int64_t *label = tile->label, first = tile->piece_start, n = tile->n;
    const real *factor = tile->factor;
    const smx_view x = tile->in[0];
    for (int row = 0; row < rows; row++) {
        const int64_t at = label[row] - first;
        const int is_here = (uint64_t)at < (uint64_t)n;
        found->x[row] = row_of(&x, row)[(is_here ? at : 0) * x.element_stride];
        found->target[row] = is_here ? factor[row] : 0;
    }
    for (int row = rows; row % LANES != 0; row++)
        found->x[row] = found->target[row] = 0;
}

/* Adds the labels' targets to S and T. alone: there are no other targets; then it is their fractions that are added,
   and finish puts in the exponents. */
SMX_INLINE void label_reduce(const smx_tile *tile, const labels *found, real *partial, int alone) {
    const int rows = tile->rows;
    const vec zero = v_set1(0);
    for (int row = 0; row < rows; row += LANES) {
        const vec x = v_load(found->x + row), given = v_load(found->target + row);
        const int are_fractions = v_all_le(v_abs(v_mul(given, v_sub(given, v_set1(1)))), zero); /* all are 0 or 1 */
        const vec target = alone && !are_fractions ? apart_of(given).fraction : given;
        const vec maximum = target_reference_of(partial, rows, tile->again, row);
        const vec gap = v_select_le(v_abs(target), zero, zero, v_sub(maximum, x));
        pair t = pair_of(zero, zero), s = t;
        if (!alone) {
            t = read_sum(partial, PARTIAL_T, rows, row);
            s = read_sum(partial, PARTIAL_S, rows, row);
        }
        store_pair(partial, PARTIAL_T, rows, row, sum_add(t, target));
        store_pair(partial, PARTIAL_S, rows, row, sum_add_product(s, target, gap));
    }
}

/* S and T of the rows whose maximum is `maximum`. */
SMX_INLINE target_sums target_combine(const real *partials, ptrdiff_t pieces, int rows, const real *shift, int row,
                                      vec maximum) {
    target_sums total = target_begin();
    sum_of_pieces sum_t = sum_of_pieces_begin(), sum_s = sum_t;
    if (pieces == 1) {
        total.t = read_sum(partials, PARTIAL_T, rows, row);
        total.s = read_sum(partials, PARTIAL_S, rows, row);
    }
    for (ptrdiff_t i = 0; pieces > 1 && i < pieces; i++) {
        const real *partial = partials + i * partial_at(SMX_PARTIALS, rows, 0);
        const pair t = read_sum(partial, PARTIAL_T, rows, row);
        const vec gap = v_sub(maximum, target_reference_of(partial, rows, shift, row));
        sum_t.few = sum_add_sum(sum_t.few, t);
        sum_s.few = sum_add_sum(sum_s.few, read_sum(partial, PARTIAL_S, rows, row));
        sum_s.few = sum_add_product(sum_s.few, t.high, gap);
        sum_s.few.low = v_fma(t.low, gap, sum_s.few.low);
        sum_t = sum_of_pieces_next(sum_t, i, pieces);
        sum_s = sum_of_pieces_next(sum_s, i, pieces);
        total.t = sum_t.total;
        total.s = sum_s.total;
    }
    total.t = sum_renormalize(total.t);
    return total;
}
