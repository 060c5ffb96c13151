/* Derivatives of rows whose numbers are beyond what the loops can take: gradients so large that a sum or a difference
   would be infinite, though the result is not. Each number has an exponent of its own, so nothing on the way can
   overflow or underflow. Such rows are rare, so one element is done at a time. No result depends on the layout. */

/* What the constant SMX_SHIFT says of such a row: its sum is right, or it has to be added up again. */
enum { WRITE_AGAIN = 1, SUM_AGAIN = 2 };

/* m 2^exponent, where |m| is in [1/2, 1), 0, infinite or NaN. */
typedef struct {
    double m;
    int exponent;
} number;

static number number_of(double x, int exponent) {
    number a = {x, 0};
    if (x != 0 && x - x == 0) {
        a.m = frexp(x, &a.exponent);
        a.exponent += exponent;
    }
    return a;
}
static double value_of(number a) { return ldexp(a.m, a.exponent); }
static number number_times(number a, number b) { return number_of(a.m * b.m, a.exponent + b.exponent); }
static number number_over(number a, number b) { return number_of(a.m / b.m, a.exponent - b.exponent); }
static number number_minus(number a, number b) {
    if (a.m == 0 || b.m == 0)
        return a.m == 0 ? number_of(0 - b.m, b.exponent) : a;
    const int exponent = a.exponent > b.exponent ? a.exponent : b.exponent;
    return number_of(ldexp(a.m, a.exponent - exponent) - ldexp(b.m, b.exponent - exponent), exponent);
}

static number number_plus(number a, number b) {
    b.m = 0 - b.m;
    return number_minus(a, b);
}

/* A pair of numbers: TwoSum, as in sum.inc.h. */
typedef struct {
    number high, low;
} number_pair;

static number_pair number_sum_add(number_pair s, number x) {
    const number high = number_plus(s.high, x), x_seen = number_minus(high, s.high);
    const number lost = number_plus(number_minus(s.high, number_minus(high, x_seen)), number_minus(x, x_seen));
    const number_pair sum = {high, number_plus(s.low, lost)};
    return sum;
}
static number_pair number_sum_add_product(number_pair s, number a, number b) {
    const double product = a.m * b.m, lost = DOUBLE_FMA(a.m, b.m, -product);
    s = number_sum_add(s, number_of(product, a.exponent + b.exponent));
    s.low = number_plus(s.low, number_of(lost, a.exponent + b.exponent));
    return s;
}

/* exp(x); 0 where any number that it is multiplied by makes 0 of it. */
static number number_exp(real x) {
    if (x < -16 * NEGLIGIBLE)
        return number_of(0, 0);
    if (!(x <= 2 * NEGLIGIBLE))
        return number_of((double)x + (double)INFINITY, 0);
    const vec value = v_set1(x), reference = exp_reference(value, &no_temperature);
    const exp_parts e = exp_parts_of(value, exp_scale_of(reference, &no_temperature));
    const double power = (double)v_first(e.power) * (double)CONSTANT(CENTRE);
    return number_of(power + power * v_first(e.p), (int)v_first(reference) - HEADROOM);
}

/* Element j of a row of input k. */
static real element_of(const smx_tile *tile, int k, int row, ptrdiff_t j) {
    const smx_view *view = &tile->in[k];
    const char *at = view->start;
    at += (row * view->row_stride + j * view->element_stride) * size_of(tile->storage);
    return v_first(load_stored(at, 1, tile->storage));
}
static int is_hidden(const smx_tile *tile, int row, ptrdiff_t j) {
    const unsigned char *mask = tile->mask.start;
    return mask && mask[row * tile->mask.row_stride + j * tile->mask.element_stride] == 0;
}

/* The factor of gradient j in the sum. */
static number factor_of(const smx_tile *tile, int row, ptrdiff_t j, enum summand what) {
    if (what == GRADIENT)
        return number_of(1, 0);
    const real y = element_of(tile, 0, row, j);
    return what == PRODUCT ? number_of((double)y, 0) : number_exp(y);
}

/* The sum of a row. If a number is not finite, plain arithmetic says what the sum is, and which NaN it is does not
   matter. */
static number_pair sum_with_care(const smx_tile *tile, int row, enum summand what) {
    const number zero = number_of(0, 0);
    number_pair sum = {zero, zero};
    double plain = 0;
    int is_finite = 1;
    for (ptrdiff_t j = 0; is_finite && j < tile->n; j++) {
        const double g = (double)element_of(tile, 1, row, j);
        is_finite = g - g == 0 || is_hidden(tile, row, j);
    }
    for (ptrdiff_t j = 0; plain == plain && j < tile->n; j++) {
        if (is_hidden(tile, row, j))
            continue;
        const number g = number_of((double)element_of(tile, 1, row, j), 0), factor = factor_of(tile, row, j, what);
        if (is_finite)
            sum = number_sum_add_product(sum, factor, g);
        else
            plain += factor.m * g.m;
    }
    if (is_finite)
        return sum;
    const number_pair infinite = {number_of(plain, 0), zero};
    return infinite;
}

/* Stores the sum of a row that is added up with care, among the numbers of a partial or the constants of a row: two
   reals and their exponent. */
static void put_number_pair(real *high, real *low, real *exponent, number_pair s) {
    /* The sum may have cancelled, so it is taken from high and low together. */
    const number first = number_plus(s.high, s.low);
    const number rest = number_plus(number_minus(s.high, first), s.low);
    const real m = (real)first.m;
    const double low_m = (first.m - (double)m) + ldexp(rest.m, rest.exponent - first.exponent);
    *high = m;
    *low = first.m - first.m == 0 ? (real)low_m : 0;
    *exponent = (real)first.exponent;
}

/* Replaces the partials of rows that have to be added up again. */
static void sum_again(const smx_tile *tile, real *partial, enum summand what) {
    const real *again = tile->again;
    for (int row = 0; row < tile->rows; row++)
        if (again[row] == SUM_AGAIN)
            put_number_pair(partial + partial_at(0, tile->rows, row), partial + partial_at(1, tile->rows, row),
                            partial + partial_at(2, tile->rows, row), sum_with_care(tile, row, what));
}

/* The constants of a row that is done with care. */
enum { CARE = 3, CARE_HIGH, CARE_LOW, CARE_EXPONENT };

/* Adds up the partials that sum_again has left. */
static void total_with_care(const smx_tile *tile, ptrdiff_t pieces, const real *partials, int row, real *constants) {
    const number zero = number_of(0, 0);
    number_pair sum = {zero, zero};
    for (ptrdiff_t i = 0; i < pieces; i++) {
        const real *partial = partials + i * partial_at(SMX_PARTIALS, tile->rows, 0) + row;
        const int exponent = (int)partial[partial_at(2, tile->rows, 0)];
        sum = number_sum_add(sum, number_of((double)partial[0], exponent));
        sum.low = number_plus(sum.low, number_of((double)partial[partial_at(1, tile->rows, 0)], exponent));
    }
    real *constant = constants + row;
    put_number_pair(constant + CARE_HIGH * SMX_TILE_ROWS, constant + CARE_LOW * SMX_TILE_ROWS,
                    constant + CARE_EXPONENT * SMX_TILE_ROWS, sum);
}

static void write_row_with_care(const smx_tile *tile, int row, const real *constants, enum summand what) {
    const real *constant = constants + row;
    const int exponent = (int)constant[CARE_EXPONENT * SMX_TILE_ROWS];
    const number d_high = number_of((double)constant[CARE_HIGH * SMX_TILE_ROWS], exponent);
    const number d_low = number_of((double)constant[CARE_LOW * SMX_TILE_ROWS], exponent);
    const number temperature = number_of(((const exp_temperature *)tile->temperature)->temperature, 0);
    for (ptrdiff_t j = 0; j < tile->n; j++) {
        real *out = row_of(&tile->out, row) + j * tile->out.element_stride;
        const number g = number_of((double)element_of(tile, 1, row, j), 0);
        const real y = element_of(tile, 0, row, j);
        /* d has a factor in log_softmax_vjp, the result in softmax_vjp */
        const number of_d = what == GRADIENT ? number_exp(y) : number_of(1, 0);
        const number of_all = what == PRODUCT ? number_of((double)y, 0) : number_of(1, 0);
        const number difference = number_minus(number_minus(g, number_times(of_d, d_low)), number_times(of_d, d_high));
        const number result = number_over(number_times(of_all, difference), temperature);
        *out = is_hidden(tile, row, j) ? 0 : (real)value_of(result) + 0;
    }
}

/* One row of a tile, as a tile. */
static smx_tile row_alone(const smx_tile *tile, int row) {
    smx_tile one = *tile;
    const ptrdiff_t size = size_of(tile->storage);
    one.rows = 1;
    one.again = NULL;
    for (int k = 0; k < 2; k++) {
        one.in[k].start = (char *)one.in[k].start + row * one.in[k].row_stride * size;
        one.next[k].start = NULL;
    }
    one.out.start = row_of(&tile->out, row);
    if (one.mask.start)
        one.mask.start = (char *)one.mask.start + row * one.mask.row_stride;
    return one;
}
