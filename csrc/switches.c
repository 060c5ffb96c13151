/* What tests have turned off: routes by their numbers, and options by their names. Programs turn nothing off. */

#include "job.h"

static const char *const options[SMX_OPTIONS] = {
    [SMX_SAVE] = "save",
    [SMX_LOOK_AHEAD] = "look ahead",
    [SMX_PREFETCH_NEXT] = "prefetch",
    [SMX_STREAM] = "stream",
    [SMX_UNIFORM] = "uniform",
    [SMX_MASK_IN_KERNEL] = "mask in kernel",
    [SMX_HALF_IN_KERNEL] = "half in kernel",
    [SMX_ROUND_IN_KERNEL] = "round in kernel",
    [SMX_WRITE_PACKED] = "write packed",
    [SMX_WRITE_TRANSPOSED] = "write transposed",
    [SMX_READ_LINES] = "read lines",
    [SMX_WHOLE_ROWS] = "whole rows",
    [SMX_KEEP_PIECES] = "keep pieces",
    [SMX_KEEP_IN_OUTPUT] = "keep in output",
    [SMX_IN_ORDER] = "in order",
};

const char *smx_option_name(int number) { return number < SMX_OPTIONS ? options[number] : NULL; }

/* Bits of the numbers of routes (smx_route_name), and of enum smx_option. */
static unsigned routes_off, options_off;

static void turn(unsigned *bits, int number, int off) { *bits = off ? *bits | 1u << number : *bits & ~(1u << number); }

void smx_turn_route(int number, int off) { turn(&routes_off, number, off); }

void smx_turn_option(int number, int off) { turn(&options_off, number, off); }

int smx_may_take(int route) { return !(routes_off >> route & 1); }

int smx_may(enum smx_option option) { return !(options_off >> option & 1); }
