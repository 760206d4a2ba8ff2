# One warning level for the whole project; PQ_WERROR turns warnings into errors.
add_compile_options(-Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes
                    -Wpointer-arith -Wwrite-strings -Wformat=2 -Wundef -Wvla
                    -fstack-protector-strong -fno-strict-aliasing -fvisibility=hidden)
if(PQ_WERROR)
  add_compile_options(-Werror)
endif()
if(PQ_SANITIZE)
  add_compile_options(-fsanitize=${PQ_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${PQ_SANITIZE})
endif()
if(PQ_COVERAGE)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  add_compile_definitions(_FORTIFY_SOURCE=2)
endif()
