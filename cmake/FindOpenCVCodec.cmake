# SPDX-License-Identifier: Apache-2.0
# Finds OpenCV's core, imgproc and imgcodecs and defines OpenCV::codec. OpenCV's own package file
# comes only with all of OpenCV (libopencv-dev), not with the three packages used here.

find_path(OpenCVCodec_INCLUDE_DIR opencv2/imgcodecs.hpp PATH_SUFFIXES opencv4)
mark_as_advanced(OpenCVCodec_INCLUDE_DIR)
set(_libraries "")
foreach(_name IN ITEMS imgcodecs imgproc core)
  find_library(OpenCVCodec_${_name}_LIBRARY opencv_${_name})
  mark_as_advanced(OpenCVCodec_${_name}_LIBRARY)
  list(APPEND _libraries "${OpenCVCodec_${_name}_LIBRARY}")
endforeach()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  OpenCVCodec REQUIRED_VARS OpenCVCodec_INCLUDE_DIR OpenCVCodec_imgcodecs_LIBRARY
                            OpenCVCodec_imgproc_LIBRARY OpenCVCodec_core_LIBRARY)

if(OpenCVCodec_FOUND AND NOT TARGET OpenCV::codec)
  add_library(OpenCV::codec INTERFACE IMPORTED)
  target_include_directories(OpenCV::codec SYSTEM INTERFACE "${OpenCVCodec_INCLUDE_DIR}")
  target_link_libraries(OpenCV::codec INTERFACE ${_libraries})
endif()
