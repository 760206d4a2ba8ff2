# Makes the man page and the completions: -DTOOL=pq-docgen -DOUT=directory. With
# -DCOMMITTED=directory also compares them with those there, and fails where they differ.
get_filename_component(frames ${CMAKE_CURRENT_LIST_DIR}/../man ABSOLUTE)

function(make file)
  get_filename_component(folder ${OUT}/${file} DIRECTORY)
  file(MAKE_DIRECTORY ${folder})
  execute_process(COMMAND ${TOOL} ${ARGN} ${OUT}/${file} RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "pq-docgen could not make ${file}")
  endif()
  if(NOT COMMITTED)
    return()
  endif()
  execute_process(
    COMMAND ${CMAKE_COMMAND} -E compare_files ${OUT}/${file} ${COMMITTED}/${file}
    RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(SEND_ERROR "contrib/${file} is out of date; build the target \"docs\"")
  endif()
endfunction()

make(man/pve-qga-run.1 man ${frames}/pve-qga-run.1.in)
foreach(program pve-qga-run pve-qga-rsh pve-qga-shell)
  make(completions/${program}.bash bash ${program})
  make(completions/_${program} zsh ${program})
  make(completions/${program}.fish fish ${program})
endforeach()
