/* As many doubles as a register has floats, in two registers, for sums of floats. The header of each level that has
   more than one lane includes this file; vec_scalar.h says what the operations mean. A level defines `doubles`, a
   register of half as many doubles, with doubles_zero, _add, _sub, _get and _put (doubles in memory), _lower and _upper
   (the halves of a vector of floats), and _sum (the sum of the lanes, upper half onto lower). */

typedef struct {
    doubles lower, upper;
} wide;

SMX_INLINE wide wide_of(doubles lower, doubles upper) {
    const wide w = {lower, upper};
    return w;
}
SMX_INLINE wide v_wide_zero(void) { return wide_of(doubles_zero(), doubles_zero()); }
SMX_INLINE wide v_wide_load(const double *p) { return wide_of(doubles_get(p), doubles_get(p + LANES / 2)); }
SMX_INLINE void v_wide_store(double *p, wide a) {
    doubles_put(p, a.lower);
    doubles_put(p + LANES / 2, a.upper);
}
SMX_INLINE wide v_wide_of(vec x) { return wide_of(doubles_lower(x), doubles_upper(x)); }
SMX_INLINE wide v_wide_add(wide a, wide b) {
    return wide_of(doubles_add(a.lower, b.lower), doubles_add(a.upper, b.upper));
}
SMX_INLINE wide v_wide_sub(wide s, vec x) {
    return wide_of(doubles_sub(s.lower, doubles_lower(x)), doubles_sub(s.upper, doubles_upper(x)));
}
SMX_INLINE double v_wide_sum(wide s) { return doubles_sum(doubles_add(s.lower, s.upper)); }
