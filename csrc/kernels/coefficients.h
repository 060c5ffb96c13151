/* The constants of exp.inc.h and log.inc.h. Printed by coefficients.py, which says how they were found. */

#ifndef SMX_COEFFICIENTS_H
#define SMX_COEFFICIENTS_H

#define F32_LOG2E 0x1.7154760000000p+0f
#define F32_LN2_HIGH 0x1.62e4300000000p-1f
#define F32_LN2_LOW -0x1.05c6100000000p-29f
#define F32_LN2_TOP 0x1.62e0000000000p-1f
#define F32_LN2_REST 0x1.0bfbe80000000p-15f
/* q of exp: relative error at most 2^-27.57 */
#define F32_EXP_2 0x1.fffffa0000000p-2f
#define F32_EXP_3 0x1.5554780000000p-3f
#define F32_EXP_4 0x1.5559640000000p-5f
#define F32_EXP_5 0x1.124bd80000000p-7f
#define F32_EXP_6 0x1.6a06760000000p-10f
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
/* q of exp: relative error at most 2^-56.67 */
#define F64_EXP_2 0x1.000000000000dp-1
#define F64_EXP_3 0x1.55555555554dbp-3
#define F64_EXP_4 0x1.555555554f470p-5
#define F64_EXP_5 0x1.111111112dc37p-7
#define F64_EXP_6 0x1.6c16c188c10c9p-10
#define F64_EXP_7 0x1.a01a0113885ffp-13
#define F64_EXP_8 0x1.a0198d3cc6130p-16
#define F64_EXP_9 0x1.71df42ea461f3p-19
#define F64_EXP_10 0x1.28b98262b3dbfp-22
#define F64_EXP_11 0x1.ad711ae62b0d3p-26
/* l of log: relative error at most 2^-58.97 */
#define F64_LOG_1 0x1.5555555555592p-1
#define F64_LOG_2 0x1.999999997fdb7p-2
#define F64_LOG_3 0x1.24924941f1279p-2
#define F64_LOG_4 0x1.c71c52095a854p-3
#define F64_LOG_5 0x1.74663ee904c80p-3
#define F64_LOG_6 0x1.39a1baa7107eap-3
#define F64_LOG_7 0x1.2f0564304a5bbp-3

#endif
