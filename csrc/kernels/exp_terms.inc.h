/* How the elements of a row become terms of a sum of exponentials, for every loop that adds such terms up: the row's
   frame of numbers, the step of up to four vectors, what is saved of them, and rows whose maximum is far above the
   others. reduce_exp.inc.h and lines.inc.h have the loops. */

/* ---- partials and frames ---------------------------------------------------------------------------------------- */

SMX_INLINE largest read_largest(const real *partial, int rows, int row) {
    const largest m = {v_load(partial + partial_at(0, rows, row)), v_load(partial + partial_at(1, rows, row))};
    return m;
}

/* The partial of a piece: the two largest elements, the sum of its terms, and that of terms times gaps. */
enum { PARTIAL_TERMS = 2, PARTIAL_GAPS = 4 };

/* The sums of a row at their end, and while they grow. Without OTHERS_WITH_GAPS, gaps is not in use. */
typedef struct {
    pair terms, gaps;
} row_sums;
typedef struct {
    exp_sum terms, gaps;
} running_sums;

SMX_INLINE row_sums row_sums_add(row_sums a, row_sums b) {
    a.terms = sum_add_sum(a.terms, b.terms);
    a.gaps = sum_add_sum(a.gaps, b.gaps);
    return a;
}

SMX_INLINE void store_exp_partial(real *partial, int rows, int row, largest m, row_sums s, enum sum_of what) {
    v_store(partial + partial_at(0, rows, row), m.first);
    v_store(partial + partial_at(1, rows, row), m.second);
    store_pair(partial, PARTIAL_TERMS, rows, row, s.terms);
    if (what == OTHERS_WITH_GAPS)
        store_pair(partial, PARTIAL_GAPS, rows, row, s.gaps);
}

/* Gaps are taken in units of a power of two near T, and finish multiplies their sum by the rest of 1 / T: so scaling
   rounds nothing, and no sum is out of range, however large T is. */
SMX_INLINE vec gap_unit(const exp_temperature *t) {
    return power_of_two(v_sub(v_exponent_field(v_set1(t->inverse)), v_set1(BIAS)));
}

/* The sum of terms times gaps starts at a larger number than that of the terms: larger by a power of two that is above
   the gap of the largest term, as terms fall faster than gaps grow beyond that gap. A start that is larger still would
   cost digits: the roundings of the sum lose in proportion to it. If the largest term is negligible, its gap may be
   more than LARGEST_GAP, but that term is as much smaller. */
SMX_INLINE vec gaps_start(vec gap) {
    const vec size = v_max(v_set1(1), v_min(gap, v_set1(LARGEST_GAP)));
    return v_mul(power_of_two(v_sub(v_exponent_field(size), v_set1(BIAS - 1))), v_set1(EXP_SUM_START));
}

/* The scale of the terms (exp_scale_with), the number at which their sum starts, and the square root of the factor that
   brings the sum to the scale of `reference_of`. */
typedef struct {
    vec rounder, floor, start, root;
} exp_frame;

SMX_INLINE exp_frame exp_frame_of(largest m, vec initial, enum sum_of what, const exp_temperature *t) {
    const vec reference = reference_of(m, initial, t);
    vec max_reference = reference, start = v_set1(EXP_SUM_START), root = v_set1(1);
    if (what == OTHERS_SAVING_ALL) {
        max_reference = v_max(initial, exp_reference(m.first, t));
        const vec half = v_mul(v_sub(max_reference, reference), v_set1((real)0.5)),
                  down = power_of_two(v_sub(v_set1(0), half));
        start = v_mul(v_mul(start, down), down);
        root = power_of_two(half);
    }
    const exp_scale scale = exp_scale_of(max_reference, t);
    const exp_frame frame = {scale.rounder, scale.floor, start, root};
    return frame;
}

/* The term that an element x adds to the sum; e is its exponential. */
SMX_INLINE exp_parts exp_term(vec x, exp_parts e, vec second, enum sum_of what) {
    return what == ALL ? e : exp_up_to(second, x, e);
}

/* How elements become terms of a sum: the scale of the exponentials, the largest element that counts (unless all do),
   and the number at which the sum starts; for gaps, their unit, the maximum in it, and where their sum starts. */
typedef struct {
    exp_scale scale;
    vec second, start, unit, maximum, gaps_start;
    enum sum_of what;
} term_rule;

SMX_INLINE term_rule term_rule_of(largest m, vec rounder, vec floor, vec start, enum sum_of what,
                                  const exp_temperature *t) {
    const vec unit = what == OTHERS_WITH_GAPS ? gap_unit(t) : v_set1(1);
    /* The maximum is -inf if all elements are; then any finite number will do. */
    const vec maximum = v_mul(v_max(floor, m.first), unit);
    const term_rule rule = {exp_scale_with(rounder, floor, t),
                            m.second,
                            start,
                            unit,
                            maximum,
                            what == OTHERS_WITH_GAPS ? gaps_start(v_fnma(v_max(floor, m.second), unit, maximum))
                                                     : start,
                            what};
    return rule;
}

SMX_INLINE running_sums running_sums_begin(const term_rule *rule) {
    const running_sums s = {exp_sum_begin(rule->start), exp_sum_begin(rule->gaps_start)};
    return s;
}
/* done: elements of the piece that are in the sums. */
SMX_INLINE int settles_after(ptrdiff_t done) { return done % EXP_SETTLE == 0; }
SMX_INLINE running_sums running_sums_settle(running_sums s, const term_rule *rule) {
    s.terms = exp_sum_settle(s.terms);
    if (rule->what == OTHERS_WITH_GAPS)
        s.gaps = exp_sum_settle(s.gaps);
    return s;
}
SMX_INLINE row_sums running_sums_end(running_sums s, const term_rule *rule, int is_short) {
    const row_sums end = {exp_sum_end(s.terms, rule->start, is_short), exp_sum_end(s.gaps, rule->gaps_start, is_short)};
    return end;
}

/* The place where the two parts of a row's exponentials are saved: each power, and its p at p_offset from it. If
   nothing is to be saved, power is NULL. */
typedef struct {
    real *power;
    ptrdiff_t p_offset;
} saved_parts;

SMX_INLINE saved_parts saved_at(saved_parts saved, ptrdiff_t i) {
    saved.power = saved.power ? saved.power + i : NULL;
    return saved;
}
SMX_INLINE void save_parts(saved_parts saved, ptrdiff_t i, exp_parts e) {
    v_store(saved.power + i, e.power);
    v_store(saved.power + i + saved.p_offset, e.p);
}

/* Adds up to four vectors of elements to their partial sums s; sets e to their exponentials. Elements below the floor,
   whose terms are 0, have finite gaps. */
SMX_INLINE running_sums exp_step(running_sums s, const vec *x, int count, const term_rule *rule, int is_short_row,
                                 exp_parts *e) {
    exp_parts term[IN_STEP];
    exp_scale scales[IN_STEP];
    for (int k = 0; k < count; k++)
        scales[k] = rule->scale;
    exp_parts_in_step(x, count, scales, 1, e);
    for (int k = 0; k < count; k++)
        term[k] = exp_term(x[k], e[k], rule->second, rule->what);
    s.terms = exp_sum_add(s.terms, term, count, is_short_row);
    if (rule->what == OTHERS_WITH_GAPS) {
        for (int k = 0; k < count; k++) {
            const vec gap = v_fnma(v_max(rule->scale.floor, x[k]), rule->unit, rule->maximum);
            term[k].power = v_mul(term[k].power, gap);
        }
        s.gaps = exp_sum_add(s.gaps, term, count, is_short_row);
    }
    return s;
}

/* ---- rows whose maximum is far above the others ----------------------------------------------------------------- */

/* Terms relative to the maximum become 0 if they are more than NEGLIGIBLE below it. That costs nothing as long as
   another term is much larger. If even the second largest element is far below the maximum, OTHERS_SAVING_ALL takes
   the sum of the row from OTHERS, whose terms are relative to the second. The two sums of a tile are kept side by side,
   and each row chooses. */
typedef struct {
    int any; /* the tile has such rows */
    real high[SMX_TILE_ROWS], low[SMX_TILE_ROWS];
} far_rows;

SMX_INLINE vec far_limit(const exp_temperature *t) { return v_set1(t->negligible * (real)0.55); }
/* A row that has no second element has no other terms, and is not far. */
SMX_INLINE vec far_gap(largest m) { return v_select_le(v_abs(m.second), HUGEST, v_sub(m.first, m.second), v_set1(0)); }
SMX_INLINE int any_far(largest m, const exp_temperature *t) { return !v_all_le(far_gap(m), far_limit(t)); }

SMX_INLINE void far_rows_keep(far_rows *far, int rows, const real *partial) {
    for (int row = 0; row < rows; row += LANES) {
        const pair s = read_sum(partial, PARTIAL_TERMS, rows, row);
        v_store(far->high + row, s.high);
        v_store(far->low + row, s.low);
    }
}
/* are_kept: the sums that were kept are those of OTHERS. */
SMX_INLINE void far_rows_choose(const far_rows *far, int are_kept, int rows, real *partial, const exp_temperature *t) {
    for (int row = 0; row < rows; row += LANES) {
        const vec gap = far_gap(read_largest(partial, rows, row)), limit = far_limit(t);
        const pair here = read_sum(partial, PARTIAL_TERMS, rows, row),
                   kept = pair_of(v_load(far->high + row), v_load(far->low + row)), near = are_kept ? here : kept,
                   other = are_kept ? kept : here;
        store_pair(
            partial, PARTIAL_TERMS, rows, row,
            pair_of(v_select_le(gap, limit, near.high, other.high), v_select_le(gap, limit, near.low, other.low)));
    }
}
