/* Derivatives of rows whose numbers are beyond what the loops can take: gradients so large that a sum or a difference
   would be infinite, though the result is not. Each number has an exponent of its own, so nothing on the way can
   overflow or underflow. Such rows are rare, so one element is done at a time. No result depends on the layout. */

/* What the constant SMX_SHIFT says of such a row: its sum is right, or it has to be added up again. */
enum { WRITE_AGAIN = 1, SUM_AGAIN = 2 };

/* Gradients are this much smaller, as an exponent, while they are added up again. The sum of 2^31 of them is finite. */
#define AGAIN_SCALE (REAL_BITS == 32 ? 40 : 64)

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

/* exp(x) */
static number number_exp(real x) {
    if (!(x <= 2 * NEGLIGIBLE))
        return number_of((double)x + (double)INFINITY, 0);
    const vec value = v_set1(x), reference = exp_reference(value, &no_temperature);
    const exp_parts e = exp_parts_of(value, exp_scale_of(reference, &no_temperature));
    const double power = v_first(e.power);
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

/* Replaces the partials of rows that have to be added up again, by sums of gradients times 2^-AGAIN_SCALE. */
static void sum_again(const smx_tile *tile, real *partial, enum summand what) {
    const real *again = tile->again;
    for (int row = 0; row < tile->rows; row++) {
        double high = 0, low = 0;
        for (ptrdiff_t j = 0; again[row] == SUM_AGAIN && j < tile->n && high == high; j++) {
            if (is_hidden(tile, row, j))
                continue;
            const double g = ldexp((double)element_of(tile, 1, row, j), -AGAIN_SCALE);
            const double factor = what == GRADIENT  ? 1
                                  : what == PRODUCT ? (double)element_of(tile, 0, row, j)
                                                    : value_of(number_exp(element_of(tile, 0, row, j)));
            const double product = factor * g, total = high + product, seen = total - high;
            low += DOUBLE_FMA(factor, g, -product) + ((high - (total - seen)) + (product - seen));
            high = total;
        }
        if (again[row] != SUM_AGAIN)
            continue;
        if (high - high != 0)
            low = 0; /* it is NaN, as high is not finite */
        const double sum = high + low;
        partial[partial_at(0, tile->rows, row)] = (real)sum;
        partial[partial_at(1, tile->rows, row)] = high - high == 0 ? (real)((high - (double)(real)sum) + low) : 0;
    }
}

/* A number of the sum of a row that is done with care. */
static number sum_number(const real *high_or_low, real care) {
    return number_of((double)*high_or_low, care == SUM_AGAIN ? AGAIN_SCALE : 0);
}

static void write_row_with_care(const smx_tile *tile, int row, number d_high, number d_low, enum summand what) {
    const number temperature = number_of(((const exp_temperature *)tile->temperature)->temperature, 0);
    for (ptrdiff_t j = 0; j < tile->n; j++) {
        const number g = number_of((double)element_of(tile, 1, row, j), 0);
        number high = d_high, low = d_low, y = g;
        if (what == GRADIENT)
            y = number_exp(element_of(tile, 0, row, j));
        else if (what == PRODUCT)
            y = number_of((double)element_of(tile, 0, row, j), 0);
        if (what == GRADIENT) {
            high = number_times(y, high);
            low = number_times(y, low);
        }
        number result = number_minus(number_minus(g, low), high);
        if (what == PRODUCT)
            result = number_times(y, result);
        real *out = row_of(&tile->out, row) + j * tile->out.element_stride;
        *out = is_hidden(tile, row, j) ? 0 : (real)value_of(number_over(result, temperature)) + 0;
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
