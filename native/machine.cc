// Prints those of -DCV_ISAS="CV_X(avx2) CV_X(sse2)" that this machine runs, a line each: the build compiles only the best where it is
// for this machine alone.
#include "machine.h"

#include <stdio.h>

int main() {
  cv::ask_machine();
#define CV_X(name) if (cv::runs_##name()) puts(#name);
  CV_ISAS
#undef CV_X
}
