/* The constants of exp.inc.h and log.inc.h. Printed by coefficients.py, which says how they were found. */

#ifndef SMX_COEFFICIENTS_H
#define SMX_COEFFICIENTS_H

#define F32_LOG2E 0x1.7154760000000p+0f
#define F32_LN2_HIGH 0x1.62e4300000000p-1f
#define F32_LN2_LOW -0x1.05c6100000000p-29f
#define F32_LN2_TOP 0x1.62e0000000000p-1f
#define F32_LN2_REST 0x1.0bfbe80000000p-15f
/* 2^(j / 4) = POWER_j exp(REST_j) */
#define F32_POWER_0 0x1.0000000000000p+0f
#define F32_POWER_1 0x1.306fe00000000p+0f
#define F32_REST_1 0x1.1250020000000p-25f
#define F32_POWER_2 0x1.6a09e60000000p+0f
#define F32_REST_2 0x1.26055c0000000p-26f
#define F32_POWER_3 0x1.ae89fa0000000p+0f
#define F32_REST_3 -0x1.f9c3060000000p-27f
/* q of exp: relative error at most 2^-27.27 */
#define F32_EXP_2 0x1.0000080000000p-1f
#define F32_EXP_3 0x1.5573920000000p-3f
#define F32_EXP_4 0x1.551dec0000000p-5f
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
/* 2^(j / 4) = POWER_j exp(REST_j) */
#define F64_POWER_0 0x1.0000000000000p+0
#define F64_POWER_1 0x1.306fe0a31b715p+0
#define F64_REST_1 0x1.34d754db0abb6p-55
#define F64_POWER_2 0x1.6a09e667f3bcdp+0
#define F64_REST_2 -0x1.3b3efbf5e2229p-54
#define F64_POWER_3 0x1.ae89f995ad3adp+0
#define F64_REST_3 0x1.c1a7792cb3387p-55
/* q of exp: relative error at most 2^-57.17 */
#define F64_EXP_2 0x1.0000000000007p-1
#define F64_EXP_3 0x1.555555555865cp-3
#define F64_EXP_4 0x1.555555553df20p-5
#define F64_EXP_5 0x1.111110939a91ep-7
#define F64_EXP_6 0x1.6c16c3c4c0fe7p-10
#define F64_EXP_7 0x1.a032283872048p-13
#define F64_EXP_8 0x1.9fff2a6214f0fp-16
/* l of log: relative error at most 2^-58.97 */
#define F64_LOG_1 0x1.5555555555592p-1
#define F64_LOG_2 0x1.999999997fdb7p-2
#define F64_LOG_3 0x1.24924941f1279p-2
#define F64_LOG_4 0x1.c71c52095a854p-3
#define F64_LOG_5 0x1.74663ee904c80p-3
#define F64_LOG_6 0x1.39a1baa7107eap-3
#define F64_LOG_7 0x1.2f0564304a5bbp-3

#endif
