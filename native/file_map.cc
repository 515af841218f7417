#include "file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cv {

FileMap map_file(const char* path) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return {nullptr, 0, errno};
  struct stat info;
  FileMap map{nullptr, 0, 0};
  if (fstat(file, &info) != 0) {
    map.error = errno;
  } else {
    map.bytes = info.st_size;
    map.address = mmap(nullptr, (size_t)info.st_size, PROT_READ, MAP_SHARED, file, 0);
    if (map.address == MAP_FAILED) map.address = nullptr, map.error = errno;
  }
  close(file);
  return map;
}

void unmap_file(void* address, int64_t bytes) { munmap(address, (size_t)bytes); }

void advise_map(void* address, int64_t bytes, bool wanted) {
  // madvise takes whole pages: those that the bytes touch are read, those they fill are let go.
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)address, to = from + (uintptr_t)bytes;
  const uintptr_t begin = wanted ? from / page * page : (from + page - 1) / page * page;
  const uintptr_t end = wanted ? to : to / page * page;
  if (begin >= end) return;
  const auto tell = [&](int advice) { madvise((void*)begin, end - begin, advice); };
  if (wanted) return tell(MADV_WILLNEED);
#ifdef MADV_COLD
  tell(MADV_COLD);  // else letting go counts as one more use, and other pages leave memory before these
#endif
  tell(MADV_DONTNEED);
}

}  // namespace cv
