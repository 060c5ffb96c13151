/* Cross-entropy and its gradient, in one sweep over the logits. Included by ops.inc.h.

   With targets t_j (smx_targets says what they are) and p = softmax(x), of a row

       loss        sum t_j (-log p_j) = S + T log(1 + z),    S = sum t_j (max - x_j),    T = sum t_j
       gradient    (T p_j - t_j) / divisor

   log(1 + z), z being the sum of the other exponentials relative to the maximum's, is what log_softmax has, and every
   term of the loss is positive if the targets are: nothing cancels, and the loss of a confident row, close to 0, keeps
   its digits. A target of 0 adds 0, at a logit of -inf as well. S, T, T / divisor and the sum of the exponentials are
   pairs.

   S and T of a piece are relative to its own maximum; finish brings them to that of the row. What a label's target adds
   is looked up, row by row, and taken off its element of the gradient at the end: the three operations differ in what
   other targets there are. Where there are none, reduce keeps its exponentials for the gradient, as softmax does.

   The claims are of targets that are not negative, without weights and smoothing, whose roundings (one each) come on
   top: label_loss of x and label 0, target_loss of x and q. One ULP is that of the true loss; u is half the machine
   epsilon times an element's natural scale, T p + t.

   claim: label_loss float32 <= 2 ulp; found 1.12 at hex: 0x1.712be2p-1, -0x1.34d8ccp-1, -0x1.ad2b7cp+0,
     -0x1.62a444p-2, 0x1.2a0516p+1, -0x1.139374p-1
   claim: label_loss float64 <= 2 ulp; found 1.16 at hex: -0x1.82c69e551447ep-2, 0x1.1019347fe886ap-3
   claim: label_loss_grad float32 <= 4 u; found 1.55 at hex: 0x1.d6a65cp+4, -0x1.fb1c02p+4, -0x1.4e0deep+2,
     0x1.893258p+4
   claim: label_loss_grad float64 <= 4 u; found 1.53 at hex: -0x1.3a485a43fe13ep+5, -0x1.2ea6f66e53665p+5,
     0x1.4c37a15664bebp+5, 0x1.19af0395bd7ccp+6, -0x1.c042a09967df2p+6, 0x1.ba13dbf4a4c83p+6, -0x1.0919fb966c048p+7,
     -0x1.f335e1507d8efp+5, -0x1.f22cf46655fbap+3, -0x1.3fd30b8c9ace6p+4, -0x1.c7d11b4b3f41ep+3, 0x1.0e64ea022c09ep+5
   claim: target_loss float32 <= 2 ulp; found 1.50 at hex: 0x1.4924e4p+3, 0x1.52e19ep+5, 0x1.fe8cbep+0, 0x1.040fbcp+17
   claim: target_loss float64 <= 2 ulp; found 1.49 at hex: -0x1.da9d1c83154f3p+2, -0x1.eda22c14cbb0dp+3,
     0x1.51870cc9a5c74p+8, 0x1.fda0fe613161cp+2
   claim: target_loss_grad float32 <= 4 u; found 2.17 at hex: -0x1.1bb93ap+0, 0x1.5a54f4p+0, 0x1.99bd12p+1,
     0x1.b37852p-6, -0x1.ffcd26p+1, 0x1.f20d0ep+3, -0x1.56aa02p+3, -0x1.817f26p-3, -0x1.6219a6p-5, 0x1.0b9b4ep+3,
     0x1.95cad6p-4, -0x1.9ff1ccp+2, 0x1.34adf6p+0, 0x1.ab1c1ap-2, 0x1.d6041ap+0, 0x1.a98c1ep+0, 0x1.147b68p+1,
     0x1.a9b5cp-2, 0x1.096b0cp+2, 0x1.f7069cp-3, 0x1.07e14ep+1, 0x1.d31c58p-5, 0x1.dda864p-1, 0x1.4a612ep+0
   claim: target_loss_grad float64 <= 4 u; found 2.12 at hex: 0x1.19bfbac12329fp+3, -0x1.e84f0a0d74c82p+1,
     -0x1.21546d8f05c7p+3, 0x1.0c39a7a75784p-4, 0x1.6b0a0cdbaa06cp-4, 0x1.fbcb11f5753b6p+2 */

enum { LOSS, LOSS_SOFTMAX, LOSS_LABEL = LOSS_SOFTMAX + SOFTMAX_CONSTANTS, LOSS_KEEP, LOSS_SPREAD };

/* ---- sums over the targets --------------------------------------------------------------------------------------- */

typedef struct {
    pair t, s;
} target_sums;

SMX_INLINE target_sums target_begin(void) {
    const pair zero = pair_of(v_set1(0), v_set1(0));
    const target_sums none = {zero, zero};
    return none;
}

/* x, weight and (of so many inputs) q: zeros add nothing. */
SMX_INLINE target_sums target_add(target_sums sums, const vec v[SMX_MAX_INPUTS], int inputs, vec keep, vec spread,
                                  vec maximum) {
    const vec zero = v_set1(0);
    const vec share = inputs > 2 ? v_fma(keep, v[2], spread) : spread;
    const vec target = v_mul(v[1], share);
    const vec gap = v_select_le(v_abs(target), zero, zero, v_sub(maximum, v[0]));
    sums.t = sum_add_product(sums.t, v[1], share);
    sums.s = sum_add_product(sums.s, target, gap);
    return sums;
}

SMX_INLINE target_sums target_add_sums(target_sums a, target_sums b) {
    a.t = sum_add_sum(a.t, b.t);
    a.s = sum_add_sum(a.s, b.s);
    return a;
}

/* Partials: those of the exponentials, T, S. */
enum { PARTIAL_T = 4, PARTIAL_S = 6 };

SMX_INLINE void store_pair(real *partial, int k, int width, int row, pair s) {
    v_store(partial + partial_at(k, width, row), s.high);
    v_store(partial + partial_at(k + 1, width, row), s.low);
}

/* The reference of a piece's S: finite, though there may be nothing but -inf. */
SMX_INLINE vec piece_maximum(vec first) { return v_max(v_sub(v_set1(0), HUGEST), first); }

SMX_INLINE void target_reduce_rows(const smx_tile *tile, real *partial, int inputs) {
    const int width = tile->width;
    const ptrdiff_t n = tile->n;
    const vec keep = v_set1((real)tile->targets->keep), spread = v_set1((real)tile->targets->spread);
    const vec zero = v_set1(0);
    vec t_high = zero, t_low = zero, s_high = zero, s_low = zero;
    for (int row = 0; row < width; row++) {
        const vec maximum = piece_maximum(v_set1(partial[partial_at(0, width, row)]));
        const real *in[SMX_MAX_INPUTS];
        for (int k = 0; k < inputs; k++)
            in[k] = row_of(&tile->in[k], row);
        target_sums sums[GROUPS];
        vec v[SMX_MAX_INPUTS];
        for (int g = 0; g < GROUPS; g++)
            sums[g] = target_begin();
        ptrdiff_t i = 0;
        for (; i + LANES <= n; i += LANES)
            for (int g = 0; g < GROUPS; g++) {
                for (int k = 0; k < inputs; k++)
                    v[k] = v_load(in[k] + i + g * WIDTH);
                sums[g] = target_add(sums[g], v, inputs, keep, spread, maximum);
            }
        for (int g = 0; i < n; i += WIDTH, g++) {
            for (int k = 0; k < inputs; k++)
                v[k] = v_load_first(in[k] + i, n - i, zero);
            sums[g] = target_add(sums[g], v, inputs, keep, spread, maximum);
        }
        ADD_PAIRWISE(target_add_sums, sums, GROUPS);
        const pair t = sum_lanes(sums[0].t), s = sum_lanes(sums[0].s);
        put_row(partial, PARTIAL_T, width, row, &t_high, t.high);
        put_row(partial, PARTIAL_T + 1, width, row, &t_low, t.low);
        put_row(partial, PARTIAL_S, width, row, &s_high, s.high);
        put_row(partial, PARTIAL_S + 1, width, row, &s_low, s.low);
    }
}

SMX_INLINE void target_reduce_columns(const smx_tile *tile, real *partial, int count, int inputs) {
    const int width = tile->width;
    const vec keep = v_set1((real)tile->targets->keep), spread = v_set1((real)tile->targets->spread);
    for (int row = 0; row < width; row += WIDTH) {
        const vec maximum = piece_maximum(v_load(partial + partial_at(0, width, row)));
        target_sums sums[LANES];
        for (int i = 0; i < count; i++)
            sums[i] = target_begin();
        for (ptrdiff_t j = 0; j < tile->n; j += count)
            for (int i = 0; i < count && j + i < tile->n; i++) {
                vec v[SMX_MAX_INPUTS];
                for (int k = 0; k < inputs; k++)
                    v[k] = v_load(row_of(&tile->in[k], row) + (j + i) * tile->in[k].element);
                sums[i] = target_add(sums[i], v, inputs, keep, spread, maximum);
            }
        ADD_PAIRWISE(target_add_sums, sums, count);
        store_pair(partial, PARTIAL_T, width, row, sums[0].t);
        store_pair(partial, PARTIAL_S, width, row, sums[0].s);
    }
}

SMX_INLINE void target_reduce(const smx_tile *tile, real *partial, int inputs) {
    if (tile->layout == SMX_ROWS)
        target_reduce_rows(tile, partial, inputs);
    else if (is_short(tile))
        target_reduce_columns(tile, partial, 1, inputs);
    else
        target_reduce_columns(tile, partial, LANES, inputs);
}

/* Of the labels that are in this piece, logit and target; else 0. */
typedef struct {
    real x[SMX_TILE_ROWS], target[SMX_TILE_ROWS];
} labels;

SMX_INLINE void label_find(const smx_tile *tile, labels *found) {
    const int width = tile->width;
    const int64_t *label = tile->label, first = tile->first, n = tile->n;
    const real *factor = tile->factor;
    const smx_view x = tile->in[0];
    for (int row = 0; row < width; row++) {
        const int64_t at = label[row] - first;
        const int is_here = (uint64_t)at < (uint64_t)n;
        found->x[row] = row_of(&x, row)[(is_here ? at : 0) * x.element];
        found->target[row] = is_here ? factor[row] : 0;
    }
    for (int row = width; row % WIDTH != 0; row++)
        found->x[row] = found->target[row] = 0;
}

/* Adds them; alone: there are no other targets. */
SMX_INLINE void label_reduce(const smx_tile *tile, const labels *found, real *partial, int alone) {
    const int width = tile->width;
    const vec zero = v_set1(0);
    for (int row = 0; row < width; row += WIDTH) {
        const vec x = v_load(found->x + row), target = v_load(found->target + row);
        const vec maximum = piece_maximum(v_load(partial + partial_at(0, width, row)));
        const vec gap = v_select_le(v_abs(target), zero, zero, v_sub(maximum, x));
        pair t = pair_of(zero, zero), s = t;
        if (!alone) {
            t = read_sum(partial, PARTIAL_T, width, row);
            s = read_sum(partial, PARTIAL_S, width, row);
        }
        store_pair(partial, PARTIAL_T, width, row, sum_add(t, target));
        store_pair(partial, PARTIAL_S, width, row, sum_add_product(s, target, gap));
    }
}

static void label_loss_reduce(const smx_tile *tile, void *partial) {
    labels found;
    label_find(tile, &found); /* before the exponentials, which may take the place of the logits */
    if (tile->kept[0].start)
        exp_reduce(tile, partial, OTHERS_KEEPING_ALL, 1);
    else
        exp_reduce(tile, partial, OTHERS_KEEPING_ALL, 0);
    label_reduce(tile, &found, partial, 1);
}
static void smooth_loss_reduce(const smx_tile *tile, void *partial) {
    labels found;
    label_find(tile, &found);
    log_softmax_reduce(tile, partial);
    target_reduce(tile, partial, 2);
    label_reduce(tile, &found, partial, 0);
}
static void target_loss_reduce(const smx_tile *tile, void *partial) {
    log_softmax_reduce(tile, partial);
    target_reduce(tile, partial, 3);
}

/* ---- the constants of a row -------------------------------------------------------------------------------------- */

/* S and T of rows whose maximum that is. */
SMX_INLINE target_sums target_combine(const real *partials, ptrdiff_t pieces, int width, int row, vec maximum) {
    target_sums total = target_begin();
    for (ptrdiff_t i = 0; i < pieces; i++) {
        const real *partial = partials + i * partial_at(SMX_PARTIALS, width, 0);
        const pair t = read_sum(partial, PARTIAL_T, width, row);
        const vec gap = v_sub(maximum, piece_maximum(v_load(partial + partial_at(0, width, row))));
        total.t = sum_add_sum(total.t, t);
        total.s = sum_add_sum(total.s, read_sum(partial, PARTIAL_S, width, row));
        if (pieces > 1) {
            total.s = sum_add_product(total.s, t.high, gap);
            total.s.low = v_fma(t.low, gap, total.s.low);
        }
    }
    total.t = sum_settle(total.t);
    return total;
}

/* Whether there are rows that do not count. */
SMX_INLINE int has_ignored(const smx_tile *tile) {
    int64_t all = 0;
    for (int row = 0; tile->label && row < tile->width; row++)
        all |= tile->label[row];
    return all < 0;
}

/* The sum of all exponentials relative to 2^(own - HEADROOM), own being the maximum's reference. */
SMX_INLINE pair sum_with_maximum(exp_total total, vec own, const exp_temperature *t) {
    const pair e = exp_of(total.m.first, exp_scale_of(own, t));
    const vec root = power_of_two(v_mul(v_sub(total.reference, own), v_set1((real)0.5)));
    const vec alone = v_select_le(total.m.first, total.m.second, v_set1(0), v_set1(1));
    pair s = pair_of(v_mul(v_mul(total.s.high, root), root), v_mul(v_mul(total.s.low, root), root));
    s = sum_add(s, v_mul(e.high, alone));
    s.low = v_fma(e.low, alone, s.low);
    return sum_settle(s);
}

static int loss_finish(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift,
                       void *constants) {
    const exp_temperature *t = tile->temperature;
    const smx_targets *targets = tile->targets;
    const int width = tile->width;
    const double inverse = 1 / targets->divisor;
    const double inverse_low = -DOUBLE_FMA(inverse, targets->divisor, -1) / targets->divisor;
    const vec mean = v_set1((real)inverse), zero = v_set1(0);
    const vec mean_low = v_set1((real)((inverse - (double)(real)inverse) + inverse_low));
    tile_logarithms of;
    int flags = 0;
    (void)shift;
    log_over_maximum(&of, tile, pieces, partials);
    for (int row = 0; row < width; row += WIDTH) {
        real *constant = (real *)constants + row, *softmax = constant + LOSS_SOFTMAX * SMX_TILE_ROWS;
        const exp_total total = of.total[row / WIDTH];
        const target_sums sums = target_combine(partials, pieces, width, row, total.m.first);

        /* S + T log(1 + z); of an infinite S, what was lost is NaN */
        const pair logarithm = of.logarithm[row / WIDTH];
        pair loss = sum_add_product(sums.s, sums.t.high, logarithm.high);
        loss.low = v_fma(sums.t.high, logarithm.low, v_fma(sums.t.low, logarithm.high, loss.low));
        const vec rounded = v_add(loss.high, loss.low);
        const vec plain = v_fma(sums.t.high, logarithm.high, sums.s.high);
        const vec value = v_select_le(v_abs(sums.s.high), HUGEST, rounded, plain);
        v_store(constant + LOSS * SMX_TILE_ROWS, one_nan(if_in_range(total, t, value, EVERY_NAN)));

        /* (T / divisor) / sum as factor (1 + rest): one Newton step on the quotient, rounded to fewer bits */
        const vec own = exp_reference(total.m.first, t);
        const exp_scale scale = exp_scale_of(own, t);
        const pair sum = sum_with_maximum(total, own, t);
        pair weight = two_product(sums.t.high, mean);
        weight.low = v_fma(sums.t.high, mean_low, v_fma(sums.t.low, mean, weight.low));
        const vec factor = exp_factor(v_div(weight.high, sum.high));
        const vec lost = v_fnma(factor, sum.low, v_fnma(factor, sum.high, weight.high));
        const vec rest = v_div(v_add(lost, weight.low), weight.high);
        v_store(softmax + SOFTMAX_SCALE * SMX_TILE_ROWS, if_in_range(total, t, factor, EVERY_NAN));
        const vec known = v_select_le(v_abs(weight.high), zero, zero, rest);
        v_store(softmax + SOFTMAX_REST * SMX_TILE_ROWS, known);
        v_store(softmax + SOFTMAX_FACTOR * SMX_TILE_ROWS, v_add(v_set1(1), known));
        v_store(softmax + SOFTMAX_ROUNDER * SMX_TILE_ROWS, scale.rounder);
        v_store(softmax + SOFTMAX_FLOOR * SMX_TILE_ROWS, scale.floor);
        if (tile->label) {
            const vec target = v_load_first((const real *)tile->factor + row, width - row, zero);
            v_store(constant + LOSS_LABEL * SMX_TILE_ROWS, v_fma(target, mean, v_mul(target, mean_low)));
        }
        v_store(constant + LOSS_KEEP * SMX_TILE_ROWS, v_set1((real)(targets->keep / targets->divisor)));
        v_store(constant + LOSS_SPREAD * SMX_TILE_ROWS, v_set1((real)(targets->spread / targets->divisor)));
        flags |= exp_flags(total, width - row, t, constant + SMX_SHIFT * SMX_TILE_ROWS);
        if (!v_all_le(v_abs(factor), HUGEST)) /* targets that are not finite */
            flags |= SMX_NOT_FINITE;
    }
    if (has_ignored(tile))
        for (int row = 0; row < width; row++)
            if (tile->label[row] < 0)
                ((real *)constants)[LOSS * SMX_TILE_ROWS + row] = 0;
    return flags;
}

/* ---- the gradient ------------------------------------------------------------------------------------------------ */

enum { LOSS_CONSTANTS = LOSS_SPREAD - LOSS_SOFTMAX + 1 }; /* from LOSS_SOFTMAX on */

SMX_INLINE void less_spread(const terms *of, int count, const exp_temperature *t, vec *y) {
    exp_parts e[IN_STEP];
    exp_of_terms(of, count, t, e);
    EACH y[k] = softmax_less(e[k].power, e[k].p, of[k].c, v_mul(of[k].v[1], of[k].c[LOSS_SPREAD - LOSS_SOFTMAX]));
}
SMX_INLINE void less_probability(const terms *of, int count, const exp_temperature *t, vec *y) {
    exp_parts e[IN_STEP];
    exp_of_terms(of, count, t, e);
    EACH {
        const vec *c = of[k].c, share = v_fma(c[LOSS_KEEP - LOSS_SOFTMAX], of[k].v[2], c[LOSS_SPREAD - LOSS_SOFTMAX]);
        y[k] = softmax_less(e[k].power, e[k].p, c, v_mul(of[k].v[1], share));
    }
}

/* Rows that do not count: 0, whatever their logits are. */
SMX_INLINE void take_labels_off(const smx_tile *tile, const void *constants) {
    const real *target = (const real *)constants + LOSS_LABEL * SMX_TILE_ROWS;
    const int width = tile->width;
    const int64_t *label = tile->label, first = tile->first, n = tile->n;
    const smx_view out = tile->out;
    for (int row = 0; row < width; row++)
        if ((uint64_t)(label[row] - first) < (uint64_t)n)
            row_of(&out, row)[(label[row] - first) * out.element] -= target[row];
    if (has_ignored(tile))
        for (int row = 0; row < width; row++)
            for (ptrdiff_t j = 0; label[row] < 0 && j < n; j++)
                row_of(&out, row)[j * out.element] = 0;
}

static void label_loss_write(const smx_tile *tile, const void *constants) {
    softmax_write(tile, (const real *)constants + LOSS_SOFTMAX * SMX_TILE_ROWS);
    take_labels_off(tile, constants);
}
static void smooth_loss_write(const smx_tile *tile, const void *constants) {
    write_with(tile, 2, (const real *)constants + LOSS_SOFTMAX * SMX_TILE_ROWS, LOSS_CONSTANTS, 0, less_spread);
    take_labels_off(tile, constants);
}
static void target_loss_write(const smx_tile *tile, const void *constants) {
    write_with(tile, 3, (const real *)constants + LOSS_SOFTMAX * SMX_TILE_ROWS, LOSS_CONSTANTS, 0, less_probability);
}
