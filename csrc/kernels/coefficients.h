/* The constants of exp.inc.h and log.inc.h. Printed by coefficients.py, which says how they were found. */

#ifndef SMX_COEFFICIENTS_H
#define SMX_COEFFICIENTS_H

#define F32_LOG2E 0x1.7154760000000p+0f
#define F32_LN2_HIGH 0x1.62e4300000000p-1f
#define F32_LN2_LOW -0x1.05c6100000000p-29f
#define F32_LN2_TOP 0x1.62e0000000000p-1f
#define F32_LN2_REST 0x1.0bfbe80000000p-15f
/* 2^(j / 8) = CENTRE (1 + j / 8) exp(REST_j) */
#define F32_CENTRE 0x1.f000000000000p-1f
#define F32_REST_0 0x1.0415d80000000p-5f
#define F32_REST_1 0x1.3f52ae0000000p-11f
#define F32_REST_2 -0x1.28aeb40000000p-6f
#define F32_REST_3 -0x1.b6add20000000p-6f
#define F32_REST_4 -0x1.bcb53c0000000p-6f
#define F32_REST_5 -0x1.508ff00000000p-6f
#define F32_REST_6 -0x1.065d1a0000000p-7f
#define F32_REST_7 0x1.3c023e0000000p-7f
/* q of exp: relative error at most 2^-28.59 */
#define F32_EXP_2 0x1.fffff40000000p-2f
#define F32_EXP_3 0x1.556a160000000p-3f
#define F32_EXP_4 0x1.55f8860000000p-5f
/* l of log: relative error at most 2^-31.07 */
#define F32_LOG_1 0x1.5555540000000p-1f
#define F32_LOG_2 0x1.999a7a0000000p-2f
#define F32_LOG_3 0x1.2438d80000000p-2f
#define F32_LOG_4 0x1.e2f6640000000p-3f

#define F64_LOG2E 0x1.71547652b82fep+0
#define F64_LN2_HIGH 0x1.62e42fefa39efp-1
#define F64_LN2_LOW 0x1.abc9e3b39803fp-56
#define F64_LN2_TOP 0x1.62e42fefa4000p-1
#define F64_LN2_REST -0x1.8432a1b0e2634p-43
/* 2^(j / 8) = CENTRE (1 + j / 8) exp(REST_j) */
#define F64_CENTRE 0x1.f000000000000p-1
#define F64_REST_0 0x1.0415d89e74444p-5
#define F64_REST_1 0x1.3f52ae17495c2p-11
#define F64_REST_2 -0x1.28aeb3134790bp-6
#define F64_REST_3 -0x1.b6add1a3cac68p-6
#define F64_REST_4 -0x1.bcb53c8875d43p-6
#define F64_REST_5 -0x1.508fefb955f92p-6
#define F64_REST_6 -0x1.065d1a5884624p-7
#define F64_REST_7 0x1.3c023dcbd11ccp-7
/* q of exp: relative error at most 2^-59.62 */
#define F64_EXP_2 0x1.ffffffffffff5p-2
#define F64_EXP_3 0x1.5555555556509p-3
#define F64_EXP_4 0x1.555555557977ep-5
#define F64_EXP_5 0x1.111110d695ed4p-7
#define F64_EXP_6 0x1.6c16b9f78ec56p-10
#define F64_EXP_7 0x1.a02a760d9c37fp-13
#define F64_EXP_8 0x1.a0fd0a979da75p-16
/* l of log: relative error at most 2^-58.97 */
#define F64_LOG_1 0x1.5555555555592p-1
#define F64_LOG_2 0x1.999999997fdb7p-2
#define F64_LOG_3 0x1.24924941f1279p-2
#define F64_LOG_4 0x1.c71c52095a854p-3
#define F64_LOG_5 0x1.74663ee904c80p-3
#define F64_LOG_6 0x1.39a1baa7107eap-3
#define F64_LOG_7 0x1.2f0564304a5bbp-3

#endif
