/* The loops of every write: they apply a formula to each element of a tile. */

/* n contiguous elements: a row, or up to LANES packed rows. Each lane of packed rows looks up the constants of its row.
   The row's number is that of the element, divided by the length of a row. */
typedef struct {
    const char *in[SMX_MAX_INPUTS];
    char *out;
    const unsigned char *mask;
    ptrdiff_t n;
    ptrdiff_t to_next; /* elements to the same place of the next tile, whose output is prefetched; 0: it is not */
} stretch;

/* Finds `count` rows of a tile from `row` on, or as many as are left. */
SMX_INLINE stretch stretch_of(const smx_tile *tile, const write_spec *spec, int row, int count, write_mode mode,
                              int packed) {
    const int left = tile->rows - row;
    stretch s;
    for (int k = 0; k < spec->inputs; k++)
        s.in[k] = (const char *)spec->from[k]->start + row * spec->from[k]->row_stride * size_of(mode.from);
    s.out = (char *)spec->to->start + row * spec->to->row_stride * size_of(mode.to);
    s.mask = mask_of(tile, row);
    s.n = (left < count ? left : count) * tile->n;
    s.to_next = packed && tile->next[0].start ? row_of(&tile->next[0], 0) - row_of(&tile->in[0], 0) : 0;
    return s;
}

/* For packed rows: the lanes' elements, and one row's part of a quotient by the row's length. */
typedef struct {
    vec first, reciprocal;
} row_numbers;
SMX_INLINE row_numbers row_numbers_of(ptrdiff_t row_length) {
    /* minus half a row, because the quotient is rounded to nearest */
    const row_numbers r = {v_add(v_load(lane_numbers), v_set1((1 - (real)row_length) / 2)),
                           v_set1(1 / (real)row_length)};
    return r;
}

/* Applies spec to a stretch. Hidden elements become 0. */
SMX_INLINE void apply_to_stretch(const write_spec *spec, stretch at, const vec *row_constants, write_mode mode,
                                 int packed, row_numbers numbers, const exp_temperature *t) {
    const ptrdiff_t from_size = size_of(mode.from), to_size = size_of(mode.to), n = at.n;
    vec y[IN_STEP];
    terms term[IN_STEP];
    char *out = at.out;
    for (int k = 0; k < spec->constant_count; k++)
        for (int s = 0; s < IN_STEP; s++)
            term[s].c[k] = row_constants[k];
    vec position = numbers.first;
    ptrdiff_t i = 0;
#define BY_TWOS(count) ((count) % 2 == 0 && !packed && mode.from == SMX_BFLOAT16 && mode.to == SMX_BFLOAT16)
#define VALUES(count, left)                                                                                            \
    for (int s = 0; s < (count); s++) {                                                                                \
        for (int k = 0; k < spec->inputs; k++)                                                                         \
            if (!BY_TWOS(count))                                                                                       \
                term[s].v[k] = load_stored(at.in[k] + (i + s * LANES) * from_size, left, mode.from);                   \
            else if (s % 2 == 0)                                                                                       \
                v_load_two_bfloat16(at.in[k] + (i + s * LANES) * from_size, &term[s].v[k], &term[s + 1].v[k]);         \
        if (packed) {                                                                                                  \
            const vec index = v_fma(position, numbers.reciprocal, v_set1(ROUNDER));                                    \
            for (int k = 0; k < spec->constant_count; k++)                                                             \
                term[s].c[k] = v_permute(row_constants[k], index);                                                     \
            position = v_add(position, v_set1(LANES));                                                                 \
        }                                                                                                              \
    }                                                                                                                  \
    spec->f(term, count, t, y);                                                                                        \
    for (int s = 0; s < (count); s++)                                                                                  \
    y[s] = visible_or_0(mask_at(at.mask, i + s * LANES, mode.masking), left, y[s], mode.masking)
#define WHOLE_VECTORS(count)                                                                                           \
    for (; i + (count) * LANES <= n; i += (count) * LANES) {                                                           \
        VALUES(count, LANES);                                                                                          \
        if (at.to_next && !mode.stream)                                                                                \
            prefetch(out + (i + at.to_next) * to_size, (count) * LANES * to_size);                                     \
        for (int s = 0; s < (count); s++)                                                                              \
            if (mode.stream)                                                                                           \
                v_stream((real *)out + i + s * LANES, y[s]);                                                           \
            else if (!BY_TWOS(count))                                                                                  \
                store_stored(out + (i + s * LANES) * to_size, LANES, y[s], mode.to);                                   \
            else if (s % 2 == 0)                                                                                       \
                v_store_two_bfloat16(out + (i + s * LANES) * to_size, y[s], y[s + 1]);                                 \
    }
    int aligns = is_plain(mode.from, mode.masking) && mode.to == SMX_REAL && !packed && n >= 16 * LANES;
    for (int k = 0; k < spec->inputs; k++)
        aligns &= ((uintptr_t)at.in[k] - (uintptr_t)out) % sizeof(vec) == 0;
    if ((mode.stream && !packed) || aligns) {
        /* Writes up to the first aligned vector: only aligned vectors are written past the cache, and a load across
           two cache lines runs at half the speed. */
        const ptrdiff_t to_aligned = (ptrdiff_t)(-(uintptr_t)out % sizeof(vec) / sizeof(real)),
                        head = to_aligned < n ? to_aligned : n;
        VALUES(1, head);
        v_store_first((real *)out, head, y[0]);
        i = head;
    }
    if (mode.masking == NO_MASK)
        WHOLE_VECTORS(IN_STEP)
    WHOLE_VECTORS(1)
    if (i < n) {
        VALUES(1, n - i);
        store_stored(out + i * to_size, n - i, y[0], mode.to);
    }
#undef WHOLE_VECTORS
#undef VALUES
#undef BY_TWOS
}

/* Applies spec to the rows of a tile. packed: the rows are packed, and have up to SMX_SHORT elements; LANES rows are
   then n whole vectors. */
SMX_INLINE void apply_to_rows(const smx_tile *tile, const write_spec *spec, const void *constants, write_mode mode,
                              int packed) {
    const int at_once = packed ? LANES : 1;
    /* A copy, because the compiler must assume that what is written to memory might be the original. */
    const exp_temperature copy = *(const exp_temperature *)tile->temperature, *t = &copy;
    const row_numbers numbers = row_numbers_of(tile->n);
    for (int row = 0; row < tile->rows; row += at_once) {
        vec row_constants[SMX_CONSTANTS];
        row_constants[0] = v_set1(0); /* some formulas take no constants */
        for (int k = 0; k < spec->constant_count; k++) {
            const real *constant = (const real *)constants + k * SMX_TILE_ROWS + row;
            row_constants[k] = packed ? v_load(constant) : v_set1(*constant);
        }
        apply_to_stretch(spec, stretch_of(tile, spec, row, at_once, mode, packed), row_constants, mode, packed, numbers,
                         t);
    }
}

/* Writes `strips` strips of LANES rows from `row` on. left: rows of the last strip, LANES or more if it is whole.
   Results of whole strips may go past the cache, if their addresses are aligned to a vector. */
SMX_INLINE void apply_to_strips(const smx_tile *tile, const write_spec *spec, const void *constants, write_mode mode,
                                int row, int strips, ptrdiff_t left) {
    const exp_temperature copy = *(const exp_temperature *)tile->temperature, *t = &copy;
    const ptrdiff_t n = tile->n, size = size_of(mode.from), to_size = size_of(mode.to);
    terms term[STRIPS];
    vec y[STRIPS];
    const char *in[SMX_MAX_INPUTS];
    ptrdiff_t step[SMX_MAX_INPUTS];
    for (int s = 0; s < strips; s++)
        for (int k = 0; k < spec->constant_count; k++)
            term[s].c[k] =
                load_stored((const char *)((const real *)constants + k * SMX_TILE_ROWS + row + s * LANES), left,
                            SMX_REAL); /* no constant stands behind the last row, or a row taken alone */
    for (int k = 0; k < spec->inputs; k++) {
        in[k] = (const char *)spec->from[k]->start + row * spec->from[k]->row_stride * size;
        step[k] = spec->from[k]->element_stride * size;
    }
    const unsigned char *mask = mask_of(tile, row);
    char *out = (char *)spec->to->start + row * spec->to->row_stride * to_size;
    for (ptrdiff_t j = 0; j < n; j++, out += spec->to->element_stride * to_size) {
        for (int s = 0; s < strips; s++)
            for (int k = 0; k < spec->inputs; k++)
                term[s].v[k] = load_stored(in[k] + j * step[k] + s * LANES * size, left, mode.from);
        spec->f(term, strips, t, y);
        for (int s = 0; s < strips; s++) {
            const ptrdiff_t lane = mode.masking == BY_LANE ? s * LANES : 0;
            const unsigned char *mask_bytes = mask_at(mask, j * tile->mask.element_stride + lane, mode.masking);
            if (mode.stream)
                v_stream((real *)out + s * LANES, y[s]);
            else
                store_stored(out + s * LANES * to_size, left, visible_or_0(mask_bytes, left, y[s], mode.masking),
                             mode.to);
        }
    }
}

SMX_INLINE void apply_to_columns(const smx_tile *tile, const write_spec *spec, const void *constants, write_mode mode) {
#define APPLY(strips, left, stream)                                                                                    \
    apply_to_strips(tile, spec, constants, mode_of(mode.from, mode.to, mode.masking, stream), row, strips, left)
    const int rows = tile->rows, is_real = is_plain(mode.from, mode.masking) && mode.to == SMX_REAL;
    int row = 0;
    if (is_real) {
        /* In long columns, a line may be far from the next, so several strips are written together: this goes from line
           to line less often. */
        for (; (mode.stream || !is_short(tile)) && row + STRIPS * LANES <= rows; row += STRIPS * LANES)
            APPLY(STRIPS, LANES, mode.stream);
        for (; mode.stream && row + CACHE_LINE_STRIPS * LANES <= rows; row += CACHE_LINE_STRIPS * LANES)
            APPLY(CACHE_LINE_STRIPS, LANES, 1);
        for (; !mode.stream && row + LANES <= rows; row += LANES)
            APPLY(1, LANES, 0);
    }
    for (; row < rows; row += LANES)
        APPLY(1, rows - row, 0);
#undef APPLY
}

/* The values of `count` columns from j on. */
SMX_INLINE void values_of_columns(const write_spec *spec, int row, ptrdiff_t j, int count, const vec *row_constants,
                                  const exp_temperature *t, vec *y) {
    terms term[IN_STEP];
    for (int s = 0; s < count; s++) {
        for (int k = 0; k < spec->constant_count; k++)
            term[s].c[k] = row_constants[k];
        for (int k = 0; k < spec->inputs; k++)
            term[s].v[k] = v_load(row_of(spec->from[k], row) + (j + s) * spec->from[k]->element_stride);
    }
    spec->f(term, count, t, y);
}

/* Writes columns of reals into rows, through registers. The last four elements of a row may include some that have been
   written before. */
SMX_INLINE void apply_into_rows(const write_spec *spec, int rows, ptrdiff_t n, int beyond_cache, const void *constants,
                                const exp_temperature *t) {
    const ptrdiff_t row_stride = spec->to->row_stride;
    for (int row = 0; row < rows; row += LANES) {
        real *out = (real *)spec->to->start + row * row_stride;
        vec column[4], constant[SMX_CONSTANTS];
        for (int k = 0; k < spec->constant_count; k++)
            constant[k] = v_load((const real *)constants + k * SMX_TILE_ROWS + row);
        if (beyond_cache)
            prefetch_rows(out + rows * row_stride, row_stride, n);
#define COLUMNS_FROM(j, count) values_of_columns(spec, row, j, count, constant, t, column)
        if (row + LANES <= rows && n >= 4) {
            for (ptrdiff_t j = 0; j < n; j += 4) {
                const ptrdiff_t here = j + 4 <= n ? j : n - 4;
                const real *at[LANES];
                COLUMNS_FROM(here, 4);
                find_rows(out, row_stride, here, at);
                v_store_columns((real *const *)at, 0, column);
            }
        } else if (row + LANES <= rows && row_stride == n && n <= 3) {
            if (n == 1) {
                COLUMNS_FROM(0, 1);
                v_store(out, column[0]);
            } else if (n == 2) {
                COLUMNS_FROM(0, 2);
                v_store_pairs(out, column);
            } else {
                COLUMNS_FROM(0, 3);
                v_store_triples(out, column);
            }
        } else {
            for (ptrdiff_t j = 0; j < n; j++) {
                real lane[LANES];
                COLUMNS_FROM(j, 1);
                v_store(lane, column[0]);
                for (int k = 0; k < LANES && row + k < rows; k++)
                    out[k * row_stride + j] = lane[k];
            }
        }
#undef COLUMNS_FROM
    }
}
