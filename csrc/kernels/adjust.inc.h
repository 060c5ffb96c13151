/* What a tile may need beside its operation: the shift subtracted from its input, the NaNs of its output made one. */

SMX_INLINE void less_constant(const terms *of, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH y[k] = v_sub(of[k].v[0], of[k].c[0]);
}
SMX_INLINE void settled(const terms *of, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH y[k] = one_nan(of[k].v[0]);
}

static void subtract(const smx_tile *tile, const void *shift) {
    const smx_view *const from[1] = {&tile->in[0]};
    apply(tile, &tile->in[0], from, 1, shift, 1, less_constant);
}

static void settle_nans(const smx_tile *tile) {
    const smx_view *const from[1] = {&tile->out};
    apply(tile, &tile->out, from, 1, NULL, 0, settled);
}
