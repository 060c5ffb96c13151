/* Decides where a call's operands are read, and how its results are stored, once route.c has chosen the route and cut
   the rows. Each input is read in place, or a load (transfer.c) copies it into a block. Results go straight into the
   output, or a store moves them there. No result depends on these decisions. */

#include "access.h"

#include "arch.h"
#include "strided.h"

#include <stdint.h>

enum {
    /* The first-level cache: bytes of a way, and ways. */
    WAY = 4096,
    WAYS = 8,
    PAGE = 4096,
    /* The most pages that the lines of the next tile may lie on to be prefetched. With more pages, the processor has to
       look up their addresses, which costs more than waiting for memory. */
    PREFETCHED_PAGES = 1024
};

/* ---- where inputs are read -------------------------------------------------------------------------------------- */

/* True if the kernels can read input k in place, in COLUMNS. Its lines have to follow one another; or they are short
   rows' lines, so few that all of them stay in their sets of the first-level cache. */
static int reads_lines(const smx_job *j, const smx_facts *c, int k) {
    const smx_plan *plan = j->plan;
    const int needs_block = c->op->reads_padding || (c->is_masked && !c->op->is_derivative) || !smx_may(SMX_READ_LINES);
    if (needs_block || !c->adjacent[k] || plan->inner_dims != 1)
        return 0;
    const ptrdiff_t stride = plan->in[k].inner[0], bytes = j->tile_rows * smx_item_size(plan, &plan->in[k]);
    if (stride == bytes)
        return 1;
    const ptrdiff_t cache_lines = smx_round_up(bytes, SMX_CACHE_LINE) / SMX_CACHE_LINE;
    /* The largest power of two in the stride. After WAY / power lines, the next falls into the sets of the first. */
    const ptrdiff_t power = (stride | WAY) & -(stride | WAY);
    const ptrdiff_t sets = smx_min(WAY / SMX_CACHE_LINE, WAY / power * cache_lines);
    return smx_is_short(c) && c->op->inputs * j->n * cache_lines <= WAYS * sets;
}

/* True if numbers of 16 bits can be copied to a block as they are. Other copies to columns make reals of them anyway. */
static int copies_half(const smx_job *j, const smx_facts *c, int k) {
    return j->layout == SMX_ROWS || (c->by_lines[k] && !c->adjacent[k]);
}

/* Decides which inputs are read in place. Kernels read masks, or 16 bits, of all inputs or of none; the reduce PACKED
   reads packed reals. */
static void choose_inputs(smx_job *j, const smx_facts *c, enum smx_walk walk) {
    const smx_plan *plan = j->plan;
    const int packed = walk == SMX_WALK_PACKED;
    int masks_in_kernel = c->is_masked && c->op->is_derivative && smx_may(SMX_MASK_IN_KERNEL);
    int fit[SMX_MAX_INPUTS];
    int half_in_kernel = !packed && walk != SMX_WALK_NARROW_LINES && !c->is_masked && c->op->is_derivative &&
                         smx_may(SMX_HALF_IN_KERNEL);
    for (int k = 0; k < c->op->inputs; k++) {
        const enum smx_storage storage = plan->in[k].storage;
        const int fits_layout = j->layout == SMX_COLUMNS ? reads_lines(j, c, k)
                                : packed                 ? smx_is_packed(c, &plan->in[k], c->along[k])
                                                         : c->along[k];
        j->in_place[k] = fits_layout && storage == SMX_REAL;
        masks_in_kernel &= j->in_place[k];
        half_in_kernel &= storage != SMX_REAL && storage == plan->out.storage && (fits_layout || copies_half(j, c, k));
        fit[k] = fits_layout;
    }
    j->masks_in_kernel = masks_in_kernel;
    j->storage = half_in_kernel ? plan->in[0].storage : SMX_REAL;
    for (int k = 0; k < c->op->inputs; k++)
        j->in_place[k] |= half_in_kernel && fit[k];
}

/* True if the place of the next tile or piece of input k is known, and on few pages. It is prefetched only in jobs that
   are beyond the cache. */
static int is_next_known(const smx_job *j, const smx_facts *c, enum smx_walk walk, int k) {
    const smx_operand *x = &j->plan->in[k];
    const ptrdiff_t stride = smx_max(x->inner[0], -x->inner[0]);
    const ptrdiff_t page_bytes = c->op->inputs * smx_min(j->n, SMX_PIECE) * smx_min(PAGE, stride); /* of all pages */
    return j->constant_stride && j->plan->inner_dims == 1 && x->storage == SMX_REAL &&
           (walk != SMX_WALK_PACKED || j->in_place[k]) &&
           (j->layout == SMX_ROWS || page_bytes <= PREFETCHED_PAGES * PAGE);
}

/* ---- how results are stored ------------------------------------------------------------------------------------- */

/* True if the output lies as the layout does, so that write can store results straight into it. */
static int has_place(const smx_job *j, const smx_facts *c) {
    if (j->layout == SMX_ROWS)
        return c->out_along;
    return c->op->elementwise && j->plan->inner_dims == 1 && c->out_adjacent;
}

static enum smx_output output_of(const smx_job *j, const smx_facts *c, enum smx_walk walk) {
    const int is_half = j->plan->out.storage != SMX_REAL, columns = j->layout == SMX_COLUMNS;
    if (!c->op->elementwise)
        return SMX_NO_ELEMENTS;
    if (walk == SMX_WALK_PACKED)
        return !is_half && smx_is_packed(c, &j->plan->out, c->out_along) ? SMX_AS_PACKED : SMX_TO_BLOCK;
    if (has_place(j, c)) {
        if (!is_half)
            return SMX_TO_ARRAY;
        /* Write rounds lines one by one. If compact lines do not fill vectors, the store rounds all of them at once. */
        const int by_lines = !j->compact || j->span % c->sums == 0;
        return by_lines && !c->op->has_targets && smx_may(SMX_ROUND_IN_KERNEL) ? SMX_ROUNDED : SMX_TO_BLOCK;
    }
    if (!columns || !smx_is_short(c) || c->op->has_labels)
        return SMX_TO_BLOCK;
    if (!j->saves && c->op->write[SMX_WALK_PACKED] && smx_are_all_packed(c) && smx_may(SMX_WRITE_PACKED))
        return SMX_AS_PACKED;
    return j->saves && c->op->write[SMX_WALK_TRANSPOSED] && c->out_along && !is_half && smx_may(SMX_WRITE_TRANSPOSED)
               ? SMX_TRANSPOSED
               : SMX_TO_BLOCK;
}

/* True if results are large and are written past the cache. Not so if the output is an input, which is in the cache, or
   if write could not store whole cache lines. */
static int streams(const smx_job *j, const smx_facts *c) {
    const smx_plan *plan = j->plan;
    int fits = j->output == SMX_TO_ARRAY && (j->layout == SMX_ROWS || plan->out.inner[0] % SMX_CACHE_LINE == 0);
    fits |= j->layout == SMX_ROWS && j->output == SMX_AS_PACKED && (uintptr_t)plan->out.data % SMX_CACHE_LINE == 0;
    for (int k = 0; k < c->op->inputs; k++)
        fits &= plan->in[k].data != plan->out.data;
    return fits && smx_beyond_cache(1, j->rows * j->n * j->real_size) && smx_may(SMX_STREAM);
}

/* ---- by which functions ----------------------------------------------------------------------------------------- */

/* The function that loads input k into its block, always or, if it is read in place, for a shift. */
static smx_load *load_of(const smx_job *j, const smx_facts *c, int k) {
    const int is_half = j->plan->in[k].storage != SMX_REAL, columns = j->layout == SMX_COLUMNS;
    if (columns && j->compact && smx_is_contiguous_lines(c, k))
        return smx_load_compact_lines;
    if (columns && !j->compact && c->adjacent[k])
        return smx_load_lines;
    if (columns && c->by_lines[k])
        return smx_load_scattered_lines;
    if (columns)
        return smx_load_transposed;
    if (is_half && j->storage == SMX_REAL)
        return smx_load_half;
    return c->along[k] && c->is_masked ? smx_load_masked : smx_load_gathered;
}

/* The function that moves results from the block to the output, always or for tiles that need another pass. */
static smx_store *store_of(const smx_job *j, const smx_facts *c) {
    const int is_half = j->plan->out.storage != SMX_REAL;
    if (j->layout == SMX_COLUMNS && !c->out_adjacent)
        return smx_store_transposed;
    if (!is_half)
        return smx_store_scattered;
    return j->layout == SMX_ROWS ? smx_store_half : smx_store_half_lines;
}

/* The write of a walk. NARROW_LINES becomes COLUMNS if the lines of the output have gaps, or results are rounded. */
static smx_write *write_of(const smx_job *j, const smx_facts *c, enum smx_walk walk) {
    const int is_array = j->output == SMX_TO_ARRAY || j->output == SMX_ROUNDED;
    if (walk == SMX_WALK_NARROW_LINES && is_array &&
        (j->output == SMX_ROUNDED || j->plan->out.inner[0] != j->span * j->real_size))
        walk = SMX_WALK_COLUMNS;
    return c->op->write[walk];
}

/* ---- both ------------------------------------------------------------------------------------------------------- */

void smx_choose_places(smx_job *j, const smx_facts *c, enum smx_walk walk) {
    choose_inputs(j, c, walk);
    j->output = output_of(j, c, walk);
    j->streams = streams(j, c);
}

void smx_choose_functions(smx_job *j, const smx_facts *c, enum smx_walk walk) {
    const smx_plan *plan = j->plan;
    j->write = write_of(j, c, walk);
    j->store = store_of(j, c);
    for (int k = 0; k < c->op->inputs; k++) {
        j->load[k] = load_of(j, c, k);
        j->next_is_known[k] = is_next_known(j, c, walk, k);
    }
    j->row_results_adjacent = c->out_adjacent;
    if (c->op->has_row_out)
        j->row_results_adjacent = (c->op->elementwise || c->out_adjacent) && j->constant_stride &&
                                  smx_is_native(plan, &plan->row_out, 0) &&
                                  smx_row_bytes(c, &plan->row_out) == smx_item_size(plan, &plan->row_out);
}
