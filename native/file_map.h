// Files as memory: read-only, page by page as they are touched.
#pragma once
#include <stdint.h>

namespace cv {

struct FileMap {
  void* address;  // null where it failed
  int64_t bytes;  // of the file
  int error;      // errno
};

// Maps a whole file. An empty one fails with EINVAL.
FileMap map_file(const char* path);
void unmap_file(void* address, int64_t bytes);

// Asks the system to read these bytes soon (wanted), or says that they will not be needed for long and may leave memory.
void advise_map(void* address, int64_t bytes, bool wanted);

}  // namespace cv
