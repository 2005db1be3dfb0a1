// The tile unit (AMX) of recent processors, which multiplies bfloat16 and adds up in float32; and
// what does its work where there are bfloat16 products, but not the unit.
//
// Tiles hold 16 rows of 64 bytes; `a · b` adds 16 × 32 times 32 × 16 entries, where the second is
// given as pairs: row r holds, for each column, its entries 2r and 2r + 1 side by side.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

using Index = int64_t;
using Half = uint16_t;  // a bfloat16

constexpr Index kSide = 16;          // rows of a tile, and its float32 columns
constexpr Index kBytes = 64;         // of a row
constexpr Index kTile = kSide * 32;  // bfloat16 entries of a tile

#if defined(__AMX_BF16__)

// What is loaded, multiplied and stored by number are registers of the unit; the instructions name
// them, so that a number can be no variable.
#define zero_tile(number) _tile_zero(number)
#define load_tile(number, from, step) _tile_loadd(number, from, step)
#define load_sums(number, from, step) _tile_loadd(number, from, step)
#define load_rows(number, from, rows) _tile_loadd(number, from, kBytes)
#define multiply_tiles(sums, first, second) _tile_dpbf16ps(sums, first, second)
#define store_tile(number, to, step) _tile_stored(number, to, step)

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

#else

// Where there is no such unit, products of pairs of bfloat16 (AVX512-BF16) do its work. A few of them
// wait until their sums can stay in registers meanwhile, so operands must lie still until the sums
// are stored.
constexpr int kWaiting = 8;  // whose operands stay in the nearest cache

struct Operand {
  const char* rows;
  Index step;    // bytes from row to row
  Index filled;  // the rows before others that are zero, where it is the second
};

struct SoftUnit {
  alignas(64) float sums[4][kSide * kSide];
  Operand operands[8];
  Operand first[4][kWaiting], second[4][kWaiting];
  int waiting[4];
};

// One for all files of the library, and for no other library in the process.
__attribute__((visibility("hidden"))) inline thread_local SoftUnit soft_unit;

class Tiles {
 public:
  Tiles() {}  // there is nothing to set
};

// Adds a product to 16 rows of sums.
inline void add_tile(__m512 (&sums)[kSide], Operand first, Operand second) {
  const Index step = first.step;
  const char *a = first.rows, *b = a + 4 * step, *c = b + 4 * step, *d = c + 4 * step;
  for (Index k = 0; k < 4 * second.filled; k += 4, second.rows += second.step) {
    const auto columns = (__m512bh)_mm512_loadu_si512(second.rows);
    const auto add = [&](Index row, const char* from) {
      int pair;
      std::memcpy(&pair, from + k, sizeof pair);
      sums[row] = _mm512_dpbf16_ps(sums[row], (__m512bh)_mm512_set1_epi32(pair), columns);
    };
#pragma GCC unroll 4
    for (Index r = 0; r < 4; ++r) {
      add(r, a + r * step);
      add(4 + r, b + r * step);
      add(8 + r, c + r * step);
      add(12 + r, d + r * step);
    }
  }
}

__attribute__((noinline)) static void add_waiting(int number) {
  float* at = soft_unit.sums[number];
  __m512 sums[kSide];
#pragma GCC unroll 16
  for (Index r = 0; r < kSide; ++r) sums[r] = _mm512_load_ps(at + r * kSide);
  for (int i = 0; i < soft_unit.waiting[number]; ++i)
    add_tile(sums, soft_unit.first[number][i], soft_unit.second[number][i]);
#pragma GCC unroll 16
  for (Index r = 0; r < kSide; ++r) _mm512_store_ps(at + r * kSide, sums[r]);
  soft_unit.waiting[number] = 0;
}

inline void zero_tile(int number) { std::memset(soft_unit.sums[number], 0, sizeof soft_unit.sums[0]); }

inline void load_sums(int number, const float* from, Index step) {
  for (Index r = 0; r < kSide; ++r)
    std::memcpy(soft_unit.sums[number] + r * kSide, reinterpret_cast<const char*>(from) + r * step, kBytes);
}

inline void load_tile(int number, const void* from, Index step) {
  soft_unit.operands[number] = {static_cast<const char*>(from), step, kSide};
}

inline void load_rows(int number, const void* from, Index rows) {
  soft_unit.operands[number] = {static_cast<const char*>(from), kBytes, std::min(rows, kSide)};
}

inline void multiply_tiles(int number, int first, int second) {
  const int i = soft_unit.waiting[number]++;
  soft_unit.first[number][i] = soft_unit.operands[first];
  soft_unit.second[number][i] = soft_unit.operands[second];
  if (i + 1 == kWaiting) add_waiting(number);
}

inline void store_tile(int number, float* to, Index step) {
  add_waiting(number);
  for (Index r = 0; r < kSide; ++r)
    std::memcpy(reinterpret_cast<char*>(to) + r * step, soft_unit.sums[number] + r * kSide, kBytes);
}

#endif

// A convolution of stride 1; `_geometry` in functions.py fills it.
struct Geometry {
  Index n, height, width, channels;  // of the pictures, or of the maps that are read
  Index maps, window_height, window_width;
  Index top, left;      // padding
  Index rows, columns;  // of the maps that are written
};

inline Geometry geometry_of(const Index* numbers) {
  Geometry g;
  std::memcpy(&g, numbers, sizeof g);
  return g;
}

// Rows `from` to `to` of the maps of one block of pictures, and rows `first` to `last` of what lies
// under them.
struct Band {
  Index block, from, to, first, last;
};

// Band number `task` of maps that have `bands` of `rows` each, one block after another.
inline Band band_at(Index task, Index bands, Index rows, const Geometry& g) {
  const Index from = task % bands * rows, to = std::min(from + rows, g.rows);
  return {task / bands, from, to, std::max<Index>(0, from - g.top),
          std::min(g.height, to + g.window_height - 1 - g.top)};
}

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

// Memory for tiles, at the start of a cache line, not cleared.
template <typename Entry>
std::unique_ptr<Entry[], Free> allocate(Index size) {
  const size_t bytes = (size * sizeof(Entry) + 63) / 64 * 64;
  return std::unique_ptr<Entry[], Free>(static_cast<Entry*>(std::aligned_alloc(64, bytes)));
}

inline Index ceiling(Index n, Index step) { return (n + step - 1) / step; }

inline __m512 widen(__m256i halves) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}
inline __m256i narrow(__m512 values) { return (__m256i)_mm512_cvtneps_pbh(values); }
inline float widen(Half value) {
  return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(int(value) << 16)));
}
inline Half narrow(float value) {
  return Half(_mm_extract_epi16((__m128i)_mm_cvtneps_pbh(_mm_set_ss(value)), 0));
}

// Rows and columns of a 16 × 16 matrix of 32 bits change places.
inline void transpose(__m512i (&r)[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4)
    for (int j = 0; j < 2; ++j) {
      r[i + 2 * j] = _mm512_unpacklo_epi64(t[i + j], t[i + 2 + j]);
      r[i + 2 * j + 1] = _mm512_unpackhi_epi64(t[i + j], t[i + 2 + j]);
    }
  for (int i = 0; i < 16; i += 8)
    for (int j = 0; j < 4; ++j) {
      t[i + j] = _mm512_shuffle_i32x4(r[i + j], r[i + 4 + j], 0x88);
      t[i + 4 + j] = _mm512_shuffle_i32x4(r[i + j], r[i + 4 + j], 0xdd);
    }
  for (int j = 0; j < 8; ++j) {
    r[j] = _mm512_shuffle_i32x4(t[j], t[8 + j], 0x88);
    r[8 + j] = _mm512_shuffle_i32x4(t[j], t[8 + j], 0xdd);
  }
}

// 16 pairs of rows, `step` entries apart, of 16 columns: each row's entry beside the next row's. Of
// rows there are `rows`, of columns those in the mask; what is missing is zero.
inline void load_pairs(const Half* from, Index step, Index rows, __mmask16 columns,
                       __m512i (&pairs)[16]) {
  for (Index j = 0; j < 16; ++j, from += 2 * step) {
    __m512i pair = _mm512_setzero_si512();
    if (2 * j < rows) pair = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(columns, from));
    if (2 * j + 1 < rows) {
      const auto second = _mm256_maskz_loadu_epi16(columns, from + step);
      pair = _mm512_or_si512(pair, _mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16));
    }
    pairs[j] = pair;
  }
}
