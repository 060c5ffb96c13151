/* Infinities and NaNs: their values, tests for them, and the canonical NaN, the only one that results may hold. */

#define HUGEST v_set1((real)(REAL_BITS == 32 ? FLT_MAX : DBL_MAX))
#define MINUS_INFINITY v_set1(-(real)INFINITY)
#define CANONICAL_NAN v_set1(real_from_bits(QUIET_NAN))

SMX_INLINE vec v_abs(vec a) { return v_max(a, v_sub(v_set1(0), a)); }

/* Replaces every NaN by the canonical one. Processors and compilers differ in which operand's NaN an operation returns,
   and in the sign of a new NaN. */
SMX_INLINE vec canonical_nan(vec a) { return v_select_le(a, a, a, CANONICAL_NAN); }

/* The lanes of the result are 1 where the row holds a NaN, else 0. Rows whose maximum is infinite are not summed up, so
   their NaNs have to be looked for. (The result is 1, not NaN itself, which GCC 12 loses from such a loop if there is
   one lane.) nans_of_row looks into one row, nans_of_columns into LANES rows side by side. */
static vec nans_of_row(const real *x, ptrdiff_t n) {
    vec nans = v_set1(0);
    for (ptrdiff_t j = 0; j < n; j += LANES) {
        const vec v = v_load_first(x + j, n - j, v_set1(0));
        nans = v_select_le(v, v, nans, v_set1(1));
    }
    return nans;
}
static vec nans_of_columns(const real *x, ptrdiff_t step, ptrdiff_t n, ptrdiff_t left) {
    vec nans = v_set1(0);
    for (ptrdiff_t j = 0; j < n; j++) {
        const vec v = v_load_first(x + j * step, left, v_set1(0));
        nans = v_select_le(v, v, nans, v_set1(1));
    }
    return nans;
}
