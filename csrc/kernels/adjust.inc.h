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

/* Writes the formula of one input to `to`, in either layout. */
SMX_INLINE void adjust(const smx_tile *tile, const smx_view *to, const void *constants, int constant_count, formula f) {
    if (tile->layout == SMX_ROWS)
        apply_to_rows(tile, to, &to, 1, SMX_REAL, constants, constant_count, SMX_REAL, 0, NO_MASK, 0, f);
    else
        apply_to_columns(tile, to, &to, 1, SMX_REAL, constants, constant_count, SMX_REAL, 0, NO_MASK, f);
}

static void subtract(const smx_tile *tile, const void *shift) { adjust(tile, &tile->in[0], shift, 1, minus_constant); }

static void canonicalize_nans(const smx_tile *tile) { adjust(tile, &tile->out, NULL, 0, canonical_nan_of); }
