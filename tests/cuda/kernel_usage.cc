// What every kernel takes, of what ptxas told while it was compiled, and how many threads of a
// processor that leaves busy by the toolkit's own calculator: a line per kernel, sorted by name.
//
// kernel_usage VERSION a.cu.usage b.cu.usage ... prints the table; exit 1 where a kernel spills.
#include <cuda_runtime_api.h>
#include <cuda_occupancy.h>
#include <cxxabi.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>

namespace
{

constexpr int THREADS = 256; // of every block (launch.h)
constexpr std::array<int, 3> ARCHITECTURES = {80, 90, 100};

struct usage {
    int registers = 0, shared_bytes = 0, stack_bytes = 0, spill_bytes = 0;
};

// name: by architecture
using table = std::map<std::string, std::map<int, usage>>;

// "void pad_columns<float>(long, ...)" without its return type, arguments and template brackets.
std::string short_name(const std::string &mangled)
{
    int code = 0;
    char *text = abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &code);
    std::string name = code == 0 ? text : mangled;
    std::free(text);
    if (name.rfind("void ", 0) == 0) name = name.substr(5);
    int depth = 0;
    for (size_t i = 0; i < name.size(); i++) {
        depth += (name[i] == '<') - (name[i] == '>');
        if (name[i] == '(' && depth == 0) return name.substr(0, i);
    }
    return name;
}

// The number before word, 0 where there is none.
int number_before(const std::string &line, const std::string &word)
{
    size_t end = line.find(" " + word), begin = end;
    if (end == std::string::npos) return 0;
    while (begin > 0 && line[begin - 1] >= '0' && line[begin - 1] <= '9') begin--;
    return std::atoi(line.substr(begin, end - begin).c_str());
}

// "ptxas info    : Compiling entry function 'NAME' for 'sm_90a'", then its properties and
// registers.
bool read(const char *path, const std::string &file, table *to)
{
    std::ifstream in(path);
    std::string line;
    usage *at = nullptr;
    while (std::getline(in, line)) {
        size_t begin = line.find("Compiling entry function '"), sm = line.find("' for 'sm_");
        if (begin != std::string::npos && sm != std::string::npos) {
            begin += sizeof "Compiling entry function '" - 1;
            const std::string name = file + " " + short_name(line.substr(begin, sm - begin));
            at = &(*to)[name][std::atoi(line.c_str() + sm + sizeof "' for 'sm_" - 1)];
        } else if (at != nullptr && line.find("bytes stack frame") != std::string::npos) {
            at->stack_bytes = number_before(line, "bytes stack frame");
            at->spill_bytes = number_before(line, "bytes spill stores") +
                              number_before(line, "bytes spill loads");
        } else if (at != nullptr && line.find("Used ") != std::string::npos) {
            at->registers = number_before(line, "registers");
            at->shared_bytes = number_before(line, "bytes smem");
        }
    }
    return in.eof();
}

// Percent of a processor's threads that are busy where nothing but the kernel's own needs counts.
int occupancy(int architecture, const usage &u)
{
    const bool a100 = architecture == 80;
    cudaOccDeviceProp gpu;
    gpu.computeMajor = architecture / 10;
    gpu.computeMinor = architecture % 10;
    gpu.maxThreadsPerBlock = 1024;
    gpu.maxThreadsPerMultiprocessor = 2048;
    gpu.regsPerBlock = gpu.regsPerMultiprocessor = 65536;
    gpu.warpSize = 32;
    gpu.sharedMemPerBlock = 49152;
    gpu.sharedMemPerMultiprocessor = a100 ? 167936 : 233472;
    gpu.numSms = a100 ? 108 : architecture == 90 ? 132 : 148;
    gpu.sharedMemPerBlockOptin = a100 ? 166912 : 232448;
    gpu.reservedSharedMemPerBlock = 1024;
    cudaOccFuncAttributes kernel;
    kernel.maxThreadsPerBlock = 1024;
    kernel.numRegs = u.registers;
    kernel.sharedSizeBytes = static_cast<size_t>(u.shared_bytes);
    kernel.partitionedGCConfig = PARTITIONED_GC_OFF;
    kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_DEFAULT;
    kernel.maxDynamicSharedSizeBytes = 49152;
    kernel.numBlockBarriers = 1;
    cudaOccDeviceState state;
    cudaOccResult r;
    if (cudaOccMaxActiveBlocksPerMultiprocessor(&r, &gpu, &kernel, &state, THREADS, 0) !=
        CUDA_OCC_SUCCESS)
        return -1;
    return 100 * r.activeBlocksPerMultiprocessor * THREADS / gpu.maxThreadsPerMultiprocessor;
}

} // namespace

int main(int argc, char **argv)
{
    table kernels;
    bool spills = false;
    for (int i = 2; i < argc; i++) {
        std::string file = argv[i];
        file = file.substr(file.rfind('/') + 1);
        file = file.substr(0, file.find('.'));
        if (!read(argv[i], file, &kernels)) {
            std::fprintf(stderr, "kernel_usage: %s cannot be read\n", argv[i]);
            return 2;
        }
    }
    std::printf(
        "# %s\n# registers, shared bytes, busy threads of a processor in %%, of blocks of %d "
        "threads, on sm_80, sm_90, sm_100\n",
        argc > 1 ? argv[1] : "", THREADS);
    for (const auto &kernel : kernels) {
        std::printf("%-44s", kernel.first.c_str());
        for (int architecture : ARCHITECTURES) {
            const auto found = kernel.second.find(architecture);
            const usage u = found != kernel.second.end() ? found->second : usage();
            std::printf("  %4d %6d %4d", u.registers, u.shared_bytes, occupancy(architecture, u));
            if (u.spill_bytes + u.stack_bytes > 0) {
                std::fprintf(stderr, "%s, sm_%d: %d bytes spilled, %d of stack\n",
                             kernel.first.c_str(), architecture, u.spill_bytes, u.stack_bytes);
                spills = true;
            }
        }
        std::printf("\n");
    }
    return spills;
}
