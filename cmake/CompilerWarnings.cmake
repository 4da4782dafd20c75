# SPDX-License-Identifier: Apache-2.0
# clr_warnings: the warnings every target of ours is compiled with.

# Off: g++ 12 takes std::string's own insert and operator+ for overflows and overlaps (gcc bug 105329).
add_library(clr_warnings INTERFACE)
target_compile_options(
  clr_warnings
  INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall
            -Wextra
            -Wpedantic
            -Wshadow
            -Wnon-virtual-dtor
            -Woverloaded-virtual
            -Wcast-align
            -Wvla
            -Wno-restrict
            -Wno-stringop-overflow
            $<$<BOOL:${CLR_WERROR}>:-Werror>>)
