// SPDX-License-Identifier: Apache-2.0
// Preloaded into a program (LD_PRELOAD), it puts each aligned allocation, which tensors and oneDNN's
// memory are, right before a page that may not be touched: who writes or reads beyond one is stopped
// there and then by a segmentation fault. Source: the idea is Electric Fence's.
#include <dlfcn.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kAlignment = 64;

/// Right before what is handed out. Its mark tells these allocations from malloc's.
struct Note {
  std::uintptr_t mark;
  void* begin;
  std::size_t length;
};
static_assert(sizeof(Note) <= kAlignment);
constexpr std::uintptr_t kMark = 0x67756172642d7067;

/// Where they lie, so that free() need not look at what malloc has.
constexpr std::uintptr_t kFirst = 0x100000000000;
constexpr std::uintptr_t kEnd = 0x180000000000;
std::uintptr_t next_place = kFirst;

bool guarded(const void* pointer) {
  const auto place = reinterpret_cast<std::uintptr_t>(pointer);
  return place >= kFirst && place < kEnd;
}

}  // namespace

/// Whole pages, which oneDNN asks for, would leave room before the guard. Instructions need no more
/// than the 64 bytes of the widest vector.
extern "C" int posix_memalign(void** result, std::size_t /*alignment*/, std::size_t size) {
  const std::size_t own = (size + kAlignment - 1) / kAlignment * kAlignment;
  const std::size_t length = (kAlignment + own + kPage - 1) / kPage * kPage;
  const std::uintptr_t place = __atomic_fetch_add(&next_place, length + kPage, __ATOMIC_RELAXED);
  void* begin = mmap(reinterpret_cast<void*>(place), length, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (begin == MAP_FAILED) return ENOMEM;
  char* given = static_cast<char*>(begin) + length - own;
  reinterpret_cast<Note*>(given)[-1] = {kMark, begin, length};
  *result = given;
  return 0;
}

extern "C" void free(void* pointer) noexcept {
  if (!guarded(pointer)) {
    static auto* const next = reinterpret_cast<void (*)(void*)>(dlsym(RTLD_NEXT, "free"));
    next(pointer);
    return;
  }
  const Note note = static_cast<Note*>(pointer)[-1];
  if (note.mark != kMark) abort();  // something wrote before it
  munmap(note.begin, note.length);
}
