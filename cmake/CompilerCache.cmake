# SPDX-License-Identifier: Apache-2.0
# Compiles through ccache where it is installed.

find_program(CLR_CCACHE ccache)
mark_as_advanced(CLR_CCACHE)
if(CLR_CCACHE)
  # ccache refuses files that use a precompiled header unless it is told not to look at these two.
  set(launcher "${CMAKE_COMMAND}" -E env CCACHE_SLOPPINESS=pch_defines,time_macros "${CLR_CCACHE}")
  foreach(language CXX CUDA)
    if(NOT CMAKE_${language}_COMPILER_LAUNCHER)
      set(CMAKE_${language}_COMPILER_LAUNCHER ${launcher})
    endif()
  endforeach()
endif()
