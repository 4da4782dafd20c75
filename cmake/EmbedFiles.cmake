# SPDX-License-Identifier: Apache-2.0
# Makes text files part of a program.

# clr_embed_files(OUTPUT NAME FILE...): writes OUTPUT, a C++ source that defines, in namespace clr,
# `extern const std::string_view NAME_FILE` for each file, dots as underscores. Configuring again
# follows a change of a file.
function(clr_embed_files output name)
  set(source "// Written by cmake/EmbedFiles.cmake.\n#include <string_view>\n\nnamespace clr {\n")
  foreach(file IN LISTS ARGN)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
    file(READ "${file}" text)
    string(FIND "${text}" ")clr_file\"" end)
    if(NOT end EQUAL -1)
      message(FATAL_ERROR "${file}: holds what ends a string in ${output}")
    endif()
    get_filename_component(variable "${file}" NAME)
    string(MAKE_C_IDENTIFIER "${name}_${variable}" variable)
    string(APPEND source "extern const std::string_view ${variable};\n"
                         "const std::string_view ${variable} = R\"clr_file(${text})clr_file\";\n")
  endforeach()
  string(APPEND source "}  // namespace clr\n")
  if(EXISTS "${output}")
    file(READ "${output}" before)
  endif()
  if(NOT "${source}" STREQUAL "${before}")
    file(WRITE "${output}" "${source}")
  endif()
endfunction()
