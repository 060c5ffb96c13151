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

/* Sums of products do not care which lane a row has until its chains end, so a level may spare the transposition. Parts
   hold four elements of a row in four lanes; columns hold them in four vectors. */
#ifdef HAS_PARTS
#define parts_to_columns transpose_parts
#else
#define v_load_parts v_load_columns
SMX_INLINE void parts_to_columns(vec *part) { (void)part; }
#endif

/* Loads four elements of each row of a strip. Those that belong to another row, as number j is not up to `last`, become
   0. */
SMX_INLINE void load_parts(const real *const *at, ptrdiff_t j, const vec *last, vec *part) {
    v_load_parts(at, j, part);
    for (int i = 0; i < 4; i++)
        part[i] = v_keep_le(v_set1((real)j), last[i], part[i]);
}

/* The sums of the rows of a strip, in the order that reduce_products.inc.h has for short rows. */
SMX_INLINE pair sums_of_segments(const segment_strip *s, const real *y, const real *g, enum summand what) {
    const real *y_at[LANES], *g_at[LANES];
    const vec length = v_load(s->length);
    vec last[4], y_of[4], chain[4];
    derivative_sum sum[4];
    for (int k = 0; k < LANES; k++) {
        y_at[k] = y + s->start[k];
        g_at[k] = g + s->start[k];
    }
    for (int i = 0; i < 4; i++) {
        last[i] = v_sub(length, v_set1((real)(i + 1)));
        sum[i] = derivative_sum_begin();
    }
    parts_to_columns(last);
    if (what == GRADIENT) {
        for (ptrdiff_t j = 0; j < s->longest; j += 4) {
            load_parts(g_at, j, last, chain);
            parts_to_columns(chain);
            sum[0] = derivative_sum_add(sum[0], NULL, chain, 4, v_set1(0), GRADIENT, 1, 0);
        }
        return derivative_sum_end(sum[0]);
    }
    vec few = v_set1(0);
    for (ptrdiff_t j = 0; j < s->longest; j += 4 * CHAIN) {
        for (int m = 0; m < CHAIN && (m == 0 || j + 4 * m < s->longest); m++) {
            vec g_of[4];
            load_parts(y_at, j + 4 * m, last, y_of);
            load_parts(g_at, j + 4 * m, last, g_of);
            scale_factors(y_of, 4, y_of);
            for (int i = 0; i < 4; i++)
                chain[i] = m == 0 ? v_mul(y_of[i], g_of[i]) : v_fma(y_of[i], g_of[i], chain[i]);
        }
        parts_to_columns(chain);
        if (j == 0)
            few = v_add(v_add(chain[0], chain[2]), v_add(chain[1], chain[3]));
        for (int i = 0; i < 4; i++)
            sum[i] = derivative_sum_add_plain(sum[i], chain[i]);
    }
    ADD_PAIRWISE_SUMS(sum, 4);
    const pair total = derivative_sum_end(sum[0]);
    const vec most = v_set1(SMX_FEW);
    return pair_of(v_select_le(length, most, few, total.high), v_select_le(length, most, v_set1(0), total.low));
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
/* Those of softmax_vjp may be another level's, as its long rows are. A strip takes as long as its longest row, and wide
   strips of floats have longer ones than narrow strips have. */
#define VJP_SEGMENTS_OF(level) JOIN(smx_, level, _softmax_vjp_segments_f, REAL_BITS)
#if defined(LEVEL_OF_VJP_ROWS) && REAL_BITS == 32
smx_whole_segments VJP_SEGMENTS_OF(LEVEL_OF_VJP_ROWS);
#define VJP_SEGMENTS VJP_SEGMENTS_OF(LEVEL_OF_VJP_ROWS)
#else
smx_whole_segments VJP_SEGMENTS_OF(LEVEL);
WHOLE_SEGMENTS(softmax_vjp, PRODUCT)
ptrdiff_t VJP_SEGMENTS_OF(LEVEL)(const void *y, const void *g, void *out, const ptrdiff_t *indptr, ptrdiff_t count,
                                 ptrdiff_t limit, ptrdiff_t end) {
    return softmax_vjp_whole_segments(y, g, out, indptr, count, limit, end);
}
#define VJP_SEGMENTS VJP_SEGMENTS_OF(LEVEL)
#endif
WHOLE_SEGMENTS(log_softmax_vjp, GRADIENT)
