# SPDX-License-Identifier: Apache-2.0
# Turns CLR_CUDA (AUTO, ON, OFF) into CLR_WITH_CUDA and enables the CUDA language.

# libclr_cuda.so uses the CUDA 13 run time beside LibTorch, so an older nvcc will not do.
function(clr_is_nvcc_13 result candidate)
  execute_process(COMMAND "${candidate}" --version OUTPUT_VARIABLE output ERROR_QUIET)
  if(NOT output MATCHES "release 13\\.")
    set(${result} FALSE PARENT_SCOPE)
  endif()
endfunction()

set(CLR_WITH_CUDA OFF)
if(NOT CLR_CUDA STREQUAL "OFF")
  find_program(
    CLR_NVCC nvcc
    HINTS "$ENV{CUDA_HOME}/bin" /usr/local/cuda/bin
          "${LibTorch_CACHE_DIR}/nvcc-13.0/nvidia/cu13/bin"
    VALIDATOR clr_is_nvcc_13
    DOC "CUDA compiler")
  mark_as_advanced(CLR_NVCC)
  if(CLR_NVCC AND TARGET LibTorch::cudart)
    set(CLR_WITH_CUDA ON)
  elseif(CLR_CUDA STREQUAL "ON")
    if(NOT CLR_NVCC)
      message(FATAL_ERROR "CLR_CUDA=ON needs nvcc 13.0: run scripts/setup.sh --cuda.")
    endif()
    message(FATAL_ERROR "CLR_CUDA=ON needs libcudart.so.13 beside LibTorch: run scripts/setup.sh.")
  endif()
endif()

if(CLR_WITH_CUDA)
  if(NOT CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER "${CLR_NVCC}")
  endif()
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    # A100 and H100 natively; anything newer from the portable form of the latter.
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90a-real 90-virtual)
  endif()
  enable_language(CUDA)
  # CMake 3.25 does not know that nvcc has had C++20 since 12.0.
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
  set(CMAKE_CUDA_FLAGS_RELEASE "-O3 -DNDEBUG")
  set(CMAKE_CUDA_FLAGS_RELWITHDEBINFO "-O2 -lineinfo")
  message(STATUS "CUDA: ${CMAKE_CUDA_COMPILER} ${CMAKE_CUDA_COMPILER_VERSION}")
else()
  message(STATUS "CUDA: off")
endif()
