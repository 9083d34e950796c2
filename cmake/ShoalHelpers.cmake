# The project's own verbs.

# shoal_library(core PACKAGES fyaml LIBRARIES ...): the folder's sources as one static library
# shoal_<room>. LIBRARIES are rooms below; PACKAGES are foreign libraries, private to the room.
function(shoal_library room)
  cmake_parse_arguments(A "" "" "ROOMS;PACKAGES" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c
       ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  if(NOT sources)
    add_library(shoal_${room} INTERFACE)
    return()
  endif()
  add_library(shoal_${room} STATIC ${sources})
  target_include_directories(shoal_${room} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  list(TRANSFORM A_ROOMS PREPEND shoal_)
  target_link_libraries(shoal_${room} PUBLIC ${A_ROOMS} PRIVATE ${A_PACKAGES} m Threads::Threads)
endfunction()

# How much longer things may take than in the release build.
set(SHOAL_SLOWNESS 1)
if(SHOAL_SANITIZE MATCHES thread)
  set(SHOAL_SLOWNESS 10)
elseif(SHOAL_SANITIZE)
  set(SHOAL_SLOWNESS 5)
endif()

# Sets a test's timeout: standard seconds unless given, longer under sanitizers.
function(shoal_timeout variable standard)
  set(seconds ${${variable}})
  if(NOT seconds)
    set(seconds ${standard})
  endif()
  math(EXPR seconds "${SHOAL_SLOWNESS} * ${seconds}")
  set(${variable} ${seconds} PARENT_SCOPE)
endfunction()

# In a sanitizer build: what foreign libraries leak is no fault of the program.
function(shoal_sanitized_program name)
  if(SHOAL_SANITIZE)
    target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/support/sanitizer.c)
    target_link_options(${name} PRIVATE -Wl,--export-dynamic-symbol=dlclose)
  endif()
endfunction()

# A library of tests that computes on one thread, on memory of its caller's: the thread sanitizer has
# nothing to see there and would take most of the test's time.
function(shoal_one_threaded name)
  if(SHOAL_SANITIZE MATCHES thread)
    target_compile_options(${name} PRIVATE -fno-sanitize=thread)
  endif()
endfunction()

# What a test's environment holds: where the program and the sources lie, and, in a thread sanitizer
# build, Archer, which tells the sanitizer what OpenMP's barriers order (without it every loop looks
# like a race). Memory that only foreign libraries touch is not ours to judge; ci/tsan.supp holds
# what is left of theirs. The first race ends a program, whatever its exit code was to be.
set(SHOAL_TEST_ENVIRONMENT "SHOAL_SOURCE_DIR=${PROJECT_SOURCE_DIR};SHOAL_BINARY=$<TARGET_FILE:shoal>;SHOAL_SLOWNESS=${SHOAL_SLOWNESS}")
if(SHOAL_SANITIZE MATCHES thread)
  get_filename_component(llvm ${CMAKE_C_COMPILER} REALPATH)
  get_filename_component(llvm ${llvm} DIRECTORY)
  find_library(ARCHER_LIBRARY archer HINTS ${llvm}/../lib REQUIRED)
  list(APPEND SHOAL_TEST_ENVIRONMENT "OMP_TOOL_LIBRARIES=${ARCHER_LIBRARY}"
       "TSAN_OPTIONS=halt_on_error=1 ignore_noninstrumented_modules=1 suppressions=${PROJECT_SOURCE_DIR}/ci/tsan.supp")
endif()

# shoal_test(test_boxes ROOMS tensor LABELS unit [RANKS 2] [TIMEOUT 60] [ARGS ...]): builds NAME.c
# into a program and registers it; with RANKS it runs under mpirun.
function(shoal_test name)
  cmake_parse_arguments(A "" "RANKS;TIMEOUT;PROCESSORS" "ROOMS;PACKAGES;LABELS;ARGS" ${ARGN})
  shoal_timeout(A_TIMEOUT 60)
  if(NOT A_PROCESSORS)
    set(A_PROCESSORS 1)
  endif()
  if(NOT TARGET ${name})
    add_executable(${name} ${name}.c)
    shoal_sanitized_program(${name})
    list(TRANSFORM A_ROOMS PREPEND shoal_)
    target_link_libraries(${name} PRIVATE shoal_test_support ${A_ROOMS} ${A_PACKAGES} m)
  endif()
  set(command $<TARGET_FILE:${name}> ${A_ARGS})
  set(test_name ${name})
  if(A_RANKS)
    set(command ${PROJECT_SOURCE_DIR}/tests/support/mpirun.sh ${A_RANKS} ${command})
    set(test_name ${name}_ranks${A_RANKS})
    set(A_PROCESSORS 2)
  endif()
  add_test(NAME ${test_name} COMMAND ${command})
  set_tests_properties(
    ${test_name}
    PROPERTIES LABELS "${A_LABELS}" TIMEOUT ${A_TIMEOUT} PROCESSORS ${A_PROCESSORS}
               SKIP_RETURN_CODE 77
               ENVIRONMENT "${SHOAL_TEST_ENVIRONMENT}")
endfunction()

# shoal_script_test(test_cli LABELS unit): registers NAME.sh; it finds the program as $SHOAL_BINARY.
function(shoal_script_test name)
  cmake_parse_arguments(A "" "TIMEOUT;PROCESSORS" "LABELS" ${ARGN})
  shoal_timeout(A_TIMEOUT 120)
  if(NOT A_PROCESSORS)
    set(A_PROCESSORS 1)
  endif()
  add_test(NAME ${name} COMMAND bash ${CMAKE_CURRENT_SOURCE_DIR}/${name}.sh)
  set_tests_properties(
    ${name}
    PROPERTIES LABELS "${A_LABELS}" TIMEOUT ${A_TIMEOUT} PROCESSORS ${A_PROCESSORS}
               SKIP_RETURN_CODE 77
               ENVIRONMENT "${SHOAL_TEST_ENVIRONMENT}")
endfunction()
