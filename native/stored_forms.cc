// Weights from forms that files have and products do not take: MXFP4 with its exponents apart, e4m3 with scales of squares.
#include "abi.h"
#include "blocks.h"
#include "lanes.h"

namespace CV_ISA {
namespace stored_forms_ {

// A block's 16 bytes: from elements 2i and 2i + 1 in one to elements i and i + 16.
CV_INLINE void repack(const uint8_t* from, uint8_t* to) {
  const u8x16 v = load_bytes<u8x16>(from), even = v & 15, odd = v >> 4;
  const u8x16 first = __builtin_shufflevector(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const u8x16 second = __builtin_shufflevector(even, odd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  const u8x16 out = first | second << 4;
  memcpy(to, &out, 16);
}

// The number that e4m3 bits stand for: sign, four bits of exponent biased by 7, three of fraction; all seven low bits: NaN.
float e4m3(int code) {
  const int exponent = code >> 3 & 15, fraction = code & 7;
  if ((code & 127) == 127) return __builtin_nanf("");
  const float size = exponent == 0 ? (float)fraction * 0x1p-9f : (float)(8 + fraction) * 0x1p-10f * (float)(1 << exponent);
  return code & 128 ? -size : size;
}

CV_INLINE void look_up(const uint8_t* codes, int64_t n, const uint16_t* table, uint16_t* out) {
  for (int64_t i = 0; i < n; i++) out[i] = table[codes[i]];
}

}  // namespace stored_forms_

void mxfp4_rows(const cv::Mxfp4RowsArgs& a) {
  using namespace stored_forms_;
  const uint8_t *nibbles = a.nibbles.as<uint8_t>(), *exponents = a.exponents.as<uint8_t>();
  uint8_t* out = a.out.as<uint8_t>();
  const int64_t blocks = a.k / 32, turns = a.turns, each = a.rows / turns;
  parallel_rows(a.rows, blocks * 17 / 4, [=](int64_t row) {
    const int64_t from = (row % each * turns + row / each) * blocks;
    uint8_t* to = out + row * blocks * 17;
    for (int64_t b = 0; b < blocks; b++, to += 17) {
      *to = exponents[from + b];
      repack(nibbles + (from + b) * 16, to + 1);
    }
  });
}

void scaled_e4m3(const cv::ScaledE4m3Args& a) {
  using namespace stored_forms_;
  const uint8_t *x = a.x.as<uint8_t>(), *scales = a.scales.as<uint8_t>();
  uint16_t* out = a.out.bf16();
  const int64_t k = a.k, block = a.block, across = ceil_div(k, block);
  const bool narrow = a.scales.dtype() == cv::DType::bf16;
  float values[256];
  for (int code = 0; code < 256; code++) values[code] = e4m3(code);
  // Of every square across a table of what its codes come to: rows are then walked as they lie.
  parallel_with_memory(0, ceil_div(a.rows, block), across * 128, [&](float* memory, int64_t down) {
    uint16_t* scaled = (uint16_t*)memory;
    for (int64_t square = 0; square < across; square++) {
      const int64_t place = down * across + square;
      const float scale = narrow ? bf16_to_f32(load_bytes<uint16_t>(scales + place * 2)) : load_bytes<float>(scales + place * 4);
      for (int code = 0; code < 256; code++) scaled[square * 256 + code] = f32_to_bf16(values[code] * scale);
    }
    for (int64_t r = down * block; r < least(a.rows, (down + 1) * block); r++)
      for (int64_t square = 0; square < across; square++) {
        const int64_t begin = square * block;
        look_up(x + r * k + begin, least(k - begin, block), scaled + square * 256, out + r * k + begin);
      }
  });
}

}  // namespace CV_ISA
