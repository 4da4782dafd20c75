# SPDX-License-Identifier: Apache-2.0
# What others wrote, as imported targets; nothing here touches the network.

find_package(LibTorch REQUIRED)
message(STATUS "LibTorch ${LibTorch_VERSION}: ${LibTorch_ROOT_DIR}")

# In a portable build these are archives, so that the program runs where they are not installed.
if(CLR_PORTABLE)
  set(OPENSSL_USE_STATIC_LIBS ON)
  set(_suffixes "${CMAKE_FIND_LIBRARY_SUFFIXES}")
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
endif()
find_package(JPEG REQUIRED)
find_package(ZLIB REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_library(UTF8PROC_LIBRARY utf8proc REQUIRED)
find_path(UTF8PROC_INCLUDE_DIR utf8proc.h REQUIRED)
if(CLR_PORTABLE)
  set(CMAKE_FIND_LIBRARY_SUFFIXES "${_suffixes}")
endif()

find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(Threads REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(Catch2 2.13 REQUIRED)
find_path(XXHASH_INCLUDE_DIR xxhash.h REQUIRED)
if(CLR_OPENCV)
  find_package(OpenCVCodec REQUIRED)
endif()
if(CLR_GIF)
  find_package(GIF REQUIRED)
endif()
if(CLR_HEIF)
  find_path(HEIF_INCLUDE_DIR libheif/heif.h REQUIRED)
  find_library(HEIF_LIBRARY heif REQUIRED)
endif()
if(CLR_ONNX)
  find_path(PROTOBUF_C_INCLUDE_DIR protobuf-c/protobuf-c.h REQUIRED)
  find_library(PROTOBUF_C_LIBRARY protobuf-c REQUIRED)
  find_program(PROTOC_C protoc-c REQUIRED)
endif()

# LibTorch's include folder carries an fmt of its own, three major versions newer than the one
# spdlog was made for. This folder comes before it and holds the installed one.
get_target_property(_fmt_include fmt::fmt-header-only INTERFACE_INCLUDE_DIRECTORIES)
file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/include_first")
file(CREATE_LINK "${_fmt_include}/fmt" "${PROJECT_BINARY_DIR}/include_first/fmt" SYMBOLIC)
target_include_directories(LibTorch::c10 SYSTEM BEFORE
                           INTERFACE "${PROJECT_BINARY_DIR}/include_first")
