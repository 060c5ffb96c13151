/* policy.h has the table of states. This file says what the words of the table mean in numbers.

   The promise: with other programs on the processors, mean and 99th percentile of a call's time are within 1.3 of what
   one thread takes. So the calls of a rest take PRICE times as long as what the run before it has lost, and there are
   RARITY calls for each slow call of that run: the loss is a few percent of the time at most, and fewer than one call
   in a hundred is slow. */

#include "policy.h"

#include <string.h>

#define US INT64_C(1000)
#define MS INT64_C(1000000)

enum {
    PRICE = 8, /* doubled for each probe that fails again */
    RARITY = 200,
    PAYING_REST_CALLS = 16, /* after a run that has paid */
    /* The first calls of a probe are not judged: they may find threads asleep, or on the processor of the thread that
       waits for them. The calls after them are judged. */
    WAKING_CALLS = 3,
    JUDGED_CALLS = 4,
    /* The same for calls that last LONG: waking takes some 50 us. */
    LONG_WAKING_CALLS = 1,
    LONG_JUDGED_CALLS = 2,
    /* Percents of the time at the narrower width that a probe's judged calls may take. */
    GOOD = 92,
    ONE = 1024, /* of ratio */
    TOO_MUCH = ONE * 98 / 100,
    AVERAGED = 32,
    /* To `slowness`, a slow call adds SLOW, and any other call takes 1 off. So one slow call in SLOW is tolerated, and
       two in a row are not. */
    SLOW = 256,
    TOO_SLOW = 2 * SLOW,
    /* A call that takes so many times as long as expected, and LATE, was interrupted: no build is that slow. */
    MUCH_LONGER = 8
};

static const int64_t LONG = 200 * US;
static const int64_t SHORTEST_REST = 300 * US, LONGEST_REST = 1000 * MS, CROWDED_REST = 5 * MS;
/* After a run of long calls that has not paid, fewer than RARITY of them take the rest: as many as last so long. If the
   next probe fails as well, the rest is twice as long, so slow calls soon become rare. RARITY calls of 2 ms would be 0.4 s
   on one processor, for one wake that came late on a machine that is quiet otherwise. */
static const int64_t LONG_CALLS_REST = 100 * MS;
/* Calls 10 ms apart are RARITY in less time. Fewer calls than that, in so long, hardly have a 99th percentile. */
static const int64_t PATIENCE = 5000 * MS;
static const int64_t CREDIT = 300 * US;
/* When NumPy has been imported, the threads of its BLAS spin for some 20 ms. A call of 0.1 ms that starts a thread
   meanwhile may wait for a slice of 3 ms. */
static const int64_t FIRST_REST = 60 * MS;
/* Each thread that makes calls has a team of its own in the OpenMP runtime. It takes 0.1 to 1 ms to start. */
static const int64_t TEAM = 400 * US;
/* A call that loses so much time ends a probe at once, unless it is the first one. The first call may have woken a
   thread on the processor of the thread that waits for it, which the woken thread then leaves (threads.c). */
static const int64_t VERY_LATE = 500 * US;
/* It is less than the slice for which Linux gives a processor to another program. */
static const int64_t LATE = 1000 * US;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* The time that one thread would have taken. The calling thread may have lost its processor while it did its own share.
   The time of that share is then too long, and two bounds hold. A call brings at most the time that its work takes on a
   machine half as fast as `expected` assumes. A call that takes far longer than expected was interrupted, and counts as
   slow: one thread needs one processor only, and is interrupted less often. */
static int64_t serial_of(const smx_measurement *call) {
    const int64_t most_brought = call->took + 2 * call->expected;
    const int64_t undisturbed = MUCH_LONGER * call->expected + LATE;
    return least(call->serial, least(most_brought, undisturbed));
}

static void begin_run(smx_policy *p, int64_t now) {
    p->began = now;
    p->brought = p->lost = 0;
    p->calls = p->slow_calls = 0;
    p->judged_took = p->judged_serial = 0;
    p->judged = 0;
}

static void probe(smx_policy *p, int64_t now, int tried) {
    p->state = SMX_PROBING;
    p->tried = tried;
    begin_run(p, now);
}

/* Settles at so many threads, and rests for that time and that many calls. */
static void settle(smx_policy *p, int64_t now, int width, int64_t rest, int calls) {
    p->state = SMX_SETTLED;
    p->width = width;
    p->rest = least(most(rest, SHORTEST_REST), LONGEST_REST);
    p->until = now + p->rest;
    p->patience_ends = now + PATIENCE;
    p->owed = 0;
    p->calls_left = calls;
    p->credit = CREDIT / 2;
    p->slowness = 0;
    if (width == 1)
        p->ratio = ONE;
}

static int is_rested(const smx_policy *p, int64_t now) {
    return now >= p->until && p->owed <= 0 && (p->calls_left <= 0 || now >= p->patience_ends);
}

/* Ends the run and settles at fewer threads. */
static void retreat(smx_policy *p, const smx_measurement *call, int width) {
    const int64_t price = least(PRICE * p->lost, LONGEST_REST);
    const int64_t wanted_calls = RARITY * most(p->slow_calls, 1) - p->calls;
    if (p->brought >= 0 && p->calls >= RARITY * p->slow_calls) {
        settle(p, call->now, width, least(p->rest / 2, (call->now - p->began) / 64), PAYING_REST_CALLS);
    } else {
        const int64_t bounded_calls = least(wanted_calls, LONG_CALLS_REST / most(call->serial, 1));
        settle(p, call->now, width, most(2 * p->rest, price), (int)most(bounded_calls, PAYING_REST_CALLS));
        p->owed = price;
    }
    begin_run(p, call->now);
}

static void learn_from_probe(smx_policy *p, const smx_measurement *call, int64_t brings) {
    const int is_long = call->serial >= LONG;
    if (brings < -VERY_LATE && p->calls > 1) {
        retreat(p, call, p->width);
        return;
    }
    if (p->calls <= (is_long ? LONG_WAKING_CALLS : WAKING_CALLS))
        return;
    p->judged++;
    p->judged_took += call->took;
    p->judged_serial += call->serial;
    if (p->judged < (is_long ? LONG_JUDGED_CALLS : JUDGED_CALLS))
        return;
    if (p->judged_took / GOOD * 100 < p->judged_serial / ONE * p->ratio) {
        settle(p, call->now, p->tried, p->rest, PAYING_REST_CALLS);
        p->ratio = (int)(p->judged_took * ONE / p->judged_serial);
    } else {
        retreat(p, call, p->width);
    }
}

static void learn_settled(smx_policy *p, const smx_measurement *call, int64_t brings, int is_slow) {
    const int64_t ratio = call->took * ONE / most(call->serial, 1);
    p->ratio += (int)(least(ratio, 2 * ONE) - p->ratio) / AVERAGED;
    p->credit = least(p->credit + brings, CREDIT + call->serial);
    p->slowness = (int)most(0, p->slowness + (is_slow ? SLOW : -1));
    if (p->credit < 0 || p->slowness >= TOO_SLOW || p->ratio > TOO_MUCH)
        retreat(p, call, p->width / 2);
}

void smx_policy_begin(smx_policy *p, int64_t now) { p->begins = now + FIRST_REST; }

int smx_policy_is_worth_a_team(int64_t spent, int64_t expected) { return spent + expected >= PRICE * TEAM; }

int smx_policy_width(smx_policy *p, int64_t now, int limit) {
    if (now < p->begins)
        return 1;
    if (limit != p->limit) {
        p->limit = limit;
        p->width = limit > 1 ? limit / 2 : 1;
        p->ratio = ONE;
        p->rest = 0;
        probe(p, now, limit);
    }
    if (p->state == SMX_SETTLED && p->width < limit && is_rested(p, now))
        probe(p, now, (int)least(2 * p->width, limit));
    return p->state == SMX_PROBING ? p->tried : p->width;
}

void smx_policy_learn(smx_policy *p, const smx_measurement *measured) {
    smx_measurement bounded = *measured;
    bounded.serial = serial_of(measured);
    const smx_measurement *call = &bounded;
    if (p->calls_left > 0)
        p->calls_left--;
    p->owed -= least(call->took, p->owed);
    if (call->is_crowded) {
        /* A rest that is not over starts again. Else the new rest is twice as long as the last one. */
        const int is_resting = p->state == SMX_SETTLED && p->width == 1;
        settle(p, call->now, 1, most(is_resting ? p->rest : 2 * p->rest, CROWDED_REST), 0);
        begin_run(p, call->now);
        return;
    }
    if (call->width == 1)
        return;
    const int64_t brings = call->serial - call->took;
    const int is_slow = call->took > call->serial + call->serial / 4 + 2 * US;
    p->brought += brings;
    p->lost += most(0, -brings);
    p->calls++;
    p->slow_calls += is_slow;
    if (p->state == SMX_PROBING)
        learn_from_probe(p, call, brings);
    else
        learn_settled(p, call, brings, is_slow);
}
