# SPDX-License-Identifier: Apache-2.0
# Finds LibTorch 2.11 and defines LibTorch::c10, LibTorch::torch_cpu and, where the CUDA run time
# lies beside it, LibTorch::cudart.
#
# Looked for in CLR_LIBTORCH (a CMake variable or an environment variable: a LibTorch folder, a
# Python's torch folder, or a folder that holds torch/), else in the cache that scripts/setup.sh
# fills. LibTorch's own package file is not used: it wants a CUDA tool kit even for the CPU part.

set(LibTorch_VERSION_WANTED 2.11)

set(CLR_LIBTORCH "" CACHE PATH "LibTorch, a Python's torch folder, or a folder that holds torch/")
if(CLR_LIBTORCH)
  set(_given "${CLR_LIBTORCH}")
else()
  set(_given "$ENV{CLR_LIBTORCH}")
endif()

# Where scripts/setup.sh puts what it downloads.
if(NOT "$ENV{CLR_CACHE}" STREQUAL "")
  set(LibTorch_CACHE_DIR "$ENV{CLR_CACHE}")
elseif(NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
  set(LibTorch_CACHE_DIR "$ENV{XDG_CACHE_HOME}/clr")
else()
  set(LibTorch_CACHE_DIR "$ENV{HOME}/.cache/clr")
endif()

if(_given)
  get_filename_component(_looked_in "${_given}" REALPATH BASE_DIR "${PROJECT_SOURCE_DIR}")
else()
  set(_looked_in "${LibTorch_CACHE_DIR}/libtorch-2.11.0")
endif()

# Not cached: another CLR_LIBTORCH must take effect without a fresh build folder.
set(LibTorch_ROOT_DIR "")
foreach(_candidate IN ITEMS "${_looked_in}" "${_looked_in}/torch")
  if(NOT LibTorch_ROOT_DIR
     AND EXISTS "${_candidate}/lib/libtorch_cpu.so"
     AND EXISTS "${_candidate}/include/torch/csrc/api/include/torch/torch.h")
    set(LibTorch_ROOT_DIR "${_candidate}")
  endif()
endforeach()

if(NOT LibTorch_ROOT_DIR)
  if(_given)
    message(FATAL_ERROR "CLR_LIBTORCH is ${_looked_in}, which holds no LibTorch (lib/libtorch_cpu.so "
                        "and include/); unset it and run scripts/setup.sh to fetch one.")
  endif()
  message(FATAL_ERROR "LibTorch is not in ${_looked_in}: run scripts/setup.sh, or set CLR_LIBTORCH "
                      "to an existing LibTorch ${LibTorch_VERSION_WANTED} or Python torch folder.")
endif()

set(LibTorch_VERSION "")
set(_version_header "")
foreach(_name IN ITEMS torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
  if(NOT _version_header AND EXISTS "${LibTorch_ROOT_DIR}/include/${_name}")
    file(STRINGS "${LibTorch_ROOT_DIR}/include/${_name}" _lines
         REGEX "^#define TORCH_VERSION_(MAJOR|MINOR|PATCH) [0-9]+")
    if(_lines)
      set(_version_header "${_name}")
    endif()
  endif()
endforeach()
if(_version_header)
  string(REGEX REPLACE ".*MAJOR ([0-9]+).*MINOR ([0-9]+).*PATCH ([0-9]+).*" "\\1.\\2.\\3"
                       LibTorch_VERSION "${_lines}")
endif()
if(NOT LibTorch_VERSION MATCHES "^2\\.11\\.")
  message(FATAL_ERROR "LibTorch in ${LibTorch_ROOT_DIR} is version '${LibTorch_VERSION}', but clr "
                      "needs ${LibTorch_VERSION_WANTED}: run scripts/setup.sh to fetch it.")
endif()
set(LibTorch_LIBRARY_DIR "${LibTorch_ROOT_DIR}/lib")

# A Python's torch keeps the CUDA libraries in a neighbouring folder, a LibTorch archive in lib/.
get_filename_component(_site "${LibTorch_ROOT_DIR}" DIRECTORY)
set(LibTorch_CUDA_LIBRARY_DIR "")
foreach(_candidate IN ITEMS "${_site}/nvidia/cu13/lib" "${LibTorch_LIBRARY_DIR}")
  if(NOT LibTorch_CUDA_LIBRARY_DIR AND EXISTS "${_candidate}/libcudart.so.13")
    set(LibTorch_CUDA_LIBRARY_DIR "${_candidate}")
  endif()
endforeach()

if(NOT TARGET LibTorch::c10)
  add_library(LibTorch::c10 SHARED IMPORTED)
  set_target_properties(LibTorch::c10 PROPERTIES IMPORTED_LOCATION
                                                 "${LibTorch_LIBRARY_DIR}/libc10.so")
  target_include_directories(
    LibTorch::c10 SYSTEM
    INTERFACE "${LibTorch_ROOT_DIR}/include"
              "${LibTorch_ROOT_DIR}/include/torch/csrc/api/include")
  target_compile_definitions(LibTorch::c10 INTERFACE _GLIBCXX_USE_CXX11_ABI=1)

  add_library(LibTorch::torch_cpu SHARED IMPORTED)
  set_target_properties(LibTorch::torch_cpu PROPERTIES IMPORTED_LOCATION
                                                       "${LibTorch_LIBRARY_DIR}/libtorch_cpu.so")
  target_link_libraries(LibTorch::torch_cpu INTERFACE LibTorch::c10)
  # The linker checks what libtorch_cpu.so itself needs; that is found through its own run path,
  # which the linker only follows for files it can see from here.
  if(LibTorch_CUDA_LIBRARY_DIR)
    target_link_options(LibTorch::torch_cpu INTERFACE
                        "LINKER:-rpath-link,${LibTorch_CUDA_LIBRARY_DIR}")
  endif()

  if(LibTorch_CUDA_LIBRARY_DIR)
    add_library(LibTorch::cudart SHARED IMPORTED)
    set_target_properties(LibTorch::cudart PROPERTIES
                          IMPORTED_LOCATION "${LibTorch_CUDA_LIBRARY_DIR}/libcudart.so.13")
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  LibTorch
  REQUIRED_VARS LibTorch_ROOT_DIR
  VERSION_VAR LibTorch_VERSION)
