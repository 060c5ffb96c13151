/* What a tile may need beside its operation: subtract takes the shift off the input, and canonicalize_nans gives every
   NaN of the output the same bits. */

SMX_INLINE void minus_constant(const terms *term, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH y[k] = v_sub(term[k].v[0], term[k].c[0]);
}
SMX_INLINE void canonical_nan_of(const terms *term, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH y[k] = canonical_nan(term[k].v[0]);
}

/* Writes the formula of one view to that view, in either layout. */
SMX_INLINE void adjust(const smx_tile *tile, const smx_view *view, const void *constants, int constant_count,
                       formula f) {
    const write_spec spec = {view, {view}, 1, constant_count, 0, f};
    const write_mode plain = mode_of(SMX_REAL, SMX_REAL, NO_MASK, 0);
    if (tile->layout == SMX_ROWS)
        apply_to_rows(tile, &spec, constants, plain, 0);
    else
        apply_to_columns(tile, &spec, constants, plain);
}

static void subtract(const smx_tile *tile, const void *shift) { adjust(tile, &tile->in[0], shift, 1, minus_constant); }

static void canonicalize_nans(const smx_tile *tile) { adjust(tile, &tile->out, NULL, 0, canonical_nan_of); }
