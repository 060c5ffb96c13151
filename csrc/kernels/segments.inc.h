/* Derivatives of short rows of different lengths that follow one another, in the order of memory. */

enum {
    SEGMENTS_AT_ONCE = 1024, /* elements whose sums are found before the first of them is written */
    USUAL_SEGMENT = 32 /* elements that get their row's constant without a question how many there are */
};

/* A strip of such rows: up to LANES, of up to SMX_SHORT elements. Missing rows have no elements. */
typedef struct {
    int rows;
    ptrdiff_t longest;
    ptrdiff_t start[LANES];
    real length[LANES];
} segment_strip;

/* Finds a strip, which ends before a row of more than `limit` elements. */
SMX_INLINE segment_strip strip_of_segments(const ptrdiff_t *indptr, ptrdiff_t count, ptrdiff_t limit) {
    segment_strip s = {.rows = count < LANES ? (int)count : LANES};
    ptrdiff_t length[LANES];
    for (int k = 0; k < LANES; k++) {
        s.start[k] = indptr[k < s.rows ? k : s.rows - 1];
        length[k] = k < s.rows ? indptr[k + 1] - indptr[k] : 0;
    }
    for (int k = 0; k < LANES; k++)
        s.longest = length[k] > s.longest ? length[k] : s.longest;
    if (s.longest > limit) {
        int k = 0;
        for (s.longest = 0; length[k] <= limit; k++)
            s.longest = length[k] > s.longest ? length[k] : s.longest;
        s.rows = k;
        for (; k < LANES; k++)
            length[k] = 0;
    }
    for (int k = 0; k < LANES; k++)
        s.length[k] = (real)length[k];
    return s;
}

/* Loads four elements of each row of a strip. Those beyond the end of a row, which belong to another, become 0. */
SMX_INLINE void load_segments(const segment_strip *s, const real *array, ptrdiff_t j, vec *column) {
    const real *at[LANES];
    const vec length = v_load(s->length);
    for (int k = 0; k < LANES; k++)
        at[k] = array + s->start[k];
    v_load_columns(at, j, column);
    for (int i = 0; i < 4; i++)
        column[i] = v_keep_le(v_set1((real)(j + i + 1)), length, column[i]);
}

/* The sums of the rows of a strip, in the order that reduce_products.inc.h has for short rows. */
SMX_INLINE pair sums_of_segments(const segment_strip *s, const real *y, const real *g, enum summand what) {
    derivative_sum sum[4];
    vec y_of[4], g_of[4], chain[4], few[4];
    if (what == GRADIENT) {
        sum[0] = derivative_sum_begin();
        for (ptrdiff_t j = 0; j < s->longest; j += 4) {
            load_segments(s, g, j, g_of);
            sum[0] = derivative_sum_add(sum[0], NULL, g_of, 4, v_set1(0), GRADIENT, 1);
        }
        return derivative_sum_end(sum[0]);
    }
    for (int i = 0; i < 4; i++) {
        sum[i] = derivative_sum_begin();
        few[i] = v_set1(0);
    }
    for (ptrdiff_t j = 0; j < s->longest; j += 4 * CHAIN) {
        for (int m = 0; m < CHAIN && (m == 0 || j + 4 * m < s->longest); m++) {
            load_segments(s, y, j + 4 * m, y_of);
            load_segments(s, g, j + 4 * m, g_of);
            scale_factors(y_of, 4, y_of);
            for (int i = 0; i < 4; i++)
                chain[i] = m == 0 ? v_mul(y_of[i], g_of[i]) : v_fma(y_of[i], g_of[i], chain[i]);
            for (int i = 0; j + m == 0 && i < 4; i++)
                few[i] = chain[i];
        }
        for (int i = 0; i < 4; i++)
            sum[i] = derivative_sum_add_plain(sum[i], chain[i]);
    }
    ADD_PAIRWISE(v_add, few, 4);
    ADD_PAIRWISE_SUMS(sum, 4);
    const pair total = derivative_sum_end(sum[0]);
    const vec length = v_load(s->length), most = v_set1(SMX_FEW);
    return pair_of(v_select_le(length, most, few[0], total.high), v_select_le(length, most, v_set1(0), total.low));
}

/* Gives each element its row's constant. More elements than there are may be written; those of the next row follow. */
SMX_INLINE void spread_constants(const segment_strip *s, vec constants, real *to) {
    real constant[LANES];
    v_store(constant, constants);
    for (int k = 0; k < s->rows; k++) {
        real *at = to + (s->start[k] - s->start[0]);
        const vec c = v_set1(constant[k]);
        for (int i = 0; i < USUAL_SEGMENT; i += LANES)
            v_store(at + i, c);
        for (ptrdiff_t i = USUAL_SEGMENT; i < (ptrdiff_t)s->length[k]; i += LANES)
            v_store(at + i, c);
    }
}

SMX_INLINE void apply_to_segments(const real *y, const real *g, const real *constants, real *out, ptrdiff_t n,
                                  formula f) {
    terms term[IN_STEP];
    vec result[IN_STEP];
    ptrdiff_t i = 0;
#define VALUES(count, left)                                                                                            \
    for (int s = 0; s < (count); s++) {                                                                                \
        term[s].v[0] = load_stored((const char *)(y + i + s * LANES), left, SMX_REAL);                                 \
        term[s].v[1] = load_stored((const char *)(g + i + s * LANES), left, SMX_REAL);                                 \
        term[s].c[0] = v_load(constants + i + s * LANES);                                                              \
    }                                                                                                                  \
    f(term, count, NULL, result)
    for (; i + IN_STEP * LANES <= n; i += IN_STEP * LANES) {
        VALUES(IN_STEP, LANES);
        for (int s = 0; s < IN_STEP; s++)
            v_store(out + i + s * LANES, result[s]);
    }
    for (; i < n; i += LANES) {
        VALUES(1, n - i);
        v_store_first(out + i, n - i, result[0]);
    }
#undef VALUES
}

/* Does rows until one is longer than `limit`, or too near to the end of the array for vectors, or one for which the
   plain formula does not do. Returns the number of rows that are done. */
SMX_INLINE ptrdiff_t whole_segments(const real *y, const real *g, real *out, const ptrdiff_t *indptr, ptrdiff_t count,
                                    ptrdiff_t limit, ptrdiff_t end, formula f, enum summand what) {
    real constants[SEGMENTS_AT_ONCE + LANES * SMX_SHORT + SMX_SHORT + 2 * USUAL_SEGMENT];
    ptrdiff_t done = 0;
    for (int goes_on = 1; goes_on && done < count;) {
        const ptrdiff_t start = indptr[done];
        while (done < count && indptr[done] - start < SEGMENTS_AT_ONCE) {
            const segment_strip s = strip_of_segments(indptr + done, count - done, limit);
            vec constant;
            goes_on = s.rows > 0 && s.start[s.rows - 1] + s.longest + 3 < end &&
                      plain_sum(sums_of_segments(&s, y, g, what), what, &constant);
            if (!goes_on)
                break;
            spread_constants(&s, constant, constants + (indptr[done] - start));
            done += s.rows;
        }
        apply_to_segments(y + start, g + start, constants, out + start, indptr[done] - start, f);
    }
    return done;
}
#define WHOLE_SEGMENTS(op, what)                                                                                       \
    static ptrdiff_t op##_whole_segments(const void *y, const void *g, void *out, const ptrdiff_t *indptr,             \
                                         ptrdiff_t count, ptrdiff_t limit, ptrdiff_t end) {                            \
        return whole_segments(y, g, out, indptr, count, limit, end, op##_of, what);                                    \
    }
WHOLE_SEGMENTS(softmax_vjp, PRODUCT)
WHOLE_SEGMENTS(log_softmax_vjp, GRADIENT)
