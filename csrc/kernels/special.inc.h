/* Infinities and NaNs: their values, tests for them, and the one NaN that results may hold. */

#define HUGEST v_set1((real)(REAL_BITS == 32 ? FLT_MAX : DBL_MAX))
#define MINUS_INFINITY v_set1(-(real)INFINITY)
#define EVERY_NAN v_set1(real_from_bits(QUIET_NAN))

SMX_INLINE vec v_abs(vec a) { return v_max(a, v_sub(v_set1(0), a)); }

/* Which operand's NaN an operation returns, and the sign of a new one, differ between processors and compilers. */
SMX_INLINE vec one_nan(vec a) { return v_select_le(a, a, a, EVERY_NAN); }

/* Rows whose maximum is infinite are not summed up, so NaNs there have to be looked for. 1 in the lanes that hold one, else
   0 (not NaN itself, which GCC 12 loses from such a loop of one lane): in a row, and in LANES of them side by side. */
static vec nans_of_row(const real *x, ptrdiff_t n) {
    vec found = v_set1(0);
    for (ptrdiff_t j = 0; j < n; j += LANES) {
        const vec v = v_load_first(x + j, n - j, v_set1(0));
        found = v_select_le(v, v, found, v_set1(1));
    }
    return found;
}
static vec nans_of_columns(const real *x, ptrdiff_t step, ptrdiff_t n, ptrdiff_t left) {
    vec found = v_set1(0);
    for (ptrdiff_t j = 0; j < n; j++) {
        const vec v = v_load_first(x + j * step, left, v_set1(0));
        found = v_select_le(v, v, found, v_set1(1));
    }
    return found;
}
