# SPDX-License-Identifier: Apache-2.0
# clr_program: how programs find LibTorch and libclr_cuda.so when they start.

add_library(clr_program INTERFACE)
# --disable-new-dtags writes DT_RPATH, which also serves dlopen(libtorch_cuda.so, libclr_cuda.so);
# --as-needed keeps CUDA's libraries out of the list of what the program needs to start.
target_link_options(clr_program INTERFACE "LINKER:--disable-new-dtags" "LINKER:--as-needed")
if(CLR_PORTABLE)
  set(CMAKE_SKIP_BUILD_RPATH ON)
  target_link_options(clr_program INTERFACE "LINKER:-rpath,$ORIGIN:$ORIGIN/torch/lib")
else()
  set(CMAKE_BUILD_RPATH "$ORIGIN;${LibTorch_LIBRARY_DIR}")
endif()
