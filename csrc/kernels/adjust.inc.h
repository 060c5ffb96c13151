/* What a tile may need beside its operation: the shift subtracted from its input, the NaNs of its output made one. */

SMX_INLINE void less_constant(const terms *of, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH y[k] = v_sub(of[k].v[0], of[k].c[0]);
}
SMX_INLINE void settled(const terms *of, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH y[k] = one_nan(of[k].v[0]);
}

/* to = the formula of one input, in either layout. */
SMX_INLINE void adjust(const smx_tile *tile, const smx_view *to, const void *constants, int constant_count, formula f) {
    if (tile->layout == SMX_ROWS)
        apply_to_rows(tile, to, &to, 1, SMX_REAL, constants, constant_count, SMX_REAL, 0, NO_MASK, 0, f);
    else
        apply_to_columns(tile, to, &to, 1, SMX_REAL, constants, constant_count, SMX_REAL, 0, NO_MASK, f);
}

static void subtract(const smx_tile *tile, const void *shift) { adjust(tile, &tile->in[0], shift, 1, less_constant); }

static void canonicalize_nans(const smx_tile *tile) { adjust(tile, &tile->out, NULL, 0, settled); }
