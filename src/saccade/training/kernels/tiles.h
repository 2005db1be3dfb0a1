// The tile unit (AMX) of recent processors, which multiplies bfloat16 and adds up in float32.
//
// Tiles hold 16 rows of 64 bytes; `a · b` adds 16 × 32 times 32 × 16 entries, where the second is
// given as pairs: row r holds, for each column, its entries 2r and 2r + 1 side by side.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstdlib>
#include <memory>

using Index = int64_t;
using Half = uint16_t;  // a bfloat16

constexpr Index kSide = 16;          // rows of a tile, and its float32 columns
constexpr Index kTile = kSide * 32;  // bfloat16 entries of a tile

struct alignas(64) Configuration {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {};
  uint8_t rows[16] = {};
};

// The unit's settings belong to a thread; PyTorch's own kernels make theirs anew at each use.
class Tiles {
 public:
  Tiles() {
    Configuration all;
    for (int i = 0; i < 8; ++i) all.bytes[i] = 64, all.rows[i] = kSide;
    _tile_loadconfig(&all);
  }
  ~Tiles() { _tile_release(); }
};

// A convolution of stride 1; `_geometry` in functions.py fills it.
struct Geometry {
  Index n, height, width, channels;  // of the pictures, or of the maps that are read
  Index maps, window_height, window_width;
  Index top, left;      // padding
  Index rows, columns;  // of the maps that are written
};

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

// Memory for tiles, at the start of a cache line, not cleared.
template <typename Entry>
std::unique_ptr<Entry[], Free> allocate(Index size) {
  const size_t bytes = (size * sizeof(Entry) + 63) / 64 * 64;
  return std::unique_ptr<Entry[], Free>(static_cast<Entry*>(std::aligned_alloc(64, bytes)));
}
