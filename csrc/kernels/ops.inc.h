/* Every operation, written once: in terms of vectors (vec_<level>.h) of reals (real.h).

   kernels.h says what reduce, finish and write are, and what a tile is. Here each operation is a reduction of a row to
   a few constants, then a formula for an element:

       operation           reduction                           element
       softmax             max, sum exp(x)                     exp(x) / sum
       log_softmax         the two largest, sum exp(x)         x - log sum
       logsumexp           as log_softmax                      (none: log sum itself)
       softmax_vjp         d = sum y g                         y (g - d)
       log_softmax_vjp     d = sum g                           g - exp(y) d
       log_softmax_jvp     d = sum exp(y) g                    g - d
       cross-entropy       see loss.inc.h

   The claims, with the worst cases found by tests/find_worst.py; tests/test_accuracy.py reads them here. One ULP is
   that of the true value (logsumexp: of the larger of it and the maximum); u is half the machine epsilon times an
   element's natural scale, y (|g| + sum y |g|), |g| + p |sum g|, |g| + sum p |g|.

   claim: softmax float32 <= 2 ulp; found 1.13 at hex: -0x1.9679d8p+6, -0x1.ebedfp-2, -0x1.f502ep-2, 0x1.86ca9p-5,
     0x1.2bc6c2p-2, 0x1.0a41b8p-4, -0x1.8891eep-5, 0x1.410728p+6, -0x1.0a4102p+5, 0x1.5d8e22p+6, 0x1.07ea7p+6,
     0x1.a6c934p-3
   claim: softmax float64 <= 2 ulp; found 1.11 at hex: 0x1.7375c7cc1c6bep+7, 0x1.4438a1ea48459p+8,
     -0x1.9c33bdff8b8b5p+7, -0x1.be4b9818e8556p+5, 0x1.0db1d860cd61dp+7, 0x1.33cc57d250ebbp+7, 0x1.bd4f1bc1617abp+8,
     0x1.d20c66dbd9a29p+5, -0x1.0771bcf35459cp+8, -0x1.7173f4adb1f32p+8, -0x1.d396bd726aaf7p+8, -0x1.3e428775eeaf8p+3
   claim: log_softmax float32 <= 2 ulp; found 1.44 at hex: -0x1.b8c932p-4, -0x1.604bdcp+0
   claim: log_softmax float64 <= 2 ulp; found 1.49 at hex: 0x1.2f8821575122dp-3, -0x1.82103662718a4p-1
   claim: logsumexp float32 <= 2 ulp; found 1.59 at hex: -0x1.d1430cp+2, -0x1.a84794p+0, -0x1.7e4e9cp+1,
     -0x1.fa9692p-4
   claim: logsumexp float64 <= 2 ulp; found 1.56 at hex: -0x1.01c005a06678ep+1, -0x1.68bee6887008cp+3,
     -0x1.d31006833c85p+3, -0x1.c6f16254d2c2fp+1, -0x1.9752e3d560463p+0, -0x1.f779e27793723p-4
   claim: softmax_vjp float32 <= 4 u; found 2.98 at hex: 0x1.005de6p-1, 0x1.ff4436p-2, 0x1.001594p+1, -0x1.afb2p-9
   claim: softmax_vjp float64 <= 4 u; found 2.98 at hex: 0x1.0062e31de38ccp-109, 0x1.ffffffffffffep-1,
     0x1.a3338fcb093f3p-53, 0x1.059650a1144p-8, -0x1.00fec82e7149ep+3, 0x1.365730cb85bc8p+2
   claim: log_softmax_vjp float32 <= 4 u; found 2.98 at hex: -0x1.603de8p-1, -0x1.658dfep-1, -0x1.25d00ap-8,
     0x1.00b74p+4
   claim: log_softmax_vjp float64 <= 4 u; found 2.96 at hex: -0x1.63350a32ff4bp-1, -0x1.34979dae2a2e7p+6,
     -0x1.20a4b260a17a6p+6, -0x1.db2acdb31ad94p+6, -0x1.6293626ed63bp-1, -0x1.3f1fa93799e64p+6,
     0x1.2f9e8d19003fep-1, -0x1.0349ce2c82b16p+9, -0x1.6a2baab8a406p-6, 0x1.7655d60d9f6b7p-2,
     -0x1.9ce7805bf471ap-4, 0x1.d7a91650b2b1ap-2
   claim: log_softmax_jvp float32 <= 4 u; found 3.01 at hex: -0x1.a998bcp+0, -0x1.fa2ea2p+0, -0x1.51b544p-1,
     -0x1.dd901cp+0, -0x1.483p-6, -0x1.b50f32p-10, -0x1.ef3fb6p+6, -0x1.5ee75cp-2
   claim: log_softmax_jvp float64 <= 4 u; found 3.01 at hex: -0x1.5bda34a59bcc3p+2, -0x1.29093dba4711ap-3,
     -0x1.4831a96a2b2a8p+3, -0x1.048b79f5c1daep+1, 0x1.1f0fe27f564p-11, -0x1.01905cd500e23p-10,
     -0x1.41e5e8404ec3p-12, 0x1.ed5e8d5e816e4p+2 */

#include "exp.inc.h"
#include "sum.inc.h"
/* after the sums, in which it is written */
#include "log.inc.h"

#include "half.inc.h"
#include "mask.inc.h"

#define STEP (4 * LANES)       /* elements that a loop over exponentials takes at a time */
#define GROUPS (LANES / WIDTH) /* registers that hold the LANES partial sums of a row */
#define STRIPS IN_STEP         /* of WIDTH rows side by side, written together */
#define LINE_STRIPS (GROUPS < STRIPS ? GROUPS : STRIPS) /* past the cache: as many as fill a line of it */
#define HUGEST v_set1((real)(REAL_BITS == 32 ? FLT_MAX : DBL_MAX))
#define MINUS_INFINITY v_set1(-(real)INFINITY)
#define EVERY_NAN v_set1(real_from_bits(QUIET_NAN))

SMX_INLINE vec v_abs(vec a) { return v_max(a, v_sub(v_set1(0), a)); }

/* Which operand's NaN an operation returns, and the sign of a new one, differ between processors and compilers. */
SMX_INLINE vec one_nan(vec a) { return v_select_le(a, a, a, EVERY_NAN); }

SMX_INLINE real *row_of(const smx_view *view, ptrdiff_t row) { return (real *)view->start + row * view->row; }
/* Of the derivatives' masks: nothing to be looked at, a byte for each lane, or one for a line of COLUMNS. */
enum masking { NO_MASK, BY_LANE, BY_LINE };

SMX_INLINE enum masking masking_of(const smx_tile *tile) {
    return !tile->mask.start ? NO_MASK : tile->layout == SMX_COLUMNS && tile->mask.row == 0 ? BY_LINE : BY_LANE;
}
SMX_INLINE const unsigned char *mask_of(const smx_tile *tile, ptrdiff_t row) {
    return tile->mask.start ? (const unsigned char *)tile->mask.start + row * tile->mask.row : NULL;
}
SMX_INLINE const unsigned char *mask_at(const unsigned char *mask, ptrdiff_t offset, enum masking how) {
    return how == NO_MASK ? NULL : mask + offset;
}

/* Loops are compiled for each number of partial sums: of few, the registers stay in the loop. */
SMX_INLINE int is_short(const smx_tile *tile) { return tile->length <= SMX_SHORT; }

/* ---- the largest elements of a row -------------------------------------------------------------------------------

   log_softmax wants the sum without the maximum: at the maximum it is -log(1 + that sum), which is close to 0 when the
   rest is small, and then a sum that held the 1 would have lost the rest. So its reduction finds the two largest
   elements, ties counting as two, and adds up exp(x) for x <= second: without the maximum if it stands alone, else
   with all that equal it, and finish takes one off. Terms are scaled by the second, or by the maximum - NEGLIGIBLE if
   that is more. For softmax "second" is the maximum itself. NaNs are passed over; the sum meets them.

   Cross-entropy wants that sum, and every exponential for its gradient: there the terms are relative to the maximum, so
   that it can be kept, the sum starts where one relative to the second would, and is brought to its scale at the end. All
   by powers of two, so only what is less than the smallest subnormal loss gets lost. */

/* What is summed up, and what is kept of it. */
enum sum_of { ALL, OTHERS, OTHERS_KEEPING_ALL };

typedef struct {
    vec first, second;
} largest;

SMX_INLINE largest largest_begin(void) {
    const largest none = {MINUS_INFINITY, MINUS_INFINITY};
    return none;
}

SMX_INLINE largest largest_add(largest m, vec x, enum sum_of what) {
    if (what != ALL)
        m.second = v_max(v_min(x, m.first), m.second);
    m.first = v_max(x, m.first);
    return m;
}

SMX_INLINE largest largest_merge(largest a, largest b) {
    largest m;
    m.second = v_max(v_min(a.first, b.first), v_max(a.second, b.second));
    m.first = v_max(a.first, b.first);
    return m;
}

SMX_INLINE largest largest_end(largest m, enum sum_of what) {
    if (what == ALL)
        m.second = m.first;
    return m;
}

SMX_INLINE vec reference_of(largest m, const exp_temperature *t) {
    return exp_reference(v_max(m.second, v_sub(m.first, v_set1(t->negligible))), t);
}

/* Rows whose maximum is infinite are not summed up, so NaNs there have to be looked for. 1 in the lanes that hold one, else
   0 (not NaN itself, which GCC 12 loses from such a loop of one lane): in a row, and in WIDTH of them side by side. */
static vec nans_of_row(const real *x, ptrdiff_t n) {
    vec found = v_set1(0);
    for (ptrdiff_t j = 0; j < n; j += WIDTH) {
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

/* ---- sums of exponentials: softmax, log_softmax, logsumexp ------------------------------------------------------ */

/* Number k of the partials of rows row to row + WIDTH. */
SMX_INLINE ptrdiff_t partial_at(int k, int width, int row) { return k * ((width + LANES - 1) / LANES * LANES) + row; }

SMX_INLINE largest read_largest(const real *partial, int width, int row) {
    const largest m = {v_load(partial + partial_at(0, width, row)), v_load(partial + partial_at(1, width, row))};
    return m;
}

static const real lane_numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* A number of one row after the other: the first lane of value, into the row's lane of all, and those above, which no row may
   follow. Whole vectors are stored, as they will be read: a vector of numbers that have been stored one by one would have to
   wait until every store before it has reached the cache, which takes as long as a hundred elements do. */
SMX_INLINE void put_number(real *numbers, int row, vec *all, vec value) {
    *all = v_select_le(v_set1((real)(row % WIDTH)), v_load(lane_numbers), v_set1(v_first(value)), *all);
    v_store(numbers + row - row % WIDTH, *all);
}
SMX_INLINE void put_row(real *partial, int k, int width, int row, vec *all, vec value) {
    put_number(partial + partial_at(k, width, 0), row, all, value);
}

SMX_INLINE void store_exp_partial(real *partial, int width, int row, largest m, pair s) {
    v_store(partial + partial_at(0, width, row), m.first);
    v_store(partial + partial_at(1, width, row), m.second);
    v_store(partial + partial_at(2, width, row), s.high);
    v_store(partial + partial_at(3, width, row), s.low);
}

SMX_INLINE void store_long_sum(real *partial, int width, int row, long_sum s) {
    v_store(partial + partial_at(0, width, row), s.high);
    v_store(partial + partial_at(1, width, row), s.low);
    v_store(partial + partial_at(2, width, row), s.lowest);
}

/* The scale of the terms (exp_scale_with), where their sum starts, and the square root of what brings it to the scale of
   `reference_of`. */
typedef struct {
    vec rounder, floor, start, root;
} exp_frame;

SMX_INLINE exp_frame exp_frame_of(largest m, enum sum_of what, const exp_temperature *t) {
    const vec reference = reference_of(m, t);
    vec own = reference, start = v_set1(EXP_SUM_START), root = v_set1(1);
    if (what == OTHERS_KEEPING_ALL) {
        own = exp_reference(m.first, t);
        const vec half = v_mul(v_sub(own, reference), v_set1((real)0.5)), down = power_of_two(v_sub(v_set1(0), half));
        start = v_mul(v_mul(start, down), down);
        root = power_of_two(half);
    }
    const exp_scale scale = exp_scale_of(own, t);
    const exp_frame frame = {scale.rounder, scale.floor, start, root};
    return frame;
}

SMX_INLINE pair exp_sum_settle(pair s, vec root, enum sum_of what) {
    if (what == OTHERS_KEEPING_ALL)
        s = pair_of(v_mul(v_mul(s.high, root), root), v_mul(v_mul(s.low, root), root));
    return s;
}

/* Of an element and its exponential: what is added to the sum. */
SMX_INLINE exp_parts exp_term(vec x, exp_parts e, vec second, enum sum_of what) {
    return what == ALL ? e : exp_up_to(second, x, e);
}

/* Up to four vectors of elements into the partial sum that is theirs; e: their exponentials. */
SMX_INLINE exp_sum exp_step(exp_sum s, const vec *x, int count, exp_scale scale, vec second, enum sum_of what,
                            int is_short_row, exp_parts *e) {
    exp_parts term[IN_STEP];
    exp_scale scales[IN_STEP];
    for (int k = 0; k < count; k++)
        scales[k] = scale;
    exp_parts_in_step(x, count, scales, 1, e);
    for (int k = 0; k < count; k++)
        term[k] = exp_term(x[k], e[k], second, what);
    return exp_sum_add(s, term, count, is_short_row);
}

/* The processor foresees what comes next in memory, but not across a tile's work, nor from one line of a block to the next:
   so what the next tile is likely to read and write is asked for, where it is not in the cache anyway. Into the second level:
   the first can wait for few lines at once (24 of 64 bytes on Zen 4, some 10 GB/s), and has no room for another tile. */
SMX_INLINE void ask_for(const void *from, ptrdiff_t bytes) {
    for (ptrdiff_t i = 0; i < bytes; i += SMX_CACHE_LINE)
        SMX_PREFETCH((const char *)from + i);
}

/* WIDTH elements, zeros where fewer are left. */
SMX_INLINE vec load_left(const real *p, ptrdiff_t left) {
    return left >= WIDTH ? v_load(p) : v_load_first(p, left, v_set1(0));
}

SMX_INLINE const real *next_row(const smx_tile *tile, int k, ptrdiff_t row) {
    return tile->next[k].start ? row_of(&tile->next[k], row) : NULL;
}

/* The same of COLUMNS that lie so in memory, too: rows that are transposed are asked for on that occasion. */
SMX_INLINE const real *next_strip(const smx_tile *tile, int k, ptrdiff_t row) {
    return tile->next[k].row == 1 ? next_row(tile, k, row) : NULL;
}
/* Where the row's own results are to go, if that is worth asking for: if they are written soon, and not there already. */
SMX_INLINE const real *awaited_row(const smx_tile *tile, ptrdiff_t row) {
    const int is_far = tile->next[0].start && tile->out.start && !tile->stream && tile->out.start != tile->in[0].start;
    return is_far && tile->n == tile->length ? row_of(&tile->out, row) : NULL;
}
/* Of long columns, hardware foresees it. */
SMX_INLINE const real *awaited_strip(const smx_tile *tile, ptrdiff_t row) {
    return is_short(tile) && next_strip(tile, 0, row) ? awaited_row(tile, row) : NULL;
}

/* So many lines' parts of a strip; returns the next line's. One pointer that moves on: of several, the loops' registers
   would run out. */
SMX_INLINE const real *ask_for_lines(const real *line, ptrdiff_t pitch, int count) {
    for (int k = 0; line && k < count; k++, line += pitch)
        SMX_PREFETCH(line + WIDTH - 1);
    return line;
}

/* So many vectors of a row, from x on that far apart, into the partial sum that is theirs; left: elements from x to the end
   of the row, enough if whole. */
SMX_INLINE exp_sum exp_row_step(exp_sum s, const real *x, ptrdiff_t apart, ptrdiff_t left, int whole, int count,
                                exp_scale scale, vec second, enum sum_of what, real *keep, ptrdiff_t to_p) {
    vec v[IN_STEP];
    exp_parts e[IN_STEP];
    for (int k = 0; k < count; k++)
        v[k] = whole ? v_load(x + k * apart) : v_load_first(x + k * apart, left - k * apart, MINUS_INFINITY);
    s = exp_step(s, v, count, scale, second, what, 0, e);
    for (int k = 0; keep && k < count; k++) {
        v_store(keep + k * apart, e[k].power);
        v_store(keep + k * apart + to_p, e[k].p);
    }
    return s;
}

/* The sum of a row, still in lanes; keep: NULL, or where the parts of its exponentials go; next: NULL, or what is to be asked
   for; ahead: NULL, or a row of which the largest elements are to be found, still in lanes. */
SMX_INLINE pair exp_long_row(vec start, const real *x, ptrdiff_t n, exp_scale scale, vec second, enum sum_of what,
                             real *keep, ptrdiff_t to_p, const real *next, const real *ahead, largest *found) {
    exp_sum s[GROUPS];
    pair partial[GROUPS];
    largest m = largest_begin();
    for (int g = 0; g < GROUPS; g++)
        s[g] = exp_sum_begin(start);
#define STEP_OF(whole, k) exp_row_step(s[g], x + at, LANES, n - at, whole, k, scale, second, what, to, to_p)
    ptrdiff_t i = 0;
    for (; i + STEP <= n; i += STEP) {
        if (next)
            ask_for(next + i, STEP * sizeof(real));
        for (int k = 0; ahead && k < STEP; k += WIDTH)
            m = largest_add(m, v_load(ahead + i + k), what);
        for (int g = 0; g < GROUPS; g++) {
            const ptrdiff_t at = i + g * WIDTH;
            real *to = keep ? keep + at : NULL;
            s[g] = STEP_OF(1, 4);
        }
    }
    for (int g = 0; g < GROUPS && i + g * WIDTH < n; g++) {
        const ptrdiff_t at = i + g * WIDTH, left = (n - at + LANES - 1) / LANES;
        real *to = keep ? keep + at : NULL;
        s[g] = left == 4 ? STEP_OF(0, 4) : left == 3 ? STEP_OF(0, 3) : left == 2 ? STEP_OF(0, 2) : STEP_OF(0, 1);
    }
#undef STEP_OF
    for (; ahead && i < n; i += WIDTH)
        m = largest_add(m, v_load_first(ahead + i, n - i, MINUS_INFINITY), what);
    *found = m;
    for (int g = 0; g < GROUPS; g++)
        partial[g] = exp_sum_end(s[g], start, 0);
    ADD_PAIRWISE(sum_add_sum, partial, GROUPS);
    return partial[0];
}

/* The sum of a row with one partial sum, in every lane: exponentials by the vector, but added up one after the other. */
SMX_INLINE pair exp_short_row(vec start, const real *x, ptrdiff_t n, exp_scale scale, vec second, enum sum_of what,
                              real *keep, ptrdiff_t to_p) {
    real power[SMX_SHORT + SMX_STEP], p[SMX_SHORT + SMX_STEP];
    for (ptrdiff_t i = 0; i < n || i % 4 != 0; i += WIDTH) {
        const vec v = v_load_first(x + i, n - i, MINUS_INFINITY);
        const exp_parts e = exp_parts_of(v, scale);
        v_store(power + i, exp_term(v, e, second, what).power);
        v_store(p + i, e.p);
        if (keep) {
            v_store(keep + i, e.power);
            v_store(keep + i + to_p, e.p);
        }
    }
    exp_sum s = exp_sum_begin(start);
    for (ptrdiff_t i = 0; i < n; i += 4) {
        exp_parts term[4];
        for (int k = 0; k < 4; k++) {
            term[k].power = v_set1(power[i + k]);
            term[k].p = v_set1(p[i + k]);
        }
        s = exp_sum_add(s, term, 4, 1);
    }
    return exp_sum_end(s, start, 1);
}

SMX_INLINE largest largest_of_lanes(largest m, enum sum_of what) {
    for (int half = WIDTH / 2; half > 0; half /= 2) {
        const largest upper = {v_move_down(m.first, half), v_move_down(m.second, half)};
        m = largest_merge(m, upper);
    }
    return largest_end(m, what);
}

/* In the first lane. */
SMX_INLINE largest largest_of_row(const real *x, ptrdiff_t n, enum sum_of what) {
    enum { CHAINS = 4 }; /* independent maxima, to hide the latency */
    largest m[CHAINS];
    for (int c = 0; c < CHAINS; c++)
        m[c] = largest_begin();
    /* From the first vector that lies within a line of the cache on: a load across two takes twice as long. */
    ptrdiff_t i = n < 4 * CHAINS * WIDTH ? 0 : (ptrdiff_t)(-(uintptr_t)x % sizeof(vec) / sizeof(real));
    if (i > 0)
        m[0] = largest_add(m[0], v_load_first(x, i, MINUS_INFINITY), what);
    for (; i + CHAINS * WIDTH <= n; i += CHAINS * WIDTH)
        for (int c = 0; c < CHAINS; c++)
            m[c] = largest_add(m[c], v_load(x + i + c * WIDTH), what);
    /* Each chain by a number that the compiler knows: so they stay in registers. */
    for (int c = 0; c < CHAINS - 1 && i + WIDTH <= n; c++, i += WIDTH)
        m[c] = largest_add(m[c], v_load(x + i), what);
    if (i < n)
        m[CHAINS - 1] = largest_add(m[CHAINS - 1], v_load_first(x + i, n - i, MINUS_INFINITY), what);
    return largest_of_lanes(largest_merge(largest_merge(m[0], m[1]), largest_merge(m[2], m[3])), what);
}

/* The lanes of each row's sum. Added up row by row they are a chain of dependent operations each, and half of the lanes
   idle, then three quarters: so from some rows on, those of all rows are added up at once, transposed. */
typedef real lanes_of_rows[SMX_ROWS_AT_ONCE][WIDTH];
#define ADDS_AT_ONCE(rows) (WIDTH >= 4 && 2 * (rows) >= WIDTH)

/* lane[i]: number i of WIDTH rows from row on, the last again and again where fewer are left. */
SMX_INLINE void transpose_lanes(lanes_of_rows of, int row, int width, vec *lane) {
    const real *at[WIDTH];
    for (int k = 0; k < WIDTH; k++)
        at[k] = of[row + k < width ? row + k : width - 1];
    for (int i = 0; i + 4 <= WIDTH; i += 4)
        v_load_columns(at, i, lane + i);
}

/* What the exponentials of rows are relative to. */
typedef struct {
    real first[SMX_ROWS_AT_ONCE], second[SMX_ROWS_AT_ONCE], rounder[SMX_ROWS_AT_ONCE], floor[SMX_ROWS_AT_ONCE],
        start[SMX_ROWS_AT_ONCE], root[SMX_ROWS_AT_ONCE];
} frames_of_rows;
_Static_assert(sizeof(frames_of_rows) <= SMX_FOUND * sizeof(double), "found has room for them");

/* Of one row after the other. */
SMX_INLINE void put_largest(frames_of_rows *of, int row, largest *all, const real *x, ptrdiff_t n, largest m) {
    if (isinf(v_first(m.first)) && !v_all_le(nans_of_row(x, n), v_set1(0)))
        m.first = v_set1((real)NAN);
    put_number(of->first, row, &all->first, m.first);
    put_number(of->second, row, &all->second, m.second);
}
SMX_INLINE void put_frames(frames_of_rows *of, int width, enum sum_of what, const exp_temperature *t) {
    for (int row = 0; row < width; row += WIDTH) {
        const largest m = {v_load(of->first + row), v_load(of->second + row)};
        const exp_frame frame = exp_frame_of(m, what, t);
        v_store(of->rounder + row, frame.rounder);
        v_store(of->floor + row, frame.floor);
        v_store(of->start + row, frame.start);
        v_store(of->root + row, frame.root);
    }
}

/* Row by row, vectors running along the row. What the rows are relative to has been found by the reduce before, whose
   exponentials leave loads to spare; else the maxima of all rows come first: the end of one row's search, a chain of
   dependent operations, then hides behind the next row. */
SMX_INLINE void exp_reduce_rows(const smx_tile *tile, real *partial, int count, enum sum_of what, int keep) {
    const exp_temperature own = *(const exp_temperature *)tile->temperature, *t = &own;
    const int width = tile->width;
    const ptrdiff_t n = tile->n, to_p = keep ? row_of(&tile->kept[1], 0) - row_of(&tile->kept[0], 0) : 0;
    const int at_once = count > 1 && ADDS_AT_ONCE(width);
    const vec none = v_set1(0);
    frames_of_rows here, *const frames = tile->found ? tile->found : &here;
    largest all = {none, none};
    vec high = none, low = none;
    if (!tile->found || !tile->is_found) {
        for (int row = 0; row < width; row++) {
            const real *x = row_of(&tile->in[0], row);
            put_largest(frames, row, &all, x, n, largest_of_row(x, n, what));
        }
        put_frames(frames, width, what, t);
    }
    for (int row = 0; row < width; row += WIDTH) {
        v_store(partial + partial_at(0, width, row), v_load(frames->first + row));
        v_store(partial + partial_at(1, width, row), v_load(frames->second + row));
    }

    lanes_of_rows high_lanes, low_lanes;
    for (int row = 0; row < width; row++) {
        const real *x = row_of(&tile->in[0], row);
        const exp_scale scale = exp_scale_with(v_set1(frames->rounder[row]), v_set1(frames->floor[row]), t);
        const vec threshold = v_set1(partial[partial_at(1, width, row)]), from = v_set1(frames->start[row]);
        const real *ahead = tile->found && row < tile->ahead_width ? row_of(&tile->ahead, row) : NULL;
        real *kept = keep ? row_of(&tile->kept[0], row) : NULL;
        largest found;
        const pair sum = count == 1 ? exp_short_row(from, x, n, scale, threshold, what, kept, to_p)
                                    : exp_long_row(from, x, n, scale, threshold, what, kept, to_p,
                                                   next_row(tile, 0, row), ahead, &found);
        if (count > 1 && ahead)
            put_largest(frames, row, &all, ahead, n, largest_of_lanes(found, what));
        v_store(high_lanes[row], sum.high);
        v_store(low_lanes[row], sum.low);
    }
    for (int row = 0; !at_once && row < width; row++) {
        const pair lanes = pair_of(v_load(high_lanes[row]), v_load(low_lanes[row]));
        const pair total = exp_sum_settle(count > 1 ? sum_lanes(lanes) : lanes, v_set1(frames->root[row]), what);
        put_row(partial, 2, width, row, &high, total.high);
        put_row(partial, 3, width, row, &low, total.low);
    }
    for (int row = 0; at_once && row < width; row += WIDTH) {
        pair sum[WIDTH];
        vec high_lane[WIDTH], low_lane[WIDTH];
        transpose_lanes(high_lanes, row, width, high_lane);
        transpose_lanes(low_lanes, row, width, low_lane);
        for (int i = 0; i < WIDTH; i++)
            sum[i] = pair_of(high_lane[i], low_lane[i]);
        ADD_PAIRWISE(sum_add_sum, sum, WIDTH);
        const pair total = exp_sum_settle(sum[0], v_load(frames->root + row), what);
        v_store(partial + partial_at(2, width, row), total.high);
        v_store(partial + partial_at(3, width, row), total.low);
    }
    if (count > 1 && tile->found)
        put_frames(frames, tile->ahead_width, what, t);
}

/* WIDTH columns: where their elements are; those of the next tile and those of results, to be asked for, or NULL; and where
   what is kept goes, or NULL. */
typedef struct {
    const real *x, *next, *out;
    real *kept;
    ptrdiff_t pitch, next_pitch, out_pitch, kept_pitch, to_p;
} strip;

SMX_INLINE strip first_strip(const smx_tile *tile, int keep) {
    strip at = {.x = row_of(&tile->in[0], 0),
                .next = next_strip(tile, 0, 0),
                .out = awaited_strip(tile, 0),
                .pitch = tile->in[0].element,
                .next_pitch = tile->next[0].element,
                .out_pitch = tile->out.element};
    if (keep) {
        at.kept = row_of(&tile->kept[0], 0);
        at.kept_pitch = tile->kept[0].element;
        at.to_p = row_of(&tile->kept[1], 0) - at.kept;
    }
    return at;
}
SMX_INLINE strip next_of_strip(strip at) {
    at.x += WIDTH;
    at.next = at.next ? at.next + WIDTH : NULL;
    at.out = at.out ? at.out + WIDTH : NULL;
    at.kept = at.kept ? at.kept + WIDTH : NULL;
    return at;
}

/* So many elements from number j on, step apart, into the partial sum that is theirs; left: lanes of each. */
SMX_INLINE exp_sum exp_column_step(exp_sum s, strip at, ptrdiff_t j, ptrdiff_t step, int count, ptrdiff_t left,
                                   exp_scale scale, vec second, enum sum_of what) {
    vec v[IN_STEP];
    exp_parts e[IN_STEP];
    for (int k = 0; k < count; k++)
        v[k] = load_left(at.x + (j + k * step) * at.pitch, left);
    s = exp_step(s, v, count, scale, second, what, step == 1, e);
    for (int k = 0; at.kept && k < count; k++) {
        real *kept = at.kept + (j + k * step) * at.kept_pitch;
        v_store(kept, e[k].power);
        v_store(kept + at.to_p, e[k].p);
    }
    return s;
}

/* Of so many strips from row on, each lane another row; left: rows of the last. */
SMX_INLINE void largest_of_strips(const smx_tile *tile, int row, int strips, ptrdiff_t left, enum sum_of what,
                                  largest *m) {
    const ptrdiff_t n = tile->n, pitch = tile->in[0].element;
    const real *x = row_of(&tile->in[0], row);
    for (int s = 0; s < strips; s++)
        m[s] = largest_begin();
    for (ptrdiff_t j = 0; j < n; j++)
        for (int s = 0; s < strips; s++)
            m[s] = largest_add(m[s], load_left(x + j * pitch + s * WIDTH, left), what);
    for (int s = 0; s < strips; s++) {
        m[s] = largest_end(m[s], what);
        if (!v_all_le(v_abs(m[s].first), HUGEST)) {
            const vec nans = nans_of_columns(x + s * WIDTH, pitch, n, left);
            const vec seen = v_select_le(nans, v_set1(0), m[s].first, EVERY_NAN);
            m[s].first = v_select_le(v_abs(m[s].first), HUGEST, m[s].first, seen);
        }
    }
}

SMX_INLINE pair exp_sum_of_strip(strip at, ptrdiff_t n, ptrdiff_t left, int count, enum sum_of what, vec second,
                                 exp_frame frame, const exp_temperature *t) {
    const exp_scale scale = exp_scale_with(frame.rounder, frame.floor, t);
    const vec start = what == OTHERS_KEEPING_ALL ? frame.start : v_set1(EXP_SUM_START);
    exp_sum s[LANES];
    pair partials[LANES];
    for (int i = 0; i < count; i++)
        s[i] = exp_sum_begin(start);
#define STEP_OF(k)                                                                                                     \
    (at.next = ask_for_lines(at.next, at.next_pitch, k), at.out = ask_for_lines(at.out, at.out_pitch, k),              \
     exp_column_step(s[i], at, j + i, count, k, left, scale, second, what))
    ptrdiff_t j = 0;
    for (; j + 4 * count <= n; j += 4 * count)
        for (int i = 0; i < count; i++)
            s[i] = STEP_OF(4);
    for (int i = 0; i < count && j + i < n; i++) {
        const ptrdiff_t more = (n - j - i + count - 1) / count;
        s[i] = more == 4 ? STEP_OF(4) : more == 3 ? STEP_OF(3) : more == 2 ? STEP_OF(2) : STEP_OF(1);
    }
#undef STEP_OF
    for (int i = 0; i < count; i++)
        partials[i] = exp_sum_end(s[i], start, count == 1);
    ADD_PAIRWISE(sum_add_sum, partials, count);
    return exp_sum_settle(partials[0], frame.root, what);
}

/* A strip of long rows fills the first-level cache by itself: so each is done with before the next. */
SMX_INLINE void exp_reduce_long_columns(const smx_tile *tile, real *partial, enum sum_of what) {
    const exp_temperature own = *(const exp_temperature *)tile->temperature, *t = &own;
    const int width = tile->width;
    const ptrdiff_t n = tile->n;
    strip at = first_strip(tile, 0);
    for (int row = 0; row < width; row += WIDTH, at = next_of_strip(at)) {
        largest m;
        largest_of_strips(tile, row, 1, width - row, what, &m);
        const pair sum = exp_sum_of_strip(at, n, width - row, LANES, what, m.second, exp_frame_of(m, what, t), t);
        store_exp_partial(partial, width, row, m, sum);
    }
}

/* Of short rows, maxima and scales of all strips come before the sums: each is a chain of dependent operations. */
SMX_INLINE void exp_reduce_short_columns(const smx_tile *tile, real *partial, enum sum_of what, int keep) {
    const exp_temperature own = *(const exp_temperature *)tile->temperature, *t = &own;
    const int width = tile->width;
    const ptrdiff_t n = tile->n;
    largest m[SMX_TILE_ROWS / WIDTH];
    exp_frame frame[SMX_TILE_ROWS / WIDTH];
    int first = 0;
    for (; first + STRIPS * WIDTH <= width; first += STRIPS * WIDTH)
        largest_of_strips(tile, first, STRIPS, WIDTH, what, m + first / WIDTH);
    for (; first < width; first += WIDTH)
        largest_of_strips(tile, first, 1, width - first, what, m + first / WIDTH);
    for (int k = 0; k * WIDTH < width; k++)
        frame[k] = exp_frame_of(m[k], what, t);
    strip at = first_strip(tile, keep);
    for (int k = 0; k * WIDTH < width; k++, at = next_of_strip(at)) {
        const pair sum = exp_sum_of_strip(at, n, width - k * WIDTH, 1, what, m[k].second, frame[k], t);
        store_exp_partial(partial, width, k * WIDTH, m[k], sum);
    }
}

/* What write makes a vector of results from: an element of each input, and the constants of its row. */
typedef struct {
    vec v[SMX_MAX_INPUTS], c[SMX_CONSTANTS];
} terms;

/* y of so many vectors, up to IN_STEP */
typedef void (*formula)(const terms *of, int count, const exp_temperature *t, vec *y);
#define EACH for (int k = 0; k < count; k++)

#include "lines.inc.h"

SMX_INLINE void exp_reduce(const smx_tile *tile, void *partial, enum sum_of what, int keep) {
    if (tile->layout == SMX_ROWS && is_short(tile))
        exp_reduce_rows(tile, partial, 1, what, keep);
    else if (tile->layout == SMX_ROWS)
        exp_reduce_rows(tile, partial, LANES, what, keep);
    else if (is_short(tile))
        exp_reduce_short_columns(tile, partial, what, keep);
    else if (what != OTHERS_KEEPING_ALL && follow_as_lines(tile, &tile->in[0]))
        exp_reduce_lines(tile, partial, what);
    else
        exp_reduce_long_columns(tile, partial, what);
}

static void softmax_reduce(const smx_tile *tile, void *partial) {
    if (tile->kept[0].start)
        exp_reduce(tile, partial, ALL, 1);
    else
        exp_reduce(tile, partial, ALL, 0);
}

static void log_softmax_reduce(const smx_tile *tile, void *partial) { exp_reduce(tile, partial, OTHERS, 0); }

typedef struct {
    largest m;
    vec reference; /* the sum is relative to 2^(reference - HEADROOM) */
    pair s;
} exp_total;

SMX_INLINE pair read_sum(const real *partial, int k, int width, int row) {
    return pair_of(v_load(partial + partial_at(k, width, row)), v_load(partial + partial_at(k + 1, width, row)));
}

SMX_INLINE exp_total exp_combine(const real *partials, ptrdiff_t pieces, int width, int row, const exp_temperature *t) {
    const ptrdiff_t size = partial_at(SMX_PARTIALS, width, 0);
    exp_total total;
    total.m = read_largest(partials, width, row);
    for (ptrdiff_t i = 1; i < pieces; i++) {
        const largest m = read_largest(partials + i * size, width, row);
        /* in x a NaN is passed over, but here it has to stay */
        const vec seen = total.m.first;
        total.m = largest_merge(m, total.m);
        total.m.first = v_select_le(m.first, m.first, v_select_le(seen, seen, total.m.first, seen), m.first);
    }
    total.reference = reference_of(total.m, t);
    total.s = pair_of(v_set1(0), v_set1(0));
    if (pieces == 1)
        total.s = sum_settle(read_sum(partials, 2, width, row));
    for (ptrdiff_t i = 0; pieces > 1 && i < pieces; i++) {
        const largest m = read_largest(partials + i * size, width, row);
        const pair s = read_sum(partials + i * size, 2, width, row);
        const vec scale = power_of_two(v_sub(reference_of(m, t), total.reference));
        total.s = sum_add_sum(total.s, pair_of(v_mul(s.high, scale), v_mul(s.low, scale)));
        /* The piece left out its maximum if that stood alone; unless it is the row's, it belongs to the sum. */
        const pair e = exp_of(v_min(m.first, total.m.second), exp_scale_of(total.reference, t));
        const vec alone = v_select_le(m.first, m.second, v_set1(0), v_set1(1));
        const vec counts = v_keep_le(m.first, total.m.second, alone);
        total.s = sum_add(total.s, v_mul(e.high, counts));
        total.s.low = v_fma(e.low, counts, total.s.low);
        /* Each time: what a hundred thousand pieces leave in low would be rounded as coarsely as high is. */
        total.s = sum_settle(total.s);
    }
    return total;
}

/* Of WIDTH rows: which flags, and what has to be subtracted from those that are too large. */
SMX_INLINE int exp_flags(exp_total total, int left, const exp_temperature *t, real *shift) {
    const vec size = v_abs(total.m.first);
    v_store(shift, v_keep_le(size, HUGEST, v_select_le(size, v_set1(t->large), v_set1(0), total.m.first)));
    if (v_all_le(size, v_set1(t->large)) && v_all_le(total.s.high, HUGEST))
        return 0;
    int flags = SMX_NOT_FINITE;
    for (int k = 0; k < WIDTH && k < left; k++)
        if (shift[k] != 0)
            flags |= SMX_TOO_LARGE;
    return flags;
}

/* Rows of which |max| <= large is not true have no finite result here. */
SMX_INLINE vec if_in_range(exp_total total, const exp_temperature *t, vec yes, vec no) {
    return v_select_le(v_abs(total.m.first), v_set1(t->large), yes, no);
}

enum { SOFTMAX_SCALE, SOFTMAX_REST, SOFTMAX_FACTOR, SOFTMAX_ROUNDER, SOFTMAX_FLOOR, SOFTMAX_CONSTANTS };

static int softmax_finish(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift,
                          void *constants) {
    const int width = tile->width;
    const exp_temperature *t = tile->temperature;
    int flags = 0;
    (void)shift;
    for (int row = 0; row < width; row += WIDTH) {
        real *constant = (real *)constants + row;
        const exp_total total = exp_combine(partials, pieces, width, row, t);
        const exp_scale scale = exp_scale_of(total.reference, t);
        /* 1 / sum = inverse (1 + rest): one Newton step on the quotient, rounded to fewer bits */
        const vec inverse = exp_factor(v_div(v_set1(1), total.s.high));
        const vec rest = v_fnma(inverse, total.s.low, v_fnma(inverse, total.s.high, v_set1(1)));
        v_store(constant + SOFTMAX_SCALE * SMX_TILE_ROWS, if_in_range(total, t, inverse, EVERY_NAN));
        v_store(constant + SOFTMAX_REST * SMX_TILE_ROWS, rest);
        v_store(constant + SOFTMAX_FACTOR * SMX_TILE_ROWS, v_add(v_set1(1), rest));
        v_store(constant + SOFTMAX_ROUNDER * SMX_TILE_ROWS, scale.rounder);
        v_store(constant + SOFTMAX_FLOOR * SMX_TILE_ROWS, scale.floor);
        flags |= exp_flags(total, width - row, t, constant + SMX_SHIFT * SMX_TILE_ROWS);
    }
    return flags;
}

/* z = sum of the others / exp(maximum / T) */
SMX_INLINE pair others_over_maximum(exp_total total, const exp_temperature *t) {
    /* the quotient of two pairs: one Newton step on the rounded one */
    const vec own = exp_reference(total.m.first, t);
    const pair divisor = sum_settle(exp_of(total.m.first, exp_scale_of(own, t)));
    pair z;
    z.high = v_div(total.s.high, divisor.high);
    z.low = v_fnma(z.high, divisor.low, v_add(v_fnma(z.high, divisor.high, total.s.high), total.s.low));
    z.low = v_div(z.low, divisor.high);
    /* In two equal steps, of which only the second can meet a subnormal number: references are even. */
    const vec root = power_of_two(v_mul(v_sub(total.reference, own), v_set1((real)0.5)));
    z.high = v_mul(v_mul(z.high, root), root);
    z.low = v_mul(v_mul(z.low, root), root);
    /* Where the maximum is tied, z counts it twice at least. */
    const vec tied = v_select_le(total.m.first, total.m.second, v_set1(-1), v_set1(0));
    return sum_settle(sum_add_smaller(z, tied));
}

/* Of a tile's rows, WIDTH at a time: log(1 + z), the logarithm of the sum relative to the maximum. Step by step, as each is
   a long chain of dependent operations: those of several rows overlap if they follow one another closely. */
typedef struct {
    exp_total total[SMX_TILE_ROWS / WIDTH];
    pair logarithm[SMX_TILE_ROWS / WIDTH];
} tile_logarithms;

SMX_INLINE void log_over_maximum(tile_logarithms *of, const smx_tile *tile, ptrdiff_t pieces, const void *partials) {
    const int width = tile->width;
    const exp_temperature *t = tile->temperature;
    for (int row = 0; row < width; row += WIDTH) {
        const exp_total total = exp_combine(partials, pieces, width, row, t);
        of->total[row / WIDTH] = total;
        of->logarithm[row / WIDTH] = others_over_maximum(total, t);
    }
    for (int row = 0; row < width; row += WIDTH)
        of->logarithm[row / WIDTH] = log_of_1_plus(of->logarithm[row / WIDTH]);
}

/* Whether T is 1; in float, 1 / T may round to 1 though it is not. */
SMX_INLINE int is_1(const exp_temperature *t) { return t->inverse == 1 && t->inverse_low == 0; }

/* The last one where T is not 1; where it is, the pair includes the maximum. */
enum { LOG_HIGH, LOG_LOW, LOG_MAXIMUM };

static int log_softmax_finish(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift,
                              void *constants) {
    const int width = tile->width;
    const exp_temperature *t = tile->temperature;
    tile_logarithms of;
    int flags = 0;
    (void)shift;
    log_over_maximum(&of, tile, pieces, partials);
    for (int row = 0; row < width; row += WIDTH) {
        real *constant = (real *)constants + row;
        const exp_total total = of.total[row / WIDTH];
        pair logarithm = of.logarithm[row / WIDTH];
        if (is_1(t))
            logarithm = sum_add_sum(pair_of(total.m.first, v_set1(0)), logarithm);
        v_store(constant + LOG_HIGH * SMX_TILE_ROWS, if_in_range(total, t, logarithm.high, EVERY_NAN));
        v_store(constant + LOG_LOW * SMX_TILE_ROWS, logarithm.low);
        v_store(constant + LOG_MAXIMUM * SMX_TILE_ROWS, total.m.first);
        flags |= exp_flags(total, width - row, t, constant + SMX_SHIFT * SMX_TILE_ROWS);
    }
    return flags;
}

static int logsumexp_finish(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift,
                            void *constants) {
    const int width = tile->width;
    const exp_temperature *t = tile->temperature;
    tile_logarithms of;
    int flags = 0;
    log_over_maximum(&of, tile, pieces, partials);
    for (int row = 0; row < width; row += WIDTH) {
        real *constant = (real *)constants + row;
        const exp_total total = of.total[row / WIDTH];
        const vec shifted_by = shift ? v_load((const real *)shift + row) : v_set1(0);
        const pair maximum = sum_add(pair_of(shifted_by, v_set1(0)), total.m.first);
        const pair logarithm = sum_add_sum(maximum, of.logarithm[row / WIDTH]);
        const vec value = if_in_range(total, t, v_add(logarithm.high, logarithm.low), total.m.first);
        v_store(constant, one_nan(value));
        flags |= exp_flags(total, width - row, t, constant + SMX_SHIFT * SMX_TILE_ROWS);
    }
    return flags;
}

/* ---- rows into columns -------------------------------------------------------------------------------------------- */

/* So many rows as a strip has. */
SMX_INLINE void ask_for_rows(const real *rows, ptrdiff_t row, ptrdiff_t n) {
    const ptrdiff_t size = sizeof(real);
    if (row < 2 * n)
        ask_for(rows, WIDTH * row * size);
    else
        for (int k = 0; k < WIDTH; k++)
            ask_for(rows + k * row, n * size);
}

/* Where elements from j on of WIDTH rows stand, that are so far apart: by fours, whose addresses fit into registers. */
SMX_INLINE void find_rows(const real *rows, ptrdiff_t row, ptrdiff_t j, const real **at) {
    for (int four = 0; four < WIDTH; four += 4) {
        const real *first = rows + four * row + j;
        for (int k = 0; k < 4 && four + k < WIDTH; k++)
            at[four + k] = first + k * row;
    }
}

/* Of four elements or more of WIDTH rows, or of so many that are left: then the last of them is taken again and again. */
SMX_INLINE void strip_to_columns(const real *rows, ptrdiff_t row, int left, int is_whole, ptrdiff_t n, real *block,
                                 ptrdiff_t element) {
    const real *at[WIDTH];
    if (!is_whole) {
        find_rows(rows, row, 0, at);
        for (int k = left; k < WIDTH; k++)
            at[k] = at[k - 1];
    }
    /* Of the last four some may have been moved before: moving them again spares a remainder. */
    for (ptrdiff_t j = 0; j < n; j += 4) {
        const ptrdiff_t here = j + 4 <= n ? j : n - 4;
        vec column[4];
        if (is_whole)
            find_rows(rows, row, here, at);
        v_load_columns(at, is_whole ? 0 : here, column);
        for (int k = 0; k < 4; k++)
            v_store(block + (here + k) * element, column[k]);
    }
}

/* Four elements of WIDTH rows at a time, transposed in registers, by a loop of its own for whole strips. Rows of two or three
   that follow one another are taken apart as a whole. */
static void rows_to_columns(const void *rows, ptrdiff_t row, int width, ptrdiff_t n, void *block, ptrdiff_t element,
                            int is_far) {
    for (int first = 0; first < width; first += WIDTH) {
        const real *from = (const real *)rows + first * row;
        real *to = (real *)block + first;
        if (is_far)
            ask_for_rows(from + width * row, row, n);
        if (n >= 4 && first + WIDTH <= width) {
            strip_to_columns(from, row, WIDTH, 1, n, to, element);
        } else if (n >= 4) {
            strip_to_columns(from, row, width - first, 0, n, to, element);
        } else if (first + WIDTH <= width && row == n) {
            vec column[4];
            if (n == 1)
                column[0] = v_load(from);
            else if (n == 2)
                v_load_pairs(from, column);
            else
                v_load_triples(from, column);
            for (int k = 0; k < n; k++)
                v_store(to + k * element, column[k]);
        } else {
            for (ptrdiff_t j = 0; j < n; j++)
                for (int k = 0; k < WIDTH; k++)
                    to[j * element + k] = first + k < width ? from[k * row + j] : 0;
        }
    }
}

/* ---- sums of products: the derivatives -------------------------------------------------------------------------- */

SMX_INLINE vec seen_or_0(const unsigned char *mask, ptrdiff_t left, vec a, enum masking how) {
    const vec zero = v_set1(0);
    return how == NO_MASK ? a : how == BY_LANE ? v_select_bytes(mask, left, a, zero) : seen_or(*mask, a, zero);
}

/* Reals without a mask have loops of their own for whole vectors, and for each number of partial sums. Of all else there
   is one loop, since each is compiled for every formula. */
SMX_INLINE int is_plain(enum smx_storage storage, enum masking how) { return storage == SMX_REAL && how == NO_MASK; }

/* Hidden ones count as 0. */
SMX_INLINE vec load_seen(const char *x, const unsigned char *mask, ptrdiff_t left, enum smx_storage storage,
                         enum masking how) {
    return seen_or_0(mask, left, load_stored(x, left, storage), how);
}

SMX_INLINE void sum_reduce_rows(const smx_tile *tile, real *partial, enum smx_storage storage, enum masking how,
                                enum summand what) {
    const int width = tile->width, at_once = LANES_IN_PARTS(what) && ADDS_AT_ONCE(width);
    const ptrdiff_t n = tile->n, size = size_of(storage);
    lanes_of_rows high_lanes, low_lanes, lowest_lanes;
    vec high = v_set1(0), low = high, lowest = high;
    for (int row = 0; row < width; row++) {
        const char *y = (const char *)tile->in[0].start + row * tile->in[0].row * size;
        const char *g = (const char *)tile->in[1].start + row * tile->in[1].row * size;
        const unsigned char *mask = mask_of(tile, row);
        const real *out = is_plain(storage, how) ? awaited_row(tile, row) : NULL;
        derivative_sum s[GROUPS];
        for (int k = 0; k < GROUPS; k++)
            s[k] = derivative_sum_begin();
#define SEEN(x, at, left) load_seen(x + (at) * size, mask_at(mask, at, how), left, storage, how)
        ptrdiff_t i = 0;
        for (; i + LANES <= n; i += LANES) {
            if (what == GRADIENT && tile->next[0].start) /* the exponentials' arguments, which only write reads */
                ask_for(y + i * size, LANES * size);
            if (out)
                ask_for(out + i, LANES * size);
            for (int k = 0; k < GROUPS; k++)
                if (is_plain(storage, how))
                    s[k] = derivative_sum_add_at(s[k], (const real *)y + i + k * WIDTH, (const real *)g + i + k * WIDTH,
                                                 what);
                else
                    s[k] = derivative_sum_add(s[k], SEEN(y, i + k * WIDTH, WIDTH), SEEN(g, i + k * WIDTH, WIDTH), what);
        }
        for (int k = 0; k < GROUPS && i < n; i += WIDTH, k++) /* GROUPS: or they leave their registers */
            s[k] = derivative_sum_add(s[k], SEEN(y, i, n - i), SEEN(g, i, n - i), what);
#undef SEEN
        ADD_PAIRWISE(ADD_DERIVATIVE_SUMS, s, GROUPS);
        if (at_once) {
            const long_sum lanes = derivative_sum_end(s[0], what);
            v_store(high_lanes[row], lanes.high);
            v_store(low_lanes[row], lanes.low);
            v_store(lowest_lanes[row], lanes.lowest);
            continue;
        }
        const long_sum total = derivative_sum_lanes(s[0], what);
        put_row(partial, 0, width, row, &high, total.high);
        put_row(partial, 1, width, row, &low, total.low);
        put_row(partial, 2, width, row, &lowest, total.lowest);
    }
    for (int row = 0; at_once && row < width; row += WIDTH) {
        derivative_sum sum[WIDTH];
        vec high_lane[WIDTH], low_lane[WIDTH], lowest_lane[WIDTH];
        transpose_lanes(high_lanes, row, width, high_lane);
        transpose_lanes(low_lanes, row, width, low_lane);
        transpose_lanes(lowest_lanes, row, width, lowest_lane);
        for (int i = 0; i < WIDTH; i++)
            sum[i] = derivative_sum_of_parts(high_lane[i], low_lane[i], lowest_lane[i], what);
        ADD_PAIRWISE(ADD_DERIVATIVE_SUMS, sum, WIDTH);
        store_long_sum(partial, width, row, derivative_sum_end(sum[0], what));
    }
}

SMX_INLINE long_sum read_long_sum(const real *partial, int width, int row) {
    return long_sum_of(read_sum(partial, 0, width, row), v_load(partial + partial_at(2, width, row)));
}

SMX_INLINE void sum_reduce_strip(const smx_tile *tile, real *partial, int row, ptrdiff_t left, int count,
                                 enum smx_storage storage, enum masking how, enum summand what) {
    const ptrdiff_t n = tile->n, size = size_of(storage);
    const ptrdiff_t y_pitch = tile->in[0].element * size, g_pitch = tile->in[1].element * size;
    const char *y = (const char *)tile->in[0].start + row * size, *g = (const char *)tile->in[1].start + row * size;
    const real *y_next = next_strip(tile, 0, row), *g_next = next_strip(tile, 1, row);
    const real *out = awaited_strip(tile, row);
    const unsigned char *mask = mask_of(tile, row);
    derivative_sum s[LANES];
    for (int i = 0; i < count; i++)
        s[i] = derivative_sum_begin();
    for (ptrdiff_t j = 0; j < n; j += count)
        for (int i = 0; i < count && j + i < n; i++) {
            const char *y_at = y + (j + i) * y_pitch, *g_at = g + (j + i) * g_pitch;
            const unsigned char *seen = mask_at(mask, (j + i) * tile->mask.element, how);
            if (y_next)
                SMX_PREFETCH(y_next + (j + i) * tile->next[0].element + WIDTH - 1);
            if (g_next)
                SMX_PREFETCH(g_next + (j + i) * tile->next[1].element + WIDTH - 1);
            if (out)
                SMX_PREFETCH(out + (j + i) * tile->out.element + WIDTH - 1);
            if (left >= WIDTH && is_plain(storage, how))
                s[i] = derivative_sum_add_at(s[i], (const real *)y_at, (const real *)g_at, what);
            else
                s[i] = derivative_sum_add(s[i], load_seen(y_at, seen, left, storage, how),
                                          load_seen(g_at, seen, left, storage, how), what);
        }
    ADD_PAIRWISE(ADD_DERIVATIVE_SUMS, s, count);
    store_long_sum(partial, tile->width, row, derivative_sum_end(s[0], what));
}

SMX_INLINE void sum_reduce_columns(const smx_tile *tile, real *partial, int count, enum smx_storage storage,
                                   enum masking how, enum summand what) {
    int row = 0;
    for (; is_plain(storage, how) && row + WIDTH <= tile->width; row += WIDTH)
        sum_reduce_strip(tile, partial, row, WIDTH, count, storage, how, what);
    for (; row < tile->width; row += WIDTH)
        sum_reduce_strip(tile, partial, row, tile->width - row, count, storage, how, what);
}

/* Columns first to last, by numbers that the compiler knows: so they stay in registers. */
SMX_INLINE derivative_sum sum_add_columns(derivative_sum s, const vec *y, const vec *g, int first, int last,
                                          enum summand what) {
    for (int k = first; k <= last; k++)
        s = derivative_sum_add(s, what == GRADIENT ? g[k] : y[k], g[k], what);
    return s;
}

/* The sums of WIDTH short rows of n > 1 elements that follow one another, transposed in registers. */
SMX_INLINE derivative_sum sum_of_strip(const real *y, const real *g, ptrdiff_t n, enum summand what) {
    derivative_sum s = derivative_sum_begin();
    vec y_column[4], g_column[4];
    if (n == 2) {
        v_load_pairs(y, y_column);
        v_load_pairs(g, g_column);
        return sum_add_columns(s, y_column, g_column, 0, 1, what);
    }
    if (n == 3) {
        v_load_triples(y, y_column);
        v_load_triples(g, g_column);
        return sum_add_columns(s, y_column, g_column, 0, 2, what);
    }
#define LOAD_COLUMNS(j)                                                                                                \
    find_rows(y, n, j, y_row);                                                                                         \
    find_rows(g, n, j, g_row);                                                                                         \
    v_load_columns(y_row, 0, y_column);                                                                                \
    v_load_columns(g_row, 0, g_column)
    const real *y_row[WIDTH], *g_row[WIDTH];
    ptrdiff_t j = 0;
    for (; j + 4 <= n; j += 4) {
        LOAD_COLUMNS(j);
        s = sum_add_columns(s, y_column, g_column, 0, 3, what);
    }
    if (j == n)
        return s;
    LOAD_COLUMNS(n - 4);
#undef LOAD_COLUMNS
    if (n - j == 1)
        return sum_add_columns(s, y_column, g_column, 3, 3, what);
    if (n - j == 2)
        return sum_add_columns(s, y_column, g_column, 2, 3, what);
    return sum_add_columns(s, y_column, g_column, 1, 3, what);
}

/* Short rows that follow one another. */
SMX_INLINE void sum_reduce_run(const smx_tile *tile, real *partial, enum summand what) {
    const ptrdiff_t n = tile->n;
    for (int row = 0; row < tile->width; row += WIDTH) {
        const real *y = row_of(&tile->in[0], row), *g = row_of(&tile->in[1], row);
        const int left = tile->width - row;
        derivative_sum s = derivative_sum_begin();
        for (int k = 0; k < 2; k++)
            if (tile->next[k].start)
                ask_for(next_row(tile, k, row), WIDTH * n * (ptrdiff_t)sizeof(real));
#if REAL_BITS == 32
        if (what == PRODUCT)
            s.products = product_sum_of_rows(y, g, n, left);
        else
#endif
            if (left >= WIDTH && n > 1)
            s = sum_of_strip(y, g, n, what);
        else {
            const int rows = left < WIDTH ? left : WIDTH;
            real y_block[SMX_SHORT * WIDTH], g_block[SMX_SHORT * WIDTH];
            if (what != GRADIENT)
                rows_to_columns(y, n, rows, n, y_block, WIDTH, 0);
            rows_to_columns(g, n, rows, n, g_block, WIDTH, 0);
            for (ptrdiff_t j = 0; j < n; j++)
                s = derivative_sum_add_at(s, (what == GRADIENT ? g_block : y_block) + j * WIDTH, g_block + j * WIDTH,
                                          what);
        }
        store_long_sum(partial, tile->width, row, derivative_sum_end(s, what));
    }
}

SMX_INLINE void sum_reduce_from(const smx_tile *tile, real *partial, enum smx_storage storage, enum masking how,
                                enum summand what) {
    const int few = what == GRADIENT ? 1 : SHORT_PRODUCT_SUMS;
    if (tile->layout == SMX_ROWS)
        sum_reduce_rows(tile, partial, storage, how, what);
    else if (!is_plain(storage, how))
        sum_reduce_columns(tile, partial, is_short(tile) ? few : LANES, storage, how, what);
    else if (is_short(tile))
        sum_reduce_columns(tile, partial, few, storage, how, what);
    else if (follow_as_lines(tile, &tile->in[0]) && follow_as_lines(tile, &tile->in[1]))
        sum_reduce_lines(tile, partial, what);
    else
        sum_reduce_columns(tile, partial, LANES, storage, how, what);
}

SMX_INLINE void sum_reduce(const smx_tile *tile, void *partial, enum summand what) {
    if (tile->as_run)
        sum_reduce_run(tile, partial, what);
#if REAL_BITS == 32
    else if (tile->storage == SMX_FLOAT16)
        sum_reduce_from(tile, partial, SMX_FLOAT16, NO_MASK, what);
    else if (tile->storage == SMX_BFLOAT16)
        sum_reduce_from(tile, partial, SMX_BFLOAT16, NO_MASK, what);
#endif
    else if (masking_of(tile) == BY_LINE)
        sum_reduce_from(tile, partial, SMX_REAL, BY_LINE, what);
    else if (masking_of(tile) == BY_LANE)
        sum_reduce_from(tile, partial, SMX_REAL, BY_LANE, what);
    else
        sum_reduce_from(tile, partial, SMX_REAL, NO_MASK, what);
}

static void softmax_vjp_reduce(const smx_tile *tile, void *partial) { sum_reduce(tile, partial, PRODUCT); }
static void log_softmax_vjp_reduce(const smx_tile *tile, void *partial) { sum_reduce(tile, partial, GRADIENT); }
static void log_softmax_jvp_reduce(const smx_tile *tile, void *partial) { sum_reduce(tile, partial, EXP_PRODUCT); }

/* The gradient of a hidden element, whose y is 0: y (g - d) is then +0 for every |d| up to it. */
#define MASKED_GRADIENT (REAL_BITS == 32 ? FLT_MAX / 2 : DBL_MAX / 2)

/* Less than what could make a finite g - d infinite, and y (g - d) NaN where y is 0. */
#define MODERATE_SUM (REAL_BITS == 32 ? 0x1p102 : 0x1p969)

static int sum_finish(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift,
                      void *constants) {
    const int width = tile->width;
    int flags = 0;
    (void)shift;
    for (int row = 0; row < width; row += WIDTH) {
        long_sum total = read_long_sum(partials, width, row);
        for (ptrdiff_t i = 1; i < pieces; i++) {
            const real *partial = (const real *)partials + i * partial_at(SMX_PARTIALS, width, 0);
            total = long_sum_add_sum(total, read_long_sum(partial, width, row));
        }
        /* Of an infinite sum, what was lost is NaN. */
        const pair s = sum_settle(sum_add(pair_of(total.high, total.lowest), total.low));
        v_store((real *)constants + row, v_select_le(v_abs(total.high), HUGEST, s.high, total.high));
        flags |= v_all_le(v_abs(s.high), v_set1((real)MODERATE_SUM)) ? 0 : SMX_NOT_FINITE;
    }
    return flags; /* a NaN of y may come up at any element of log_softmax_vjp all the same: its formula sees to it */
}

/* ---- write: a formula for each element -------------------------------------------------------------------------- */

/* exp(x) / sum - less, the inverse of the sum being scale (1 + rest): scale M (1 + p) (1 + rest), of which scale M is exact,
   and all that is added to it is small. Where the result is subnormal, that product may be as well: it costs half a unit in
   the last place there, and nothing elsewhere. */
SMX_INLINE vec softmax_less(vec power, vec p, const vec *c, vec less) {
    const vec scaled = v_mul(c[SOFTMAX_SCALE], power);
    return v_fma(scaled, v_fma(p, c[SOFTMAX_FACTOR], c[SOFTMAX_REST]), v_sub(scaled, less));
}
SMX_INLINE void softmax_of_parts(const terms *of, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH y[k] = softmax_less(of[k].v[0], of[k].v[1], of[k].c, v_set1(0));
}

/* The exponentials of the first inputs, by the rounders and floors of their rows. */
SMX_INLINE void exp_of_terms(const terms *of, int count, const exp_temperature *t, exp_parts *e) {
    vec x[IN_STEP];
    exp_scale scale[IN_STEP];
    EACH x[k] = of[k].v[0];
    EACH scale[k] = exp_scale_with(of[k].c[SOFTMAX_ROUNDER], of[k].c[SOFTMAX_FLOOR], t);
    exp_parts_in_step(x, count, scale, 1, e);
}
SMX_INLINE void softmax_of(const terms *of, int count, const exp_temperature *t, vec *y) {
    exp_parts e[IN_STEP];
    exp_of_terms(of, count, t, e);
    EACH y[k] = softmax_less(e[k].power, e[k].p, of[k].c, v_set1(0));
}

SMX_INLINE void log_softmax_of(const terms *of, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH y[k] = v_sub(v_sub(of[k].v[0], of[k].c[LOG_HIGH]), of[k].c[LOG_LOW]);
}
/* a + b, which is not positive, and what its rounding lost: the lesser of the two is the larger in size, so three operations
   do (Dekker's Fast2Sum). */
SMX_INLINE pair sum_below_0(vec a, vec b) {
    const vec lesser = v_min(a, b), greater = v_max(a, b), t = v_add(lesser, greater);
    return pair_of(t, v_sub(greater, v_sub(t, lesser)));
}
/* (x - maximum) / T - log(1 + z), every step a pair, so that the result has one large rounding, its own. */
SMX_INLINE void log_softmax_tempered_of(const terms *of, int count, const exp_temperature *t, vec *y) {
    const vec zero = v_set1(0), inverse = v_set1(t->inverse), inverse_low = v_set1(t->inverse_low);
    EACH {
        const vec *c = of[k].c;
        const pair gap = sum_below_0(of[k].v[0], v_sub(zero, c[LOG_MAXIMUM]));
        const pair quotient = two_product(gap.high, inverse);
        const vec low = v_fma(gap.low, inverse, v_fma(gap.high, inverse_low, v_sub(quotient.low, c[LOG_LOW])));
        const pair sum = sum_below_0(quotient.high, v_sub(zero, c[LOG_HIGH]));
        /* of an infinite one, what was lost is NaN: v_min makes it a number */
        y[k] = v_add(sum.high, v_min(v_add(sum.low, low), HUGEST));
    }
}
/* Of these two, no NaN that is seen unless sum_finish has seen it coming: where d is finite so is all of y and g that enters
   the result, where it is moderate so is g - d. */
SMX_INLINE void softmax_vjp_of(const terms *of, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH y[k] = v_mul(of[k].v[0], v_sub(of[k].v[1], of[k].c[0]));
}
SMX_INLINE void log_softmax_jvp_of(const terms *of, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH y[k] = v_sub(of[k].v[0], of[k].c[0]);
}
SMX_INLINE void log_softmax_vjp_of(const terms *of, int count, const exp_temperature *t, vec *y) {
    vec x[IN_STEP], e[IN_STEP];
    (void)t;
    EACH x[k] = of[k].v[0];
    exp_alone_in_step(x, count, e);
    EACH y[k] = one_nan(v_fnma(e[k], of[k].c[0], of[k].v[1]));
}
SMX_INLINE void less_constant(const terms *of, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH y[k] = v_sub(of[k].v[0], of[k].c[0]);
}
SMX_INLINE void settled(const terms *of, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH y[k] = one_nan(of[k].v[0]);
}

/* to = the formula of so many inputs and constants, over a tile. What the mask hides becomes 0.
   as_run: the rows, of up to SMX_SHORT elements, follow one another in every array. WIDTH rows are then n whole vectors,
   and each lane looks up the constants of its row, whose number is that of the element, divided by n. */
SMX_INLINE void apply_to_rows(const smx_tile *tile, const smx_view *to, const smx_view *const *from, int inputs,
                              enum smx_storage storage, const void *constants, int constant_count,
                              enum smx_storage to_storage, int stream, enum masking how, int as_run, formula f) {
    const ptrdiff_t from_size = size_of(storage), to_size = size_of(to_storage);
    const ptrdiff_t ahead = as_run && tile->next[0].start ? row_of(&tile->next[0], 0) - row_of(&tile->in[0], 0) : 0;
    const int at_once = as_run ? WIDTH : 1;
    const real length = (real)tile->n;
    /* A copy: what is written to memory might be the original, for all that the compiler knows. */
    const exp_temperature own = *(const exp_temperature *)tile->temperature, *t = &own;
    for (int row = 0; row < tile->width; row += at_once) {
        const int left = tile->width - row;
        const ptrdiff_t n = (left < at_once ? left : at_once) * tile->n;
        vec constant_of_row[SMX_CONSTANTS], y[IN_STEP];
        terms of[IN_STEP];
        const char *in[SMX_MAX_INPUTS];
        const unsigned char *mask = mask_of(tile, row);
        char *out = (char *)to->start + row * to->row * to_size;
        for (int k = 0; k < constant_count; k++) {
            const real *constant = (const real *)constants + k * SMX_TILE_ROWS + row;
            constant_of_row[k] = as_run ? v_load(constant) : v_set1(*constant);
            for (int s = 0; s < IN_STEP; s++)
                of[s].c[k] = constant_of_row[k];
        }
        for (int k = 0; k < inputs; k++)
            in[k] = (const char *)from[k]->start + row * from[k]->row * from_size;
        /* less half a row, as the quotient is rounded to nearest */
        vec position = v_add(v_load(lane_numbers), v_set1((1 - length) / 2));
        ptrdiff_t i = 0;
#define VALUES(count, left)                                                                                            \
    for (int s = 0; s < (count); s++) {                                                                                \
        for (int k = 0; k < inputs; k++)                                                                               \
            of[s].v[k] = load_stored(in[k] + (i + s * WIDTH) * from_size, left, storage);                              \
        if (as_run) {                                                                                                  \
            const vec index = v_fma(position, v_set1(1 / length), v_set1(ROUNDER));                                    \
            for (int k = 0; k < constant_count; k++)                                                                   \
                of[s].c[k] = v_permute(constant_of_row[k], index);                                                     \
            position = v_add(position, v_set1(WIDTH));                                                                 \
        }                                                                                                              \
    }                                                                                                                  \
    f(of, count, t, y);                                                                                                \
    for (int s = 0; s < (count); s++)                                                                                  \
    y[s] = seen_or_0(mask_at(mask, i + s * WIDTH, how), left, y[s], how)
#define WHOLE_VECTORS(count)                                                                                           \
    for (; i + (count) * WIDTH <= n; i += (count) * WIDTH) {                                                           \
        VALUES(count, WIDTH);                                                                                          \
        if (ahead && !stream)                                                                                          \
            ask_for(out + (i + ahead) * to_size, (count) * WIDTH * to_size);                                           \
        for (int s = 0; s < (count); s++)                                                                              \
            if (stream)                                                                                                \
                v_stream((real *)out + i + s * WIDTH, y[s]);                                                           \
            else                                                                                                       \
                store_stored(out + (i + s * WIDTH) * to_size, WIDTH, y[s], to_storage);                                \
    }
        int aligns = is_plain(storage, how) && to_storage == SMX_REAL && !as_run && n >= 16 * WIDTH;
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

/* So many strips of WIDTH rows from row on; left: rows of the last strip, WIDTH or more if it is whole. Results of whole
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
            of[s].c[k] = v_load((const real *)constants + k * SMX_TILE_ROWS + row + s * WIDTH);
    for (int k = 0; k < inputs; k++) {
        in[k] = (const char *)from[k]->start + row * from[k]->row * size;
        step[k] = from[k]->element * size;
    }
    const unsigned char *mask = mask_of(tile, row);
    char *out = (char *)to->start + row * to->row * to_size;
    for (ptrdiff_t j = 0; j < n; j++, out += to->element * to_size) {
        for (int s = 0; s < strips; s++)
            for (int k = 0; k < inputs; k++)
                of[s].v[k] = load_stored(in[k] + j * step[k] + s * WIDTH * size, left, storage);
        f(of, strips, t, y);
        for (int s = 0; s < strips; s++) {
            const ptrdiff_t lane = how == BY_LANE ? s * WIDTH : 0;
            const unsigned char *seen = mask_at(mask, j * tile->mask.element + lane, how);
            if (stream)
                v_stream((real *)out + s * WIDTH, y[s]);
            else
                store_stored(out + s * WIDTH * to_size, left, seen_or_0(seen, left, y[s], how), to_storage);
        }
    }
}

SMX_INLINE void apply_to_columns(const smx_tile *tile, const smx_view *to, const smx_view *const *from, int inputs,
                                 enum smx_storage storage, const void *constants, int constant_count,
                                 enum smx_storage to_storage, int stream, enum masking how, formula f) {
#define APPLY(strips, left, stream)                                                                                    \
    apply_to_strips(tile, to, from, inputs, storage, constants, constant_count, to_storage, how, row, strips, left,    \
                    stream, f)
    const int width = tile->width, is_real = is_plain(storage, how) && to_storage == SMX_REAL;
    int row = 0, are_lines = is_real && !stream && follow_as_lines(tile, to);
    for (int k = 0; k < inputs; k++)
        are_lines = are_lines && follow_as_lines(tile, from[k]);
    if (are_lines) {
        apply_to_lines(tile, to, from, inputs, constants, constant_count, f);
        return;
    }
    if (is_real && stream) {
        for (; row + STRIPS * WIDTH <= width; row += STRIPS * WIDTH)
            APPLY(STRIPS, WIDTH, 1);
        for (; row + LINE_STRIPS * WIDTH <= width; row += LINE_STRIPS * WIDTH)
            APPLY(LINE_STRIPS, WIDTH, 1);
    } else if (is_real) {
        /* Of long columns, a line may be far from the next: the less often one goes from line to line, the better. */
        for (; tile->length > SMX_SHORT && row + STRIPS * WIDTH <= width; row += STRIPS * WIDTH)
            APPLY(STRIPS, WIDTH, 0);
        for (; row + WIDTH <= width; row += WIDTH)
            APPLY(1, WIDTH, 0);
    }
    for (; row < width; row += WIDTH)
        APPLY(1, width - row, 0);
#undef APPLY
}

SMX_INLINE vec value_of_column(const smx_view *const *from, int inputs, int row, ptrdiff_t j, terms *of,
                               const exp_temperature *t, formula f) {
    vec y;
    for (int k = 0; k < inputs; k++)
        of->v[k] = v_load(row_of(from[k], row) + j * from[k]->element);
    f(of, 1, t, &y);
    return y;
}

/* Of columns of reals to rows, by way of registers. Of a row's last four elements some may have been written before. */
SMX_INLINE void apply_into_rows(const smx_view *to, const smx_view *const *from, int inputs, int width, ptrdiff_t n,
                                int is_far, const void *constants, int constant_count, const exp_temperature *t,
                                formula f) {
    const ptrdiff_t row = to->row;
    for (int first = 0; first < width; first += WIDTH) {
        real *rows = (real *)to->start + first * row;
        terms of;
        vec column[4];
        for (int k = 0; k < constant_count; k++)
            of.c[k] = v_load((const real *)constants + k * SMX_TILE_ROWS + first);
        if (is_far)
            ask_for_rows(rows + width * row, row, n);
#define COLUMN(j) value_of_column(from, inputs, first, j, &of, t, f)
        if (first + WIDTH <= width && n >= 4) {
            for (ptrdiff_t j = 0; j < n; j += 4) {
                const ptrdiff_t here = j + 4 <= n ? j : n - 4;
                const real *at[WIDTH];
                for (int k = 0; k < 4; k++)
                    column[k] = COLUMN(here + k);
                find_rows(rows, row, here, at);
                v_store_columns((real *const *)at, 0, column);
            }
        } else if (first + WIDTH <= width && row == n && n <= 3) {
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
                real lane[WIDTH];
                v_store(lane, COLUMN(j));
                for (int k = 0; k < WIDTH && first + k < width; k++)
                    rows[k * row + j] = lane[k];
            }
        }
#undef COLUMN
    }
}

SMX_INLINE void apply(const smx_tile *tile, const smx_view *to, const smx_view *const *from, int inputs,
                      const void *constants, int constant_count, formula f) {
    if (tile->layout == SMX_ROWS)
        apply_to_rows(tile, to, from, inputs, SMX_REAL, constants, constant_count, SMX_REAL, 0, NO_MASK, 0, f);
    else
        apply_to_columns(tile, to, from, inputs, SMX_REAL, constants, constant_count, SMX_REAL, 0, NO_MASK, f);
}

/* is_derivative: an operation that takes masks and 16 bits. */
SMX_INLINE void write_from(const smx_tile *tile, const smx_view *const *from, int inputs, const void *constants,
                           int constant_count, int is_derivative, formula f) {
#define WRITE_ROWS(storage, to, stream, how, as_run)                                                                   \
    apply_to_rows(tile, &tile->out, from, inputs, storage, constants, constant_count, to, stream, how, as_run, f)
#define WRITE_COLUMNS(storage, to, stream, how)                                                                        \
    apply_to_columns(tile, &tile->out, from, inputs, storage, constants, constant_count, to, stream, how, f)
#define WRITE(storage, to, how, may_be_run)                                                                            \
    do {                                                                                                               \
        if (tile->layout == SMX_COLUMNS)                                                                               \
            WRITE_COLUMNS(storage, to, 0, how);                                                                        \
        else if (may_be_run && tile->as_run)                                                                           \
            WRITE_ROWS(storage, to, 0, how, 1);                                                                        \
        else                                                                                                           \
            WRITE_ROWS(storage, to, 0, how, 0);                                                                        \
    } while (0)
    const enum masking how = is_derivative ? masking_of(tile) : NO_MASK;
#if REAL_BITS == 32
    const enum smx_storage storage = is_derivative ? tile->storage : SMX_REAL, to = tile->out_storage;
    if (storage == SMX_FLOAT16 && to == SMX_FLOAT16)
        WRITE(SMX_FLOAT16, SMX_FLOAT16, NO_MASK, 1);
    else if (storage == SMX_FLOAT16)
        WRITE(SMX_FLOAT16, SMX_REAL, NO_MASK, 0);
    else if (storage == SMX_BFLOAT16 && to == SMX_BFLOAT16)
        WRITE(SMX_BFLOAT16, SMX_BFLOAT16, NO_MASK, 1);
    else if (storage == SMX_BFLOAT16)
        WRITE(SMX_BFLOAT16, SMX_REAL, NO_MASK, 0);
    else if (to == SMX_FLOAT16)
        WRITE(SMX_REAL, SMX_FLOAT16, NO_MASK, 0);
    else if (to == SMX_BFLOAT16)
        WRITE(SMX_REAL, SMX_BFLOAT16, NO_MASK, 0);
    else
#endif
        if (is_derivative && tile->stream && tile->as_run)
        WRITE_ROWS(SMX_REAL, SMX_REAL, 1, NO_MASK, 1);
    else if (tile->stream && tile->layout == SMX_ROWS && how == BY_LANE)
        WRITE_ROWS(SMX_REAL, SMX_REAL, 1, BY_LANE, 0);
    else if (tile->stream && tile->layout == SMX_ROWS)
        WRITE_ROWS(SMX_REAL, SMX_REAL, 1, NO_MASK, 0);
    else if (tile->stream && how == NO_MASK)
        WRITE_COLUMNS(SMX_REAL, SMX_REAL, 1, NO_MASK);
    else if (how == BY_LINE)
        WRITE_COLUMNS(SMX_REAL, SMX_REAL, 0, BY_LINE);
    else if (how == BY_LANE)
        WRITE(SMX_REAL, SMX_REAL, BY_LANE, 1);
    else
        WRITE(SMX_REAL, SMX_REAL, NO_MASK, 1);
    if (tile->stream)
        v_stream_end();
#undef WRITE
#undef WRITE_COLUMNS
#undef WRITE_ROWS
}

SMX_INLINE void write_with(const smx_tile *tile, int inputs, const void *constants, int constant_count,
                           int is_derivative, formula f) {
    const smx_view *const from[SMX_MAX_INPUTS] = {&tile->in[0], &tile->in[1], &tile->in[2]};
    write_from(tile, from, inputs, constants, constant_count, is_derivative, f);
}

static void softmax_write(const smx_tile *tile, const void *constants) {
    const smx_view *const kept[2] = {&tile->kept[0], &tile->kept[1]};
    if (tile->kept[0].start && tile->layout == SMX_COLUMNS && tile->out.row != 1)
        apply_into_rows(&tile->out, kept, 2, tile->width, tile->n, tile->next[0].start != NULL, constants,
                        SOFTMAX_FACTOR + 1, tile->temperature, softmax_of_parts);
    else if (tile->kept[0].start)
        write_from(tile, kept, 2, constants, SOFTMAX_FACTOR + 1, 0, softmax_of_parts);
    else
        write_with(tile, 1, constants, SOFTMAX_CONSTANTS, 0, softmax_of);
}
static void log_softmax_write(const smx_tile *tile, const void *constants) {
    const exp_temperature *t = tile->temperature;
    if (is_1(t))
        write_with(tile, 1, constants, 2, 0, log_softmax_of);
    else
        write_with(tile, 1, constants, 3, 0, log_softmax_tempered_of);
}
static void softmax_vjp_write(const smx_tile *tile, const void *constants) {
    write_with(tile, 2, constants, 1, 1, softmax_vjp_of);
}
static void log_softmax_vjp_write(const smx_tile *tile, const void *constants) {
    write_with(tile, 2, constants, 1, 1, log_softmax_vjp_of);
}
static void log_softmax_jvp_write(const smx_tile *tile, const void *constants) {
    const smx_view *const from[1] = {&tile->in[1]};
    write_from(tile, from, 1, constants, 1, 1, log_softmax_jvp_of);
}

#include "loss.inc.h"

/* ---- what a tile may need beside ---------------------------------------------------------------------------------- */

static void subtract(const smx_tile *tile, const void *shift) {
    const smx_view *const from[1] = {&tile->in[0]};
    apply(tile, &tile->in[0], from, 1, shift, 1, less_constant);
}

static void settle_nans(const smx_tile *tile) {
    const smx_view *const from[1] = {&tile->out};
    apply(tile, &tile->out, from, 1, NULL, 0, settled);
}

/* Each line asks for one so far ahead that memory brings it meanwhile; beyond the last, for what lies beside the first. */
SMX_INLINE void load_lines(const char *lines, ptrdiff_t line, int width, ptrdiff_t n, real *block, ptrdiff_t element,
                           enum smx_storage storage, int is_far) {
    enum { ON_THEIR_WAY = 16 * 1024 }; /* bytes */
    const ptrdiff_t size = size_of(storage), enough = ON_THEIR_WAY / (width * size), by = enough < n ? enough : n;
    for (ptrdiff_t j = 0; j < n; j++) {
        const char *from = lines + j * line * size;
        const char *ahead = from + (j + by < n ? by * line : (by - n) * line + width) * size;
        const ptrdiff_t before = (ptrdiff_t)((uintptr_t)ahead % SMX_CACHE_LINE); /* in the same line of the cache */
        if (is_far)
            ask_for(ahead - before, before + width * size);
        for (int row = 0; row < width; row += WIDTH)
            v_store(block + j * element + row, load_stored(from + row * size, width - row, storage));
    }
}
/* The block need not be padded. Reals: by whole vectors, into what the next line is to be written over. */
SMX_INLINE void store_lines(const real *block, ptrdiff_t element, char *lines, ptrdiff_t line, int width, ptrdiff_t n,
                            enum smx_storage storage) {
    const ptrdiff_t size = size_of(storage);
    for (ptrdiff_t j = 0; j < n; j++)
        for (int row = 0; row < width; row += WIDTH) {
            const ptrdiff_t left = storage == SMX_REAL ? WIDTH : width - row;
            store_stored(lines + (j * line + row) * size, left, load_left(block + j * element + row, left), storage);
        }
}

static void lines_to_columns(enum smx_storage storage, const void *lines, ptrdiff_t line, int width, ptrdiff_t n,
                             void *block, ptrdiff_t element, int is_far) {
    if (storage == SMX_REAL)
        load_lines(lines, line, width, n, block, element, SMX_REAL, is_far);
#if REAL_BITS == 32
    else if (storage == SMX_FLOAT16)
        load_lines(lines, line, width, n, block, element, SMX_FLOAT16, is_far);
    else
        load_lines(lines, line, width, n, block, element, SMX_BFLOAT16, is_far);
#endif
}
static void columns_to_lines(enum smx_storage storage, const void *block, ptrdiff_t element, void *lines,
                             ptrdiff_t line, int width, ptrdiff_t n) {
    if (storage == SMX_REAL)
        store_lines(block, element, lines, line, width, n, SMX_REAL);
#if REAL_BITS == 32
    else if (storage == SMX_FLOAT16)
        store_lines(block, element, lines, line, width, n, SMX_FLOAT16);
    else
        store_lines(block, element, lines, line, width, n, SMX_BFLOAT16);
#endif
}

SMX_INLINE void itself(const terms *of, int count, const exp_temperature *t, vec *y) {
    (void)t;
    EACH y[k] = of[k].v[0];
}
static void columns_to_rows(const void *block, ptrdiff_t element, void *rows, ptrdiff_t row, int width, ptrdiff_t n,
                            int is_far) {
    const smx_view columns = {(void *)block, 1, element}, to = {rows, row, 1};
    const smx_view *const from[1] = {&columns};
    apply_into_rows(&to, from, 1, width, n, is_far, NULL, 0, &no_temperature, itself);
}

/* ---- the table ------------------------------------------------------------------------------------------------------ */

#define JOIN_(a, b, c, d) a##b##c##d
#define JOIN(a, b, c, d) JOIN_(a, b, c, d)
#define STRING_(a) #a
#define STRING(a) STRING_(a)

/* Measured: bench/README.md. In thousands of floats; doubles take twice the time. */
#define WORTH_A_THREAD(thousands) ((thousands) * 1024 * 32 / REAL_BITS)
#define HIDDEN(first, second, out, comes_by_itself) {{first, second}, out, comes_by_itself}

const smx_kernels
    JOIN(smx_, LEVEL, _f, REAL_BITS) =
        {
            .level = STRING(LEVEL),
            .real_size = sizeof(real),
            .lanes = LANES,
            .op =
                {
                    [SMX_SOFTMAX] = {.inputs = 1,
                                     .elementwise = 1,
                                     .uses_keep = 1,
                                     .subtracts_max = 1,
                                     .looks_ahead = 1,
                                     .has_short_rows = 1,
                                     .takes_lines = 1,
                                     .takes_narrow_lines = 1,
                                     .writes_rows = 1,
                                     .reduce = softmax_reduce,
                                     .finish = softmax_finish,
                                     .write = softmax_write,
                                     .hidden = HIDDEN(-INFINITY, 0, 0, 1),
                                     .worth_a_thread = WORTH_A_THREAD(16)},
                    [SMX_LOG_SOFTMAX] = {.inputs = 1,
                                         .elementwise = 1,
                                         .subtracts_max = 1,
                                         .looks_ahead = 1,
                                         .has_short_rows = 1,
                                         .takes_lines = 1,
                                         .takes_narrow_lines = 1,
                                         .reduce = log_softmax_reduce,
                                         .finish = log_softmax_finish,
                                         .write = log_softmax_write,
                                         .hidden = HIDDEN(-INFINITY, 0, -INFINITY, 1),
                                         .worth_a_thread = WORTH_A_THREAD(16)},
                    [SMX_LOGSUMEXP] = {.inputs = 1,
                                       .subtracts_max = 1,
                                       .looks_ahead = 1,
                                       .has_short_rows = 1,
                                       .takes_lines = 1,
                                       .takes_narrow_lines = 1,
                                       .reduce = log_softmax_reduce,
                                       .finish = logsumexp_finish,
                                       .hidden = HIDDEN(-INFINITY, 0, 0, 1),
                                       .worth_a_thread = WORTH_A_THREAD(20)},
                    [SMX_SOFTMAX_VJP] = {.inputs = 2,
                                         .elementwise = 1,
                                         .is_derivative = 1,
                                         .reduces_runs = 1,
                                         .takes_lines = 1,
                                         .takes_narrow_lines = 1,
                                         .reduce = softmax_vjp_reduce,
                                         .finish = sum_finish,
                                         .write = softmax_vjp_write,
                                         .hidden = HIDDEN(0, MASKED_GRADIENT, 0, 1),
                                         .worth_a_thread = WORTH_A_THREAD(24)},
                    [SMX_LOG_SOFTMAX_VJP] = {.inputs = 2,
                                             .elementwise = 1,
                                             .is_derivative = 1,
                                             .reduces_runs = 1,
                                             .takes_lines = 1,
                                             .takes_narrow_lines = 1,
                                             .reduce = log_softmax_vjp_reduce,
                                             .finish = sum_finish,
                                             .write = log_softmax_vjp_write,
                                             .hidden = HIDDEN(-INFINITY, 0, 0, 1),
                                             .worth_a_thread = WORTH_A_THREAD(12)},
                    [SMX_LOG_SOFTMAX_JVP] = {.inputs = 2,
                                             .elementwise = 1,
                                             .is_derivative = 1,
                                             .takes_lines = 1,
                                             .takes_narrow_lines = 1,
                                             .reduce = log_softmax_jvp_reduce,
                                             .finish = sum_finish,
                                             .write = log_softmax_jvp_write,
                                             .hidden = HIDDEN(-INFINITY, 0, 0, 0),
                                             .worth_a_thread = WORTH_A_THREAD(12)},
                    [SMX_LABEL_LOSS] = {.inputs = 1,
                                        .has_labels = 1,
                                        .subtracts_max = 1,
                                        .reduce = label_loss_reduce,
                                        .finish = loss_finish,
                                        .hidden = HIDDEN(0, 0, 0, 1),
                                        .worth_a_thread = WORTH_A_THREAD(12)},
                    [SMX_LABEL_LOSS_GRAD] = {.inputs = 1,
                                             .elementwise = 1,
                                             .has_row_out = 1,
                                             .has_labels = 1,
                                             .uses_keep = 1,
                                             .subtracts_max = 1,
                                             .reduce = label_loss_reduce,
                                             .finish = loss_finish,
                                             .write = label_loss_write,
                                             .hidden = HIDDEN(0, 0, 0, 1),
                                             .worth_a_thread = WORTH_A_THREAD(12)},
                    [SMX_SMOOTH_LOSS] = {.inputs = 2,
                                         .has_labels = 1,
                                         .subtracts_max = 1,
                                         .reduce = smooth_loss_reduce,
                                         .finish = loss_finish,
                                         .hidden = HIDDEN(0, 0, 0, 1),
                                         .worth_a_thread = WORTH_A_THREAD(10)},
                    [SMX_SMOOTH_LOSS_GRAD] = {.inputs = 2,
                                              .elementwise = 1,
                                              .has_row_out = 1,
                                              .has_labels = 1,
                                              .subtracts_max = 1,
                                              .reduce = smooth_loss_reduce,
                                              .finish = loss_finish,
                                              .write = smooth_loss_write,
                                              .hidden = HIDDEN(0, 0, 0, 1),
                                              .worth_a_thread = WORTH_A_THREAD(10)},
                    [SMX_TARGET_LOSS] = {.inputs = 3,
                                         .subtracts_max = 1,
                                         .reduce = target_loss_reduce,
                                         .finish = loss_finish,
                                         .hidden = HIDDEN(0, 0, 0, 1),
                                         .worth_a_thread = WORTH_A_THREAD(10)},
                    [SMX_TARGET_LOSS_GRAD] = {.inputs = 3,
                                              .elementwise = 1,
                                              .has_row_out = 1,
                                              .subtracts_max = 1,
                                              .reduce = target_loss_reduce,
                                              .finish = loss_finish,
                                              .write = target_loss_write,
                                              .hidden = HIDDEN(0, 0, 0, 1),
                                              .worth_a_thread = WORTH_A_THREAD(10)},
                },
            .lines_to_columns = lines_to_columns,
            .columns_to_lines = columns_to_lines,
            .rows_to_columns = rows_to_columns,
            .columns_to_rows = columns_to_rows,
            .no_temperature = &no_temperature,
            .set_temperature = set_temperature,
            .subtract = subtract,
            .settle_nans = settle_nans,
            .hide = hide,
#if REAL_BITS == 32
            .widen = widen,
            .narrow = narrow,
#endif
};

END_OF_TARGET
