# The GPU backend is built wherever its toolkit is: nvcc, the static CUDA run time, and the headers
# of cuDNN 9 and NCCL 2. cuDNN and NCCL themselves are opened at run time, libcuda never by us.
set(SHOAL_CUDA AUTO CACHE STRING "Build the GPU backend: AUTO (where its toolkit is), ON, OFF")
set(SHOAL_CUDA_FOUND OFF)
if(SHOAL_CUDA STREQUAL OFF)
  message(STATUS "GPU backend: not built (SHOAL_CUDA=OFF)")
  return()
endif()

find_program(SHOAL_NVCC nvcc PATHS /usr/local/cuda/bin)
if(SHOAL_NVCC)
  get_filename_component(toolkit ${SHOAL_NVCC} REALPATH)
  get_filename_component(toolkit ${toolkit} DIRECTORY)
  get_filename_component(toolkit ${toolkit} DIRECTORY)
endif()
find_path(SHOAL_CUDA_INCLUDE cuda_runtime_api.h PATHS ${toolkit}/include NO_DEFAULT_PATH)
find_library(SHOAL_CUDART cudart_static PATHS ${toolkit}/lib64 ${toolkit}/lib
                                              ${toolkit}/targets/x86_64-linux/lib NO_DEFAULT_PATH)
find_path(SHOAL_CUDNN_INCLUDE cudnn_graph.h HINTS ${toolkit}/include)
find_path(SHOAL_NCCL_INCLUDE nccl.h HINTS ${toolkit}/include)

set(missing "")
foreach(part NVCC CUDA_INCLUDE CUDART CUDNN_INCLUDE NCCL_INCLUDE)
  if(NOT SHOAL_${part})
    list(APPEND missing ${part})
  endif()
endforeach()
if(missing)
  if(SHOAL_CUDA STREQUAL ON)
    message(FATAL_ERROR "GPU backend: SHOAL_CUDA=ON, but not found: ${missing}")
  endif()
  message(STATUS "GPU backend: not built, not found: ${missing}")
  return()
endif()
set(SHOAL_CUDA_FOUND ON)
message(STATUS "GPU backend: built with ${SHOAL_NVCC}, ${SHOAL_CUDNN_INCLUDE}/cudnn_graph.h, "
               "${SHOAL_NCCL_INCLUDE}/nccl.h")

add_library(cuda_headers INTERFACE)
target_include_directories(cuda_headers SYSTEM INTERFACE ${SHOAL_CUDA_INCLUDE} ${SHOAL_CUDNN_INCLUDE}
                                                         ${SHOAL_NCCL_INCLUDE})
target_compile_definitions(cuda_headers INTERFACE SHOAL_CUDA=1)

# A100, H100, B200; PTX of the middle one for what comes between and after. No fused multiply-adds:
# the kernels round as the CPU backend's do.
set(SHOAL_NVCC_FLAGS
    -std=c++17 -O3 -lineinfo --fmad=false
    -gencode=arch=compute_80,code=sm_80
    -gencode=arch=compute_90,code=[sm_90,compute_90]
    -gencode=arch=compute_100,code=sm_100
    -Werror=all-warnings -Xptxas=-warn-spills,-warn-lmem-usage,-v
    -Xcompiler=-fPIC,-Wall,-Wextra,-ffp-contract=off,-fno-threadsafe-statics,-fno-exceptions)

# shoal_nvcc(objects a.cu b.cu): compiles each with nvcc; objects is the list of what comes out. What
# the kernels take is beside each, in OBJECT.usage (tests/cuda/kernel_usage.cc).
function(shoal_nvcc out)
  set(objects "")
  foreach(source ${ARGN})
    get_filename_component(name ${source} NAME)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.o)
    add_custom_command(
      OUTPUT ${object}
      BYPRODUCTS ${object}.usage
      COMMAND ${PROJECT_SOURCE_DIR}/cmake/nvcc.sh ${object}.usage ${CMAKE_CUDA_COMPILER_LAUNCHER} ${SHOAL_NVCC} ${SHOAL_NVCC_FLAGS}
              -I${PROJECT_SOURCE_DIR}/src -MD -MF ${object}.d -c ${source} -o ${object}
      DEPENDS ${source}
      DEPFILE ${object}.d
      COMMENT "Building CUDA object ${name}.o"
      VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  set(${out} ${objects} PARENT_SCOPE)
endfunction()
