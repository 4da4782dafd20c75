// SPDX-License-Identifier: Apache-2.0
// What the kernels need of a GPU, and nothing else of CUDA: threads, shared memory, tensor cores.
// nvcc gets the instructions; another compiler gets declarations only, which an emulator defines,
// so that the kernels' own source can run, and be tested, on a machine without a GPU.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#include <cuda_fp16.h>
#define CLR_HOST_DEVICE __host__ __device__ __forceinline__
#define CLR_DEVICE __device__ __forceinline__
#define CLR_UNROLL _Pragma("unroll")
#define CLR_PRAGMA(text) _Pragma(#text)
#define CLR_UNROLL_BY(rounds) CLR_PRAGMA(unroll(rounds))
#else
#define CLR_HOST_DEVICE inline
#define CLR_DEVICE inline
#define CLR_UNROLL
#define CLR_UNROLL_BY(rounds)
#endif

namespace clr::simt {

constexpr int kWarp = 32;

#if defined(__CUDACC__)

CLR_DEVICE int thread() { return static_cast<int>(threadIdx.x); }
CLR_DEVICE int block_x() { return static_cast<int>(blockIdx.x); }
CLR_DEVICE int block_y() { return static_cast<int>(blockIdx.y); }
CLR_DEVICE int block_z() { return static_cast<int>(blockIdx.z); }
CLR_DEVICE int blocks_x() { return static_cast<int>(gridDim.x); }

/// The block's shared memory, aligned to 128 bytes.
CLR_DEVICE unsigned char* shared() {
  extern __shared__ __align__(128) unsigned char clr_shared_memory[];
  return clr_shared_memory;
}

/// Waits for the block's threads; what they wrote to shared memory is then seen by all.
CLR_DEVICE void barrier() { __syncthreads(); }

/// The value of the lane whose number differs by `mask`.
CLR_DEVICE float shuffle_xor(float value, int mask) {
  return __shfl_xor_sync(0xffffffffU, value, mask);
}
CLR_DEVICE double shuffle_xor(double value, int mask) {
  return __shfl_xor_sync(0xffffffffU, value, mask);
}

/// An address in shared memory: 32 bits, where a pointer would take two registers.
using Address = std::uint32_t;
CLR_DEVICE Address address_of(const void* in_shared) {
  return static_cast<Address>(__cvta_generic_to_shared(in_shared));
}

/// Starts copying 16 bytes from global to shared memory.
CLR_DEVICE void copy_async(Address to, const void* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\n" ::"r"(to), "l"(from) : "memory");
}
/// Ends a group of copies.
CLR_DEVICE void commit_copies() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
/// Waits for this thread's groups but the newest `kNewest`. Others' copies need a barrier on top.
template <int kNewest>
CLR_DEVICE void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kNewest) : "memory");
}

/// Four 8x8 matrices of halves from shared memory; lanes 8k to 8k+7 give the rows' addresses of
/// matrix k. Lane l gets of each the elements 2(l % 4) and 2(l % 4) + 1 of row l / 4.
CLR_DEVICE void load_matrices(std::uint32_t (&to)[4], Address row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(row)
               : "memory");
}
/// The same of the transposed matrices.
CLR_DEVICE void load_matrices_transposed(std::uint32_t (&to)[4], Address row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(row)
               : "memory");
}

/// d += a b for a [16, 16] and b [16, 8] of halves; the lanes' shares as PTX defines them for
/// mma.m16n8k16.
CLR_DEVICE void multiply(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                         std::uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

CLR_DEVICE float exp2(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

/// Two halves in a word, the first in the low bits, rounded to nearest.
CLR_DEVICE std::uint32_t pack_halves(float first, float second) {
  const __half2 pair = __floats2half2_rn(first, second);
  return *reinterpret_cast<const std::uint32_t*>(&pair);
}
CLR_DEVICE float first_half(std::uint32_t pair) {
  return __low2float(*reinterpret_cast<const __half2*>(&pair));
}
CLR_DEVICE float second_half(std::uint32_t pair) {
  return __high2float(*reinterpret_cast<const __half2*>(&pair));
}

#else

int thread();
int block_x();
int block_y();
int block_z();
int blocks_x();
unsigned char* shared();
void barrier();
float shuffle_xor(float value, int mask);
double shuffle_xor(double value, int mask);
using Address = std::uint32_t;
Address address_of(const void* in_shared);
void copy_async(Address to, const void* from);
void commit_copies();
void wait_for_copies_but(int newest);
template <int kNewest>
inline void wait_for_copies() {
  wait_for_copies_but(kNewest);
}
void load_matrices(std::uint32_t (&to)[4], Address row);
void load_matrices_transposed(std::uint32_t (&to)[4], Address row);
void multiply(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1);
float exp2(float x);
std::uint32_t pack_halves(float first, float second);
float first_half(std::uint32_t pair);
float second_half(std::uint32_t pair);

#endif

}  // namespace clr::simt
