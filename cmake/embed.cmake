# pq_embed_scripts(TARGET HEADER script...): turns guest-side shell scripts into C strings.
# A script NAME.sh becomes `static const char pq_script_NAME[]`, stripped of comment lines
# and indentation, which would only cost bytes in every call. (Python keeps its indentation.)
function(pq_embed_scripts target header)
  set(out ${CMAKE_CURRENT_BINARY_DIR}/${header})
  set(tool ${PROJECT_SOURCE_DIR}/cmake/embed_scripts.cmake)
  set(paths)
  foreach(script ${ARGN})
    list(APPEND paths ${CMAKE_CURRENT_SOURCE_DIR}/${script})
  endforeach()
  string(REPLACE ";" "|" joined "${paths}")
  add_custom_command(
    OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} "-DOUT=${out}" "-DSCRIPTS=${joined}" -P ${tool}
    DEPENDS ${paths} ${tool}
    VERBATIM)
  target_sources(${target} PRIVATE ${out})
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_BINARY_DIR})
endfunction()
