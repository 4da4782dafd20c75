# SPDX-License-Identifier: Apache-2.0
# clr_warnings: the warnings every target of ours is compiled with.
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
            $<$<BOOL:${CLR_WERROR}>:-Werror>>)
