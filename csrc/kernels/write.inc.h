/* The loops of every write: a formula, applied to each element of a tile. */

/* to = the formula of so many inputs and constants, over a tile. What the mask hides becomes 0.
   as_run: the rows, of up to SMX_SHORT elements, follow one another in every array. LANES rows are then n whole vectors,
   and each lane looks up the constants of its row, whose number is that of the element, divided by n. */
SMX_INLINE void apply_to_rows(const smx_tile *tile, const smx_view *to, const smx_view *const *from, int inputs,
                              enum smx_storage storage, const void *constants, int constant_count,
                              enum smx_storage to_storage, int stream, enum masking how, int as_run, formula f) {
    const ptrdiff_t from_size = size_of(storage), to_size = size_of(to_storage);
    const ptrdiff_t ahead = as_run && tile->next[0].start ? row_of(&tile->next[0], 0) - row_of(&tile->in[0], 0) : 0;
    const int at_once = as_run ? LANES : 1;
    const real length = (real)tile->n;
    /* A copy: what is written to memory might be the original, for all that the compiler knows. */
    const exp_temperature own = *(const exp_temperature *)tile->temperature, *t = &own;
    for (int row = 0; row < tile->rows; row += at_once) {
        const int left = tile->rows - row;
        const ptrdiff_t n = (left < at_once ? left : at_once) * tile->n;
        vec constant_of_row[SMX_CONSTANTS], y[IN_STEP];
        terms of[IN_STEP];
        const char *in[SMX_MAX_INPUTS];
        const unsigned char *mask = mask_of(tile, row);
        char *out = (char *)to->start + row * to->row_stride * to_size;
        for (int k = 0; k < constant_count; k++) {
            const real *constant = (const real *)constants + k * SMX_TILE_ROWS + row;
            constant_of_row[k] = as_run ? v_load(constant) : v_set1(*constant);
            for (int s = 0; s < IN_STEP; s++)
                of[s].c[k] = constant_of_row[k];
        }
        for (int k = 0; k < inputs; k++)
            in[k] = (const char *)from[k]->start + row * from[k]->row_stride * from_size;
        /* less half a row, as the quotient is rounded to nearest */
        vec position = v_add(v_load(lane_numbers), v_set1((1 - length) / 2));
        ptrdiff_t i = 0;
#define VALUES(count, left)                                                                                            \
    for (int s = 0; s < (count); s++) {                                                                                \
        for (int k = 0; k < inputs; k++)                                                                               \
            of[s].v[k] = load_stored(in[k] + (i + s * LANES) * from_size, left, storage);                              \
        if (as_run) {                                                                                                  \
            const vec index = v_fma(position, v_set1(1 / length), v_set1(ROUNDER));                                    \
            for (int k = 0; k < constant_count; k++)                                                                   \
                of[s].c[k] = v_permute(constant_of_row[k], index);                                                     \
            position = v_add(position, v_set1(LANES));                                                                 \
        }                                                                                                              \
    }                                                                                                                  \
    f(of, count, t, y);                                                                                                \
    for (int s = 0; s < (count); s++)                                                                                  \
    y[s] = seen_or_0(mask_at(mask, i + s * LANES, how), left, y[s], how)
#define WHOLE_VECTORS(count)                                                                                           \
    for (; i + (count) * LANES <= n; i += (count) * LANES) {                                                           \
        VALUES(count, LANES);                                                                                          \
        if (ahead && !stream)                                                                                          \
            ask_for(out + (i + ahead) * to_size, (count) * LANES * to_size);                                           \
        for (int s = 0; s < (count); s++)                                                                              \
            if (stream)                                                                                                \
                v_stream((real *)out + i + s * LANES, y[s]);                                                           \
            else                                                                                                       \
                store_stored(out + (i + s * LANES) * to_size, LANES, y[s], to_storage);                                \
    }
        int aligns = is_plain(storage, how) && to_storage == SMX_REAL && !as_run && n >= 16 * LANES;
        for (int k = 0; k < inputs; k++)
            aligns &= ((uintptr_t)in[k] - (uintptr_t)out) % sizeof(vec) == 0;
        if ((stream && !as_run) || aligns) {
            /* Up to the first whole line: only such are written past the cache, and what crosses two is loaded at half the
               speed. */
            const ptrdiff_t line = (ptrdiff_t)(-(uintptr_t)out % sizeof(vec) / sizeof(real)),
                            head = line < n ? line : n;
            VALUES(1, head);
            v_store_first((real *)out, head, y[0]);
            i = head;
        }
        if (is_plain(storage, how) && to_storage == SMX_REAL)
            WHOLE_VECTORS(IN_STEP)
        WHOLE_VECTORS(1)
        if (i < n) {
            VALUES(1, n - i);
            store_stored(out + i * to_size, n - i, y[0], to_storage);
        }
#undef WHOLE_VECTORS
#undef VALUES
    }
}

/* So many strips of LANES rows from row on; left: rows of the last strip, LANES or more if it is whole. Results of whole
   ones may go past the cache, to places aligned to a vector. */
SMX_INLINE void apply_to_strips(const smx_tile *tile, const smx_view *to, const smx_view *const *from, int inputs,
                                enum smx_storage storage, const void *constants, int constant_count,
                                enum smx_storage to_storage, enum masking how, int row, int strips, ptrdiff_t left,
                                int stream, formula f) {
    const exp_temperature own = *(const exp_temperature *)tile->temperature, *t = &own;
    const ptrdiff_t n = tile->n, size = size_of(storage), to_size = size_of(to_storage);
    terms of[STRIPS];
    vec y[STRIPS];
    const char *in[SMX_MAX_INPUTS];
    ptrdiff_t step[SMX_MAX_INPUTS];
    for (int s = 0; s < strips; s++)
        for (int k = 0; k < constant_count; k++)
            of[s].c[k] = v_load((const real *)constants + k * SMX_TILE_ROWS + row + s * LANES);
    for (int k = 0; k < inputs; k++) {
        in[k] = (const char *)from[k]->start + row * from[k]->row_stride * size;
        step[k] = from[k]->element_stride * size;
    }
    const unsigned char *mask = mask_of(tile, row);
    char *out = (char *)to->start + row * to->row_stride * to_size;
    for (ptrdiff_t j = 0; j < n; j++, out += to->element_stride * to_size) {
        for (int s = 0; s < strips; s++)
            for (int k = 0; k < inputs; k++)
                of[s].v[k] = load_stored(in[k] + j * step[k] + s * LANES * size, left, storage);
        f(of, strips, t, y);
        for (int s = 0; s < strips; s++) {
            const ptrdiff_t lane = how == BY_LANE ? s * LANES : 0;
            const unsigned char *seen = mask_at(mask, j * tile->mask.element_stride + lane, how);
            if (stream)
                v_stream((real *)out + s * LANES, y[s]);
            else
                store_stored(out + s * LANES * to_size, left, seen_or_0(seen, left, y[s], how), to_storage);
        }
    }
}

SMX_INLINE void apply_to_columns(const smx_tile *tile, const smx_view *to, const smx_view *const *from, int inputs,
                                 enum smx_storage storage, const void *constants, int constant_count,
                                 enum smx_storage to_storage, int stream, enum masking how, formula f) {
#define APPLY(strips, left, stream)                                                                                    \
    apply_to_strips(tile, to, from, inputs, storage, constants, constant_count, to_storage, how, row, strips, left,    \
                    stream, f)
    const int width = tile->rows, is_real = is_plain(storage, how) && to_storage == SMX_REAL;
    int row = 0;
    if (is_real && stream) {
        for (; row + STRIPS * LANES <= width; row += STRIPS * LANES)
            APPLY(STRIPS, LANES, 1);
        for (; row + LINE_STRIPS * LANES <= width; row += LINE_STRIPS * LANES)
            APPLY(LINE_STRIPS, LANES, 1);
    } else if (is_real) {
        /* In long columns, a line may be far from the next: the less often one goes from line to line, the better. */
        for (; !is_short(tile) && row + STRIPS * LANES <= width; row += STRIPS * LANES)
            APPLY(STRIPS, LANES, 0);
        for (; row + LANES <= width; row += LANES)
            APPLY(1, LANES, 0);
    }
    for (; row < width; row += LANES)
        APPLY(1, width - row, 0);
#undef APPLY
}

SMX_INLINE vec value_of_column(const smx_view *const *from, int inputs, int row, ptrdiff_t j, terms *of,
                               const exp_temperature *t, formula f) {
    vec y;
    for (int k = 0; k < inputs; k++)
        of->v[k] = v_load(row_of(from[k], row) + j * from[k]->element_stride);
    f(of, 1, t, &y);
    return y;
}

/* Of columns of reals to rows, by way of registers. Of a row's last four elements some may have been written before. */
SMX_INLINE void apply_into_rows(const smx_view *to, const smx_view *const *from, int inputs, int width, ptrdiff_t n,
                                int beyond_cache, const void *constants, int constant_count, const exp_temperature *t,
                                formula f) {
    const ptrdiff_t row = to->row_stride;
    for (int first = 0; first < width; first += LANES) {
        real *rows = (real *)to->start + first * row;
        terms of;
        vec column[4];
        for (int k = 0; k < constant_count; k++)
            of.c[k] = v_load((const real *)constants + k * SMX_TILE_ROWS + first);
        if (beyond_cache)
            ask_for_rows(rows + width * row, row, n);
#define COLUMN(j) value_of_column(from, inputs, first, j, &of, t, f)
        if (first + LANES <= width && n >= 4) {
            for (ptrdiff_t j = 0; j < n; j += 4) {
                const ptrdiff_t here = j + 4 <= n ? j : n - 4;
                const real *at[LANES];
                for (int k = 0; k < 4; k++)
                    column[k] = COLUMN(here + k);
                find_rows(rows, row, here, at);
                v_store_columns((real *const *)at, 0, column);
            }
        } else if (first + LANES <= width && row == n && n <= 3) {
            for (int k = 0; k < n; k++)
                column[k] = COLUMN(k);
            if (n == 1)
                v_store(rows, column[0]);
            else if (n == 2)
                v_store_pairs(rows, column);
            else
                v_store_triples(rows, column);
        } else {
            for (ptrdiff_t j = 0; j < n; j++) {
                real lane[LANES];
                v_store(lane, COLUMN(j));
                for (int k = 0; k < LANES && first + k < width; k++)
                    rows[k * row + j] = lane[k];
            }
        }
#undef COLUMN
    }
}
