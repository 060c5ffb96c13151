/* What show_config reports about the build. */

#ifndef SMX_BUILD_H
#define SMX_BUILD_H

#define SMX_STRING_(x) #x
#define SMX_STRING(x) SMX_STRING_(x)

#if defined(__clang__)
#define SMX_COMPILER                                                                                                   \
    "Clang " SMX_STRING(__clang_major__) "." SMX_STRING(__clang_minor__) "." SMX_STRING(__clang_patchlevel__)
#elif defined(__GNUC__)
#define SMX_COMPILER "GCC " SMX_STRING(__GNUC__) "." SMX_STRING(__GNUC_MINOR__) "." SMX_STRING(__GNUC_PATCHLEVEL__)
#elif defined(_MSC_VER)
#define SMX_COMPILER "MSVC " SMX_STRING(_MSC_VER)
#else
#define SMX_COMPILER "unknown"
#endif

/* The OpenMP runtime that each compiler links. */
#if !defined(_OPENMP)
#define SMX_OPENMP_RUNTIME ""
#elif defined(__clang__)
#define SMX_OPENMP_RUNTIME "LLVM libomp"
#elif defined(__GNUC__)
#define SMX_OPENMP_RUNTIME "GNU libgomp"
#else
#define SMX_OPENMP_RUNTIME "Microsoft vcomp"
#endif

#endif
