// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Compiles a function for several instruction sets and picks one when the program starts.
///
/// For hot loops alone, in plain C++. All versions give the same bytes: -ffp-contract=off and no
/// -ffast-math make a wider vector do the same operations in the same order. Sums across pixels
/// need a written order (see color_jitter's gray mean).
///
/// The sanitizers' run-time is not there yet when the choice is made, so they get the one version.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    !defined(CLR_SINGLE_VERSION)
#define CLR_MULTIVERSION __attribute__((target_clones("default", "avx2", "arch=x86-64-v4")))
#else
#define CLR_MULTIVERSION
#endif
