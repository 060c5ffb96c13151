/* How many threads a call uses, judged by what earlier calls have cost. These functions are pure: they read no clock
   and have no global state, and tests feed them traces (tests/test_threads.py). threads.c measures calls, and keeps the
   one state of the process. */

#ifndef SMX_POLICY_H
#define SMX_POLICY_H

#include <stdint.h>

/*  state      threads of the next call     left when                                      next state
    --------------------------------------------------------------------------------------------------------------------
    SETTLED    width                        the calls lose time, or too many are slow      SETTLED, half width; rests
                                            the rest is over, and width < limit            PROBING
    PROBING    tried: twice the width,      its last calls have brought time               SETTLED, width = tried
               at the start the limit       they have not, or a call came very late        SETTLED; rests longer
    any                                     another thread of this process is in a call    SETTLED, width 1; rests
                                            the limit has changed                          PROBING, tried = limit

    A program that has just begun goes alone, whatever the state, until smx_policy_begin's rest is over. In SETTLED with
    width 1, calls go alone. With width = limit, there is nothing to probe for. "Rests" means: the policy does not probe
    for a while.

    A call brings the time that one thread would have taken, less the time that the call took. A run is a probe and the
   calls that follow it at its width. A short rest follows a run that has brought time and few slow calls. Any other run
   is followed by a rest twice as long as the last one, and at least so long that what the run has lost is a small share
   of the time that calls take meanwhile, and that its slow calls are a small share of all calls. A program that seldom
   calls waits for the last of these for a few seconds only, and long calls wait for a tenth of a second. */
enum smx_policy_state { SMX_SETTLED, SMX_PROBING };

/* All times are in nanoseconds, of any clock that does not go back. */
typedef struct {
    enum smx_policy_state state;
    int limit, width, tried;
    int64_t begins; /* calls before this time go alone */

    /* The rest: how long it is and when it ends. It also goes on until calls have taken the time `owed`; and until
       there have been `calls_left` of them, or patience is at its end. */
    int64_t rest, until, owed, patience_ends;
    int calls_left;

    /* The run: when it began, what it has brought, its calls, and those that were slow. */
    int64_t began, brought, lost;
    int calls, slow_calls;
    /* A probe's last calls. */
    int64_t judged_took, judged_serial;
    int judged;
    /* What recent calls have brought, up to a bound; slow ones among them; took / serial of recent ones, in 1/1024. */
    int64_t credit;
    int slowness, ratio;
} smx_policy;

typedef struct {
    int64_t now;    /* the call's end */
    int64_t took;   /* its time */
    int64_t serial; /* the time that one thread would have taken, as the time of the calling thread's share tells */
    int64_t expected; /* the same, as the size of the call tells, within a factor of 2 or so */
    int width;      /* threads that it ran on */
    int is_crowded; /* another thread of this process was in a call meanwhile */
} smx_measurement;

/* Tells an all-zero policy that the program begins now. */
void smx_policy_begin(smx_policy *policy, int64_t now);

/* Returns 1 if a thread is worth a team of its own. The thread has spent the time `spent` in calls that could have used
   a team, and the call that it is about to make is expected to take the time `expected`. */
int smx_policy_is_worth_a_team(int64_t spent, int64_t expected);

/* Returns the number of threads for a call that begins now and may have up to limit. Before the first call, the policy
   is all zeros, or smx_policy_begin has seen it. */
int smx_policy_width(smx_policy *policy, int64_t now, int limit);

/* Learns from a call that has ended. */
void smx_policy_learn(smx_policy *policy, const smx_measurement *call);

#endif
