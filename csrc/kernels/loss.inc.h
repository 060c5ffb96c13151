/* The finish of cross-entropy: the loss of a row from its sums (op_loss.inc.h says what they are), and the constants of
   its gradient. Exponents are kept apart, so that no product of targets, weights and divisor goes out of range where
   the result does not. */

/* LOSS_POST: the gradient is written 2^-LOSS_POST times too large, and multiplied by that at the end. A target has
   either a label or a factor of q. */
enum {
    LOSS,
    LOSS_EXPONENT,
    LOSS_SOFTMAX,
    LOSS_SPREAD = LOSS_SOFTMAX + SOFTMAX_CONSTANTS,
    LOSS_KEEP,
    LOSS_LABEL = LOSS_KEEP,
    LOSS_POST
};
_Static_assert((int)LOSS_POST < (int)SMX_SHIFT, "the constants of a loss are as many");

/* ---- the constants of a row ------------------------------------------------------------------------------------- */

SMX_INLINE pair pair_times(pair a, pair b) {
    pair product = two_product(a.high, b.high);
    product.low = v_fma(a.high, b.low, v_fma(a.low, b.high, product.low));
    return product;
}

/* A sum times a number. If the sum is infinite, so is the product; else it is renormalized. */
SMX_INLINE pair sum_times(pair s, vec by) {
    const pair product = pair_times(s, pair_of(by, v_set1(0)));
    pair sum = sum_renormalize(product);
    sum.high = v_select_le(sum.high, sum.high, sum.high, product.high);
    return sum;
}

/* True if a row does not count. */
SMX_INLINE int is_ignored(const smx_tile *tile, int row) {
    return (tile->label && tile->label[row] < 0) || (tile->scale && ((const real *)tile->scale)[row] < 0);
}
SMX_INLINE int has_ignored(const smx_tile *tile) {
    int64_t all = 0;
    int any = 0;
    for (int row = 0; tile->label && row < tile->rows; row++)
        all |= tile->label[row];
    for (int row = 0; tile->scale && row < tile->rows; row++)
        any |= ((const real *)tile->scale)[row] < 0;
    return all < 0 || any;
}

/* If the second largest element is so far below the maximum that log(1 + z) may be subnormal, and S is as small beside
   T, both are computed 2^LIFT times too large. Then log(1 + z) is z. Beside a larger S, what log(1 + z) loses is
   negligible. */
#define LIFT (REAL_BITS == 32 ? 192 : 1536)
#define LIFT_BELOW (REAL_BITS == 32 ? -100 : -900)
#define LIFT_UP_TO v_set1((real)(REAL_BITS == 32 ? 0x1p-100 : 0x1p-900))

/* The exponent of T / divisor is part of the factor of the exponentials if it is in this range, else applied at the
   end. Below the range, the factor or its product with an exponential might be subnormal. */
#define LEAST_EXPONENT (REAL_BITS == 32 ? -24 : -643)
#define LARGEST_EXPONENT (REAL_BITS == 32 ? 90 : 970)

/* An even number near the exponent of a sum of targets, one that leaves constants of the row room; 0 if the sum is of
   ordinary size. An exponential that counts as 0 is below any number even if it is multiplied by 256, but not if by
   more. */
#define LEAST_ORDINARY ((real)(REAL_BITS == 32 ? 0x1p-30 : 0x1p-200))
#define MOST_ORDINARY 256
SMX_INLINE vec even_exponent(vec t) {
    const vec size = v_abs(t), zero = v_set1(0), least = v_set1(LEAST_ORDINARY), largest = v_set1(MOST_ORDINARY);
    if (v_all_le(least, size) && v_all_le(size, largest))
        return zero;
    const vec half = v_rounded(v_mul(apart_of(v_min(size, HUGEST)).exponent, v_set1((real)0.5)));
    const vec limit = v_set1(BIAS / 2 - 12);
    const vec even = v_mul(v_max(v_sub(zero, limit), v_min(limit, half)), v_set1(2));
    return v_select_le(least, size, v_select_le(size, largest, zero, even), even);
}

/* How T / divisor = weight 2^exponent is taken apart: power is part of the factor of the exponentials, raise is how many
   binades their floor is lower by, enlarged is what the exponentials themselves are larger by, post is left for the end,
   and `others` is what the row's other targets are multiplied by. So exponentials are not 0 where their product with T
   counts; those that reduce has saved (alone) cannot be raised. MOST_ENLARGED keeps the largest exponential finite, and
   the exponent field at the lowest floor is 0. Beyond MOST_RAISED, floats have to be done in double. So have targets
   that are multiplied by so much that subnormal ones would count. Finish marks such rows as SMX_OUT_OF_REACH, and the
   package does them in double. */
#define MOST_RAISED (REAL_BITS == 32 ? 90 : 900)
#define MOST_ENLARGED (REAL_BITS == 32 ? 54 : 644)
_Static_assert(HEADROOM + MOST_ENLARGED + 2 < BIAS, "the largest exponential is finite");
_Static_assert(BIAS + HEADROOM + MOST_ENLARGED - REACH - MOST_RAISED >= 0, "the field at the floor is not negative");
#define REACH_ALONE (REAL_BITS == 32 ? 20 : 900)

typedef struct {
    vec power, raise, enlarged, post;
    two_powers others;
} row_powers;

SMX_INLINE row_powers row_powers_of(vec t_exponent, vec exponent, int alone) {
    const vec zero = v_set1(0), whole = v_add(t_exponent, exponent);
    const vec not_less = v_select_le(v_set1(LEAST_EXPONENT), whole, zero, whole);
    row_powers powers;
    const vec limit = v_set1(LARGEST_EXPONENT);
    powers.post = v_select_le(whole, limit, not_less, v_sub(whole, limit));
    const vec in_factor = v_sub(whole, powers.post), most = v_set1(MOST_RAISED), half = v_set1((real)0.5);
    const vec raise = v_rounded(v_mul(v_max(zero, v_min(most, in_factor)), half));
    powers.raise = alone ? zero : v_add(raise, raise); /* even, as references are */
    powers.enlarged = v_min(powers.raise, v_set1(MOST_ENLARGED));
    powers.power = bounded_power(v_sub(in_factor, powers.enlarged));
    powers.others = two_powers_of(v_sub(exponent, powers.post));
    return powers;
}

/* s / T; where that may be too large, exponent is added to, and the sum of the targets is scaled instead. */
SMX_INLINE void divide_by_temperature(target_sums *sums, const exp_temperature *t, vec *exponent) {
    const apart inverse = apart_of(v_set1(t->inverse));
    const vec zero = v_set1(0), low = scaled_by(v_set1(t->inverse_low), v_sub(zero, inverse.exponent));
    const pair s = pair_times(sums->s, pair_of(inverse.fraction, low));
    const vec size = v_add(apart_of(v_min(v_abs(s.high), HUGEST)).exponent, inverse.exponent);
    const vec here = v_select_le(size, v_set1(BIAS - 2), inverse.exponent, zero), later = v_sub(inverse.exponent, here);
    sums->s = pair_of(scaled_by(s.high, here), scaled_by(s.low, here));
    sums->t = pair_of(scaled_by(sums->t.high, v_sub(zero, later)), scaled_by(sums->t.low, v_sub(zero, later)));
    *exponent = v_add(*exponent, later);
}

/* S / temperature + T log(1 + z); exponent is added to. */
SMX_INLINE vec loss_of(target_sums sums, const exp_total *total, pair logarithm, const exp_temperature *t,
                       vec *exponent) {
    if (!is_1(t))
        divide_by_temperature(&sums, t, exponent);
    const vec max_reference = exp_reference(total->m.first, t), below = v_sub(total->reference, max_reference);
    if (!v_all_le(v_set1(LIFT_BELOW), below)) {
        const vec t_size = v_max(v_set1(1), v_abs(sums.t.high)), t_down = v_sub(v_set1(0), even_exponent(t_size));
        const vec zero = v_set1(0),
                  lift = v_select_le(v_set1(LIFT_BELOW), below, zero,
                                     v_select_le(sums.s.high, v_mul(LIFT_UP_TO, t_size), v_set1(LIFT), zero));
        const pair divisor = exp_divisor(total->m.first, exp_scale_of(max_reference, t));
        const pair z = pair_scaled(quotient(total->s, divisor), v_add(below, lift));
        const vec t_scale = v_select_le(lift, zero, zero, t_down); /* a large T and its S would be too large */
        const pair s = pair_scaled(sums.s, v_add(lift, t_scale));
        sums.t = pair_scaled(sums.t, t_scale);
        logarithm.high = v_select_le(lift, zero, logarithm.high, z.high);
        logarithm.low = v_select_le(lift, zero, logarithm.low, z.low);
        sums.s.high = v_select_le(lift, zero, sums.s.high, s.high);
        sums.s.low = v_select_le(lift, zero, sums.s.low, s.low);
        *exponent = v_sub(*exponent, v_add(lift, t_scale));
    }
    pair loss = sum_add_product(sums.s, sums.t.high, logarithm.high);
    loss.low = v_fma(sums.t.high, logarithm.low, v_fma(sums.t.low, logarithm.high, loss.low));
    /* If S or the loss is infinite, the part that the roundings lost is NaN. */
    const vec rounded = rounded_at_powers(loss);
    const vec plain = v_fma(sums.t.high, logarithm.high, sums.s.high);
    return v_select_le(rounded, rounded, rounded, plain);
}

/* value 2^exponent: as a number, if that is well within range; else as a number and an exponent in SMX_LOSS_UNITs,
   which is stored. Returns SMX_SCALED if there are such. */
SMX_INLINE int store_loss(vec value, vec exponent, real *constant) {
    const vec zero = v_set1(0), size = v_abs(value);
    if (v_all_le(v_abs(exponent), zero)) {
        v_store(constant + LOSS * SMX_TILE_ROWS, value);
        v_store(constant + LOSS_EXPONENT * SMX_TILE_ROWS, zero);
        return 0;
    }
    const apart parts = apart_of(v_min(size, HUGEST));
    const vec reach = v_abs(v_add(parts.exponent, exponent));
    const vec units = v_rounded(v_mul(exponent, v_set1((real)1 / SMX_LOSS_UNIT)));
    vec left = v_select_le(reach, v_set1(BIAS - 8), zero, units);
    left = v_select_le(size, zero, zero, v_select_le(size, HUGEST, left, zero)); /* neither 0 nor infinite nor NaN */
    const vec applied = v_sub(exponent, v_mul(left, v_set1(SMX_LOSS_UNIT)));
    v_store(constant + LOSS * SMX_TILE_ROWS, v_select_le(size, HUGEST, scaled_by(value, applied), value));
    v_store(constant + LOSS_EXPONENT * SMX_TILE_ROWS, left);
    return v_all_le(v_abs(left), zero) ? 0 : SMX_SCALED;
}

/* What a row's targets are multiplied by. */
SMX_INLINE apart row_scale_of(const smx_tile *tile, int row) {
    const apart one = {v_set1(1), v_set1(0)};
    return tile->scale ? apart_of(v_load_first((const real *)tile->scale + row, tile->rows - row, v_set1(0))) : one;
}

/* Most factors are 1. Of missing rows they are 0. */
SMX_INLINE apart factor_apart_of(vec factor, int alone) {
    const apart whole = {factor, v_set1(0)};
    return alone && !v_all_le(v_abs(v_mul(factor, v_sub(factor, v_set1(1)))), v_set1(0)) ? apart_of(factor) : whole;
}

/* 1 / divisor of a loss, as a sum of two numbers and a power of two. */
typedef struct {
    vec high, low;
    double divisor; /* from 1 to 2 */
    int exponent; /* of the divisor */
} mean_factor;

SMX_INLINE mean_factor mean_factor_of(const smx_targets *targets) {
    mean_factor m;
    m.divisor = 2 * frexp(targets->divisor, &m.exponent);
    m.exponent += targets->divisor_exponent - 1;
    const double inverse = 1 / m.divisor;
    const double inverse_low = -DOUBLE_FMA(inverse, m.divisor, -1) / m.divisor;
    m.high = v_set1((real)inverse);
    m.low = v_set1((real)((inverse - (double)(real)inverse) + inverse_low));
    return m;
}

/* Stores the constants of a row's exponentials in the gradient; weight power is what their sum is to become. Returns
   their factor without that power. */
SMX_INLINE vec store_gradient_factor(const exp_total *total, pair weight, const row_powers *powers,
                                     const exp_temperature *t, real *softmax) {
    const vec zero = v_set1(0), max_reference = exp_reference(total->m.first, t);
    const exp_scale raised = exp_scale_of(v_sub(max_reference, powers->raise), t);
    const exp_scale enlarged = exp_scale_of(v_sub(max_reference, powers->enlarged), t);
    const pair sum = sum_with_maximum(*total, max_reference, t);
    /* weight / sum = factor (1 + rest): one Newton step improves the quotient, which is rounded to fewer bits. */
    const vec factor = exp_factor(v_div(weight.high, sum.high));
    const vec lost = v_fnma(factor, sum.low, v_fnma(factor, sum.high, weight.high));
    const vec rest = v_div(v_add(lost, weight.low), weight.high);
    v_store(softmax + SOFTMAX_SCALE * SMX_TILE_ROWS,
            if_in_range(*total, t, v_mul(factor, powers->power), CANONICAL_NAN));
    const vec known = v_select_le(v_abs(weight.high), zero, zero, rest);
    v_store(softmax + SOFTMAX_REST * SMX_TILE_ROWS, known);
    v_store(softmax + SOFTMAX_FACTOR * SMX_TILE_ROWS, v_add(v_set1(1), known));
    v_store(softmax + SOFTMAX_ROUNDER * SMX_TILE_ROWS, enlarged.rounder);
    v_store(softmax + SOFTMAX_FLOOR * SMX_TILE_ROWS, raised.floor);
    return factor;
}

/* alone: the targets are the factors of labels alone, of which only the fractions were added up. */
SMX_APART int loss_finish_of(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift,
                             void *constants, int alone) {
    const exp_temperature *t = tile->temperature;
    const smx_targets *targets = tile->targets;
    const int rows = tile->rows;
    const mean_factor mean = mean_factor_of(targets);
    const vec zero = v_set1(0);
    const vec mean_exponent = v_set1((real)(targets->exponent - mean.exponent));
    const row_powers ordinary = row_powers_of(zero, mean_exponent, alone);
    tile_logarithms logs;
    int flags = 0;
    log_over_maximum(&logs, tile, pieces, partials, NULL); /* the shift matters to initial terms alone */
    for (int row = 0; row < rows; row += LANES) {
        real *constant = (real *)constants + row, *softmax = constant + LOSS_SOFTMAX * SMX_TILE_ROWS;
        const exp_total total = logs.total[row / LANES];
        const vec label_factor = tile->label ? v_load_first((const real *)tile->factor + row, rows - row, zero) : zero;
        const apart scale = row_scale_of(tile, row), factor_apart = factor_apart_of(label_factor, alone);
        const vec scale_exponent = alone ? v_add(scale.exponent, factor_apart.exponent) : scale.exponent;
        target_sums sums = target_combine(partials, pieces, rows, shift, row, total.m.first);
        if (tile->scale) {
            sums.s = sum_times(sums.s, scale.fraction);
            sums.t = sum_times(sums.t, scale.fraction);
        }
        vec exponent = v_add(scale_exponent, v_set1((real)targets->exponent));
        const vec loss = loss_of(sums, &total, logs.logarithm[row / LANES], t, &exponent);
        flags |= store_loss(canonical_nan(if_in_range(total, t, loss, CANONICAL_NAN)), exponent, constant);

        /* T / divisor = weight 2^exponent. The exponent is part of the factor, or left for the end. */
        const vec t_exponent = alone ? zero : even_exponent(sums.t.high);
        const pair t_apart = alone ? sums.t : pair_scaled(sums.t, v_sub(zero, t_exponent));
        row_powers powers = ordinary;
        if (!v_all_le(v_add(v_abs(scale_exponent), v_abs(t_exponent)), zero))
            powers = row_powers_of(t_exponent, v_add(scale_exponent, mean_exponent), alone);

        if (REAL_BITS == 32) {
            const vec reach = v_set1(alone ? REACH_ALONE : MOST_RAISED), beside = v_add(scale_exponent, mean_exponent);
            const vec whole = v_sub(v_add(t_exponent, beside), reach);
            const vec beyond = alone ? whole : v_max(whole, v_sub(beside, v_set1(FRACTION_BITS)));
            if (!v_all_le(beyond, zero)) {
                real *left = constant + LOSS_EXPONENT * SMX_TILE_ROWS;
                v_store(left, v_select_le(beyond, zero, v_load(left), v_set1(SMX_OUT_OF_REACH)));
                flags |= SMX_SCALED;
            }
        }

        const pair weight = pair_times(t_apart, pair_of(mean.high, mean.low));
        const vec factor = store_gradient_factor(&total, weight, &powers, t, softmax);
        int are_finite = v_all_le(v_abs(factor), HUGEST); /* the targets, and what they are multiplied by */
        const vec share = v_mul(scale.fraction, mean.high), share_low = v_mul(scale.fraction, mean.low);
        if (tile->label) {
            const vec target = alone ? factor_apart.fraction : label_factor;
            const vec value = v_fma(target, share, v_mul(target, share_low));
            v_store(constant + LOSS_LABEL * SMX_TILE_ROWS, scaled_twice(value, powers.others));
        } else {
            const vec value = v_mul(scale.fraction, v_set1((real)(targets->keep / mean.divisor)));
            const vec keep = scaled_twice(value, powers.others);
            v_store(constant + LOSS_KEEP * SMX_TILE_ROWS, keep);
            are_finite &= v_all_le(keep, HUGEST);
        }
        if (!alone) {
            vec value = v_mul(scale.fraction, v_set1((real)(targets->spread / mean.divisor)));
            if (tile->spread)
                value = v_mul(v_load_first((const real *)tile->spread + row, rows - row, zero), share);
            const vec spread = scaled_twice(value, powers.others);
            v_store(constant + LOSS_SPREAD * SMX_TILE_ROWS, spread);
            are_finite &= v_all_le(spread, HUGEST);
        }
        v_store(constant + LOSS_POST * SMX_TILE_ROWS, powers.post);
        flags |= exp_flags(total, rows - row, t, constant + SMX_SHIFT * SMX_TILE_ROWS);
        if (!are_finite)
            flags |= SMX_NOT_FINITE;
    }
    if (has_ignored(tile))
        for (int row = 0; row < rows; row++)
            if (is_ignored(tile, row))
                ((real *)constants)[LOSS * SMX_TILE_ROWS + row] =
                    ((real *)constants)[LOSS_EXPONENT * SMX_TILE_ROWS + row] = 0;
    return flags;
}
