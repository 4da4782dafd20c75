# SPDX-License-Identifier: Apache-2.0
# clr_flags: language level, code generation and sanitizers of every target of ours; CLR_VERSION.

add_library(clr_flags INTERFACE)
target_compile_features(clr_flags INTERFACE cxx_std_20)
target_compile_definitions(clr_flags INTERFACE CLR_VERSION="${PROJECT_VERSION}")
# -fPIC also for programs: the precompiled header is shared between them and the libraries, and a
# header compiled with -fPIE would not be taken by a library. -ffp-contract=off: the same sums with
# and without fused multiply-add, so that results do not depend on which loop the compiler chose.
target_compile_options(
  clr_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fPIC -ffp-contract=off -fno-fast-math>)

if(CLR_SANITIZE)
  target_compile_options(
    clr_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${CLR_SANITIZE}
                        -fno-sanitize-recover=undefined -fno-omit-frame-pointer>)
  target_link_options(clr_flags INTERFACE -fsanitize=${CLR_SANITIZE})
endif()

# Large files with Torch headers spend much of their time in debug information: -g1 keeps line
# numbers in stack traces at a tenth of the size.
set(CMAKE_CXX_FLAGS_RELEASE "-O3 -g1 -DNDEBUG")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")
set(CMAKE_CXX_EXTENSIONS OFF)

if(CLR_TIDY)
  find_program(CLR_CLANG_TIDY NAMES clang-tidy clang-tidy-14)
  if(NOT CLR_CLANG_TIDY)
    message(FATAL_ERROR "CLR_TIDY needs clang-tidy: apt-get install clang-tidy")
  endif()
  set(CMAKE_CXX_CLANG_TIDY "${CLR_CLANG_TIDY};--quiet")
endif()
