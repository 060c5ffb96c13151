/* `initial`, a number for each row: exp(initial) is added to the row's sum of exponentials, and to nothing else. It is
   a term like those of the elements, but it is not divided by T, and no result belongs to it.

   The scale of the terms has to fit the initial term, too, so it takes part in the reference of its row from the start
   (reference_of). Its exponential is made by the constants of temperature 1. In rows that are shifted it is shifted as
   well: shift / T is subtracted. The two may be huge and nearly equal, so 1 / T has three parts here. */

typedef struct {
    vec value; /* as it was given; -inf if there is none */
    pair exponent; /* value - shift / T */
    vec reference; /* the lowest one if there is none */
} initial_term;

/* The reference of rows without an initial term. */
SMX_INLINE vec no_initial_reference(void) { return v_set1(-2 * LARGE); }

/* The initial terms of LANES rows. shift: NULL, or what was subtracted from the rows of the tile. */
SMX_INLINE initial_term initial_of(const smx_tile *tile, int row, const real *shift, const exp_temperature *t) {
    const vec zero = v_set1(0);
    initial_term initial = {MINUS_INFINITY, {MINUS_INFINITY, zero}, no_initial_reference()};
    if (!tile->initial)
        return initial;
    initial.value = v_load_first((const real *)tile->initial + row, tile->rows - row, MINUS_INFINITY);
    initial.exponent.high = initial.value;
    if (shift) {
        const vec by = v_sub(zero, v_load(shift + row));
        const pair quotient = two_product(by, v_set1(t->inverse));
        const vec infinite = v_add(initial.value, quotient.high);
        pair exponent = sum_add(two_sum(initial.value, quotient.high), quotient.low);
        exponent = sum_add_product(exponent, by, v_set1(t->inverse_low));
        exponent.low = v_fma(by, v_set1(t->inverse_lowest), exponent.low);
        exponent = sum_renormalize(exponent);
        /* what was lost in an infinite sum is NaN */
        initial.exponent.high = v_select_le(v_abs(infinite), HUGEST, exponent.high, infinite);
        initial.exponent.low = v_select_le(v_abs(infinite), HUGEST, exponent.low, zero);
    }
    initial.reference = exp_reference(initial.exponent.high, &no_temperature);
    return initial;
}

/* The same beside a maximum that is known. In rows of which all elements are -inf, the initial term is all there is.
   Its exponent may be any number then, and 0 is in the range of exp. */
SMX_INLINE initial_term initial_beside(const smx_tile *tile, int row, const real *shift, vec maximum,
                                       const exp_temperature *t) {
    const vec zero = v_set1(0);
    initial_term initial = initial_of(tile, row, shift, t);
    if (!tile->initial)
        return initial;
    initial.exponent.high = v_select_le(maximum, MINUS_INFINITY, zero, initial.exponent.high);
    initial.exponent.low = v_select_le(maximum, MINUS_INFINITY, zero, initial.exponent.low);
    initial.reference = v_select_le(maximum, MINUS_INFINITY, zero, initial.reference);
    return initial;
}

/* exp(initial) on the scale of a reference. Beyond LARGE it is too large for every other term of its row to matter, or
   too small to matter itself. */
SMX_INLINE pair initial_exponential(initial_term initial, vec reference) {
    const vec bounded = v_min(initial.exponent.high, v_set1(LARGE));
    pair e = exp_divisor(bounded, exp_scale_of(reference, &no_temperature));
    const vec low = v_select_le(v_abs(initial.exponent.high), v_set1(LARGE), initial.exponent.low, v_set1(0));
    e.low = v_fma(v_add(e.high, e.low), low, e.low);
    return e;
}
