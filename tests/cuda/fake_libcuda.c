// A driver that has no device: just enough of libcuda.so.1 for cuDNN to finalise plans whose
// kernels it compiles at run time. On the LD_LIBRARY_PATH of test_plans only.
//
// cuInit says CUDA_ERROR_NO_DEVICE, so that the CUDA run time behaves as on any machine without a
// GPU. "Load this module, find that kernel", which ends a plan's finalisation, succeeds after a
// look at the image: an ELF file for CUDA.
#include <cuda.h>
#include <elf.h>
#include <stdbool.h>
#include <string.h>

#undef cuGetProcAddress

enum { ELF_MACHINE_CUDA = 190, MOST_SHARED_BYTES = 232448 };

static int object; // what every handle points to

static CUresult check_image(const void *image)
{
    const Elf64_Ehdr *e = image;
    if (memcmp(e->e_ident, ELFMAG, SELFMAG) != 0 || e->e_machine != ELF_MACHINE_CUDA)
        return CUDA_ERROR_INVALID_IMAGE;
    return CUDA_SUCCESS;
}

CUresult cuInit(unsigned flags)
{
    (void)flags;
    return CUDA_ERROR_NO_DEVICE;
}

CUresult cuDriverGetVersion(int *version)
{
    *version = CUDA_VERSION;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count)
{
    *count = 0;
    return CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult error, const char **text)
{
    (void)error;
    *text = "error of the driver double";
    return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult error, const char **text)
{
    return cuGetErrorString(error, text);
}

CUresult cuLibraryLoadData(CUlibrary *library, const void *code, CUjit_option *jit, void **values,
                           unsigned n_jit, CUlibraryOption *options, void **option_values,
                           unsigned n_options)
{
    (void)jit, (void)values, (void)n_jit, (void)options, (void)option_values, (void)n_options;
    *library = (CUlibrary)&object;
    return check_image(code);
}

CUresult cuLibraryUnload(CUlibrary library)
{
    (void)library;
    return CUDA_SUCCESS;
}

CUresult cuLibraryGetKernel(CUkernel *kernel, CUlibrary library, const char *name)
{
    (void)library, (void)name;
    *kernel = (CUkernel)&object;
    return CUDA_SUCCESS;
}

CUresult cuKernelGetAttribute(int *value, CUfunction_attribute attribute, CUkernel kernel,
                              CUdevice device)
{
    (void)kernel, (void)device;
    *value = attribute == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK ? 1024 : 0;
    return CUDA_SUCCESS;
}

CUresult cuKernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel kernel,
                              CUdevice device)
{
    (void)kernel, (void)device;
    bool too_much =
        attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES && value > MOST_SHARED_BYTES;
    return too_much ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

CUresult cuModuleLoadData(CUmodule *module, const void *image)
{
    *module = (CUmodule)&object;
    return check_image(image);
}

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned n, CUjit_option *options,
                            void **values)
{
    (void)n, (void)options, (void)values;
    return cuModuleLoadData(module, image);
}

CUresult cuModuleLoadFatBinary(CUmodule *module, const void *image)
{
    (void)image;
    *module = (CUmodule)&object;
    return CUDA_SUCCESS;
}

CUresult cuModuleUnload(CUmodule module)
{
    (void)module;
    return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name)
{
    (void)module, (void)name;
    *function = (CUfunction)&object;
    return CUDA_SUCCESS;
}

CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value)
{
    (void)function;
    return cuKernelSetAttribute(attribute, value, NULL, 0);
}

CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attribute, CUfunction function)
{
    (void)function;
    return cuKernelGetAttribute(value, attribute, NULL, 0);
}

CUresult cuOccupancyMaxPotentialClusterSize(int *size, CUfunction function,
                                            const CUlaunchConfig *config)
{
    (void)function, (void)config;
    *size = 8;
    return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxActiveClusters(int *count, CUfunction function, const CUlaunchConfig *config)
{
    (void)function, (void)config;
    *count = 16;
    return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction function, int threads,
                                                     size_t bytes)
{
    (void)function, (void)threads, (void)bytes;
    *blocks = 1;
    return CUDA_SUCCESS;
}

// These must exist, because cuDNN looks all of them up at once; none may be reached without a
// device.
CUresult fake_refusal(void);
CUresult fake_refusal(void)
{
    return CUDA_ERROR_NO_DEVICE;
}

#define ALIAS(name) __asm__(".globl " #name "\n.set " #name ", fake_refusal");
ALIAS(cuDeviceGet)
ALIAS(cuDeviceGetAttribute)
ALIAS(cuDevicePrimaryCtxRetain)
ALIAS(cuDevicePrimaryCtxReset_v2)
ALIAS(cuDevicePrimaryCtxReset)
ALIAS(cuDevicePrimaryCtxRelease_v2)
ALIAS(cuDevicePrimaryCtxRelease)
ALIAS(cuCtxGetCurrent)
ALIAS(cuCtxGetDevice)
ALIAS(cuCtxGetLimit)
ALIAS(cuCtxPushCurrent)
ALIAS(cuCtxPushCurrent_v2)
ALIAS(cuCtxPopCurrent)
ALIAS(cuCtxPopCurrent_v2)
ALIAS(cuStreamGetCtx)
ALIAS(cuStreamSynchronize)
ALIAS(cuLaunchKernel)
ALIAS(cuLaunchKernelEx)
ALIAS(cuLaunchCooperativeKernel)
ALIAS(cuModuleGetGlobal_v2)
ALIAS(cuMemcpyDtoH_v2)
ALIAS(cuLinkCreate)
ALIAS(cuLinkAddData)
ALIAS(cuLinkComplete)
ALIAS(cuLinkDestroy)
ALIAS(cuLinkCreate_v2)
ALIAS(cuLinkAddData_v2)
ALIAS(cuLinkAddFile_v2)
ALIAS(cuLibraryLoadFromFile)
ALIAS(cuTensorMapEncodeTiled)
ALIAS(cuGetProcAddress_v2)
