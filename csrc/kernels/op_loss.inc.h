/* Cross-entropy and its gradient, in one sweep over the logits.

   Let t_j be the targets of a row (smx_targets says what they are) and p = softmax(x). Then

       loss        sum t_j (-log p_j) = S + T log(1 + z),    S = sum t_j (max - x_j),    T = sum t_j
       gradient    (T p_j - t_j) / divisor

   log_softmax, too, needs log(1 + z), where z is the sum of the other exponentials relative to that of the maximum. If
   the targets are not negative, no term of the loss is, and nothing cancels: the loss of a confident row, close to 0,
   keeps its digits. A target of 0 adds 0, even at a logit of -inf. S, T, T / divisor and the sum of the exponentials
   are pairs. reduce_targets.inc.h adds up S and T. If a row has no other target than its label, reduce saves its
   exponentials for the gradient, as softmax's does.

   The claims hold for targets that are not negative, without weights and smoothing; these add a rounding each. The
   arguments are x for label_loss, whose label is 0, and x and q for target_loss. The ULP is that of the true loss; u is
   half the machine epsilon times an element's natural scale, T p + t.

   claim: label_loss float32 <= 1.6 ulp, proven; found 1.02 at hex: -0x1.a2e75ap-1, 0x1.cc03ap-3
   claim: label_loss float64 <= 1.6 ulp, proven; found 1.03 at hex: 0x1.78f30ded5ffb3p-1, 0x1.bf5dedf82cdfcp+0
   claim: label_loss_grad float32 <= 4 u; found 1.34 at hex: 0x1.7600b6p+5, -0x1.66b906p+5
   claim: label_loss_grad float64 <= 4 u; found 1.23 at hex: 0x1.d8f42faa97a95p+3, 0x1.9e6a55f4403ep+0,
     0x1.cfb0724b731c4p+2
   claim: target_loss float32 <= 1.6 ulp, proven; found 1.49 at hex: 0x1.02e74cp+4, -0x1.7f261cp+5, 0x1.15c808p+3,
     0x1.fcd6cap+3
   claim: target_loss float64 <= 1.6 ulp, proven; found 1.49 at hex: 0x1.fbd53ec36b01ep+1, 0x1.81cd63d86ab5ep+3,
     0x1.f99aa84789dacp-14, 0x1.d117d55f85132p-9
   claim: target_loss_grad float32 <= 4 u; found 1.98 at hex: -0x1.6e3eb4p+1, 0x1.a620f8p+2, -0x1.6984bp+0,
     0x1.fe2c22p+1, 0x1.f7e4fep+7, 0x1.5fe922p+7, 0x1.024be8p+8, 0x1.497d0ap+7
   claim: target_loss_grad float64 <= 4 u; found 2.00 at hex: -0x1.15dc197fb046cp+4, -0x1.e0679bdf122a9p+2,
     -0x1.38a6e4a8b7422p+4, 0x1.883a2be90547cp+2, 0x1.87079854501a6p+3, 0x1.5003b09152b94p+1, 0x1.000036c9dad81p+4,
     0x1.3a5de34a01b28p+3 */

/* ---- reduce ----------------------------------------------------------------------------------------------------- */

/* Exponentials are saved for the gradient only. */
SMX_INLINE void label_loss_reduce_exp(const smx_tile *tile, real *partial, enum smx_walk walk) {
    if (walk == SMX_WALK_ROWS)
        softmax_logsumexp_reduce_rows(tile, partial);
    else if (walk == SMX_WALK_COLUMNS)
        softmax_logsumexp_reduce_columns(tile, partial);
    else
        softmax_logsumexp_reduce_short_columns(tile, partial);
}
SMX_INLINE void label_loss_reduce(const smx_tile *tile, real *partial, enum smx_walk walk) {
    labels found;
    label_find(tile, &found); /* before the exponentials, which may be saved where the logits are */
    label_loss_reduce_exp(tile, partial, walk);
    label_reduce(tile, &found, partial, 1);
}

/* The other losses add up exponentials as log_softmax does. */
SMX_INLINE void loss_reduce_exp(const smx_tile *tile, real *partial, enum smx_walk walk) {
    if (walk == SMX_WALK_ROWS)
        log_softmax_reduce_rows(tile, partial);
    else if (walk == SMX_WALK_COLUMNS)
        log_softmax_reduce_columns(tile, partial);
    else
        log_softmax_reduce_short_columns(tile, partial);
}
SMX_INLINE void smooth_loss_reduce(const smx_tile *tile, real *partial, enum smx_walk walk) {
    labels found;
    label_find(tile, &found);
    loss_reduce_exp(tile, partial, walk);
    target_reduce(tile, partial, walk, 2);
    label_reduce(tile, &found, partial, 0);
}
SMX_INLINE void target_loss_reduce(const smx_tile *tile, real *partial, enum smx_walk walk) {
    loss_reduce_exp(tile, partial, walk);
    target_reduce(tile, partial, walk, 3);
}
#define LOSS_REDUCTIONS(op)                                                                                            \
    REDUCE(op, rows) { op##_reduce(tile, partial, SMX_WALK_ROWS); }                                                    \
    REDUCE(op, columns) { op##_reduce(tile, partial, SMX_WALK_COLUMNS); }                                              \
    REDUCE(op, short_columns) { op##_reduce(tile, partial, SMX_WALK_SHORT_COLUMNS); }
LOSS_REDUCTIONS(label_loss)
LOSS_REDUCTIONS(smooth_loss)
LOSS_REDUCTIONS(target_loss)

/* ---- finish ------------------------------------------------------------------------------------------------------ */

static int label_loss_finish(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift,
                             void *constants) {
    return loss_finish_of(tile, pieces, partials, shift, constants, 1);
}
static int loss_finish(const smx_tile *tile, ptrdiff_t pieces, const void *partials, const void *shift,
                       void *constants) {
    return loss_finish_of(tile, pieces, partials, shift, constants, 0);
}

/* ---- the gradient ----------------------------------------------------------------------------------------------- */

enum { LOSS_CONSTANTS = LOSS_KEEP - LOSS_SOFTMAX + 1 }; /* from LOSS_SOFTMAX on */

SMX_INLINE void smooth_loss_grad_of(const terms *term, int count, const exp_temperature *t, vec *y) {
    exp_parts e[IN_STEP];
    exp_of_terms(term, count, t, e);
    EACH y[k] =
        softmax_minus(e[k].power, e[k].p, term[k].c, v_mul(term[k].v[1], term[k].c[LOSS_SPREAD - LOSS_SOFTMAX]));
}
SMX_INLINE void target_loss_grad_of(const terms *term, int count, const exp_temperature *t, vec *y) {
    exp_parts e[IN_STEP];
    exp_of_terms(term, count, t, e);
    EACH {
        const vec *c = term[k].c,
                  share = v_fma(c[LOSS_KEEP - LOSS_SOFTMAX], term[k].v[2], c[LOSS_SPREAD - LOSS_SOFTMAX]);
        /* a weight of 0 makes 0 of any share, which may be infinite */
        const vec weight = term[k].v[1], target = v_select_le(weight, v_set1(0), v_set1(0), v_mul(weight, share));
        y[k] = softmax_minus(e[k].power, e[k].p, c, target);
    }
}

/* Subtracts each label's target from its element of the gradient. */
SMX_INLINE void take_labels_off(const smx_tile *tile, const void *constants) {
    const real *target = (const real *)constants + LOSS_LABEL * SMX_TILE_ROWS;
    const int rows = tile->rows;
    const int64_t *label = tile->label, first = tile->piece_start, n = tile->n;
    const smx_view out = tile->out;
    for (int row = 0; row < rows; row++)
        if ((uint64_t)(label[row] - first) < (uint64_t)n)
            row_of(&out, row)[(label[row] - first) * out.element_stride] -= target[row];
}

/* Applies the exponents that were left for the end. Rows that do not count become 0, even if their logits are not
   finite. */
static void end_rows(const smx_tile *tile, const void *constants) {
    const real *post = (const real *)constants + LOSS_POST * SMX_TILE_ROWS;
    const smx_view out = tile->out;
    for (int row = 0; row < tile->rows; row++) {
        real *y = row_of(&out, row);
        for (ptrdiff_t j = 0; post[row] != 0 && j < tile->n; j++)
            y[j * out.element_stride] = (real)ldexp(y[j * out.element_stride], (int)post[row]);
        for (ptrdiff_t j = 0; is_ignored(tile, row) && j < tile->n; j++)
            y[j * out.element_stride] = 0;
    }
}
SMX_INLINE void end_gradient(const smx_tile *tile, const void *constants) {
    const real *post = (const real *)constants + LOSS_POST * SMX_TILE_ROWS;
    int any = has_ignored(tile);
    for (int row = 0; row < tile->rows; row += LANES)
        any |= !v_all_le(v_abs(v_load_first(post + row, tile->rows - row, v_set1(0))), v_set1(0));
    if (any)
        end_rows(tile, constants);
}

SMX_INLINE const real *softmax_constants(const void *constants) {
    return (const real *)constants + LOSS_SOFTMAX * SMX_TILE_ROWS;
}

/* softmax writes, then the labels' targets are subtracted. */
#define LABEL_LOSS_WRITE(walk)                                                                                         \
    WRITE(label_loss, walk) {                                                                                          \
        softmax_write_##walk(tile, softmax_constants(constants));                                                      \
        take_labels_off(tile, constants);                                                                              \
        end_gradient(tile, constants);                                                                                 \
    }
LABEL_LOSS_WRITE(rows)
LABEL_LOSS_WRITE(columns)
LABEL_LOSS_WRITE(short_columns)

SMX_INLINE void smooth_loss_write(const smx_tile *tile, enum smx_walk walk, const void *constants) {
    const write_spec spec = {&tile->out, {&tile->in[0], &tile->in[1]}, 2, LOSS_CONSTANTS, 0, smooth_loss_grad_of};
    write_walk(tile, walk, &spec, softmax_constants(constants));
    take_labels_off(tile, constants);
    end_gradient(tile, constants);
}
WRITE(smooth_loss, rows) { smooth_loss_write(tile, SMX_WALK_ROWS, constants); }
WRITE(smooth_loss, columns) { smooth_loss_write(tile, SMX_WALK_COLUMNS, constants); }

SMX_INLINE void target_loss_write(const smx_tile *tile, enum smx_walk walk, const void *constants) {
    const write_spec spec = {&tile->out,         {&tile->in[0], &tile->in[1], &tile->in[2]}, 3, LOSS_CONSTANTS, 0,
                             target_loss_grad_of};
    write_walk(tile, walk, &spec, softmax_constants(constants));
    end_gradient(tile, constants);
}
WRITE(target_loss, rows) { target_loss_write(tile, SMX_WALK_ROWS, constants); }
WRITE(target_loss, packed) { target_loss_write(tile, SMX_WALK_PACKED, constants); }
WRITE(target_loss, columns) { target_loss_write(tile, SMX_WALK_COLUMNS, constants); }

/* ---- their rows of the table ------------------------------------------------------------------------------------ */

#define LOSS_REDUCE(op)                                                                                                \
    {[SMX_WALK_ROWS] = op##_reduce_rows,                                                                               \
     [SMX_WALK_COLUMNS] = op##_reduce_columns,                                                                         \
     [SMX_WALK_SHORT_COLUMNS] = op##_reduce_short_columns}

#define LABEL_LOSS_ROW                                                                                                 \
    {.name = "label_loss",                                                                                             \
     .inputs = 1,                                                                                                      \
     .has_long_finish = 1,                                                                                             \
     .has_labels = 1,                                                                                                  \
     .has_targets = 1,                                                                                                 \
     .may_shift = 1,                                                                                                   \
     .reads_padding = 1,                                                                                               \
     .reduce = LOSS_REDUCE(label_loss),                                                                                \
     .finish = label_loss_finish,                                                                                      \
     .hidden = {{-INFINITY, 0, 0}, 0, 0},                                                                              \
     .min_elements_per_thread = MIN_ELEMENTS_PER_THREAD(12)}

#define LABEL_LOSS_GRAD_ROW                                                                                            \
    {.name = "label_loss_grad",                                                                                        \
     .inputs = 1,                                                                                                      \
     .has_long_finish = 1,                                                                                             \
     .elementwise = 1,                                                                                                 \
     .has_row_out = 1,                                                                                                 \
     .has_labels = 1,                                                                                                  \
     .saves = 1,                                                                                                       \
     .has_targets = 1,                                                                                                 \
     .may_shift = 1,                                                                                                   \
     .reads_padding = 1,                                                                                               \
     .reduce = LOSS_REDUCE(label_loss),                                                                                \
     .finish = label_loss_finish,                                                                                      \
     .write = {[SMX_WALK_ROWS] = label_loss_write_rows,                                                                \
               [SMX_WALK_COLUMNS] = label_loss_write_columns,                                                          \
               [SMX_WALK_SHORT_COLUMNS] = label_loss_write_short_columns},                                             \
     .hidden = {{-INFINITY, 0, 0}, 0, 0},                                                                              \
     .min_elements_per_thread = MIN_ELEMENTS_PER_THREAD(12)}

#define SMOOTH_LOSS_ROW                                                                                                \
    {.name = "smooth_loss",                                                                                            \
     .inputs = 2,                                                                                                      \
     .has_labels = 1,                                                                                                  \
     .has_targets = 1,                                                                                                 \
     .may_shift = 1,                                                                                                   \
     .reads_padding = 1,                                                                                               \
     .reduce = LOSS_REDUCE(smooth_loss),                                                                               \
     .finish = loss_finish,                                                                                            \
     .hidden = {{-INFINITY, 0, 0}, 0, 0},                                                                              \
     .min_elements_per_thread = MIN_ELEMENTS_PER_THREAD(10)}

#define SMOOTH_LOSS_GRAD_ROW                                                                                           \
    {.name = "smooth_loss_grad",                                                                                       \
     .inputs = 2,                                                                                                      \
     .elementwise = 1,                                                                                                 \
     .has_row_out = 1,                                                                                                 \
     .has_labels = 1,                                                                                                  \
     .has_targets = 1,                                                                                                 \
     .may_shift = 1,                                                                                                   \
     .reads_padding = 1,                                                                                               \
     .reduce = LOSS_REDUCE(smooth_loss),                                                                               \
     .finish = loss_finish,                                                                                            \
     .write = {[SMX_WALK_ROWS] = smooth_loss_write_rows,                                                               \
               [SMX_WALK_COLUMNS] = smooth_loss_write_columns,                                                         \
               [SMX_WALK_SHORT_COLUMNS] = smooth_loss_write_columns},                                                  \
     .hidden = {{-INFINITY, 0, 0}, 0, 0},                                                                              \
     .min_elements_per_thread = MIN_ELEMENTS_PER_THREAD(10)}

#define TARGET_LOSS_ROW                                                                                                \
    {.name = "target_loss",                                                                                            \
     .inputs = 3,                                                                                                      \
     .has_targets = 1,                                                                                                 \
     .may_shift = 1,                                                                                                   \
     .reads_padding = 1,                                                                                               \
     .reduce = LOSS_REDUCE(target_loss),                                                                               \
     .finish = loss_finish,                                                                                            \
     .hidden = {{-INFINITY, 0, 0}, 0, 0},                                                                              \
     .min_elements_per_thread = MIN_ELEMENTS_PER_THREAD(10)}

#define TARGET_LOSS_GRAD_ROW                                                                                           \
    {.name = "target_loss_grad",                                                                                       \
     .inputs = 3,                                                                                                      \
     .elementwise = 1,                                                                                                 \
     .has_row_out = 1,                                                                                                 \
     .has_targets = 1,                                                                                                 \
     .may_shift = 1,                                                                                                   \
     .reads_padding = 1,                                                                                               \
     .reduce = LOSS_REDUCE(target_loss),                                                                               \
     .finish = loss_finish,                                                                                            \
     .write = {[SMX_WALK_ROWS] = target_loss_write_rows,                                                               \
               [SMX_WALK_PACKED] = target_loss_write_packed,                                                           \
               [SMX_WALK_COLUMNS] = target_loss_write_columns,                                                         \
               [SMX_WALK_SHORT_COLUMNS] = target_loss_write_columns},                                                  \
     .hidden = {{-INFINITY, 0, 0}, 0, 0},                                                                              \
     .min_elements_per_thread = MIN_ELEMENTS_PER_THREAD(10)}
