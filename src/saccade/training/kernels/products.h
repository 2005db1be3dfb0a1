// Products of matrices of any size by tiles (see tiles.h), 32 rows by 32 columns of sums at a time.
#pragma once

#include <algorithm>

#include "tiles.h"

constexpr Index kEntries = 32;          // that one product sums over
constexpr Index kPair = 2 * kSide;      // rows, and columns, of sums that are made at a time
constexpr Index kSums = kPair * kPair;  // entries of them
constexpr Index kTwo = 2 * kTile;       // entries of the two tiles that one product of them reads

// Of `width` entries the first that there are.
inline __mmask16 first16(Index there) {
  return __mmask16((1u << std::clamp<Index>(there, 0, 16)) - 1);
}
inline __mmask32 first32(Index there) {
  return __mmask32((1ull << std::clamp<Index>(there, 0, 32)) - 1);
}

inline __m512i round(__m512 low, __m512 high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

// Two tiles of 16 rows each, of 32 entries, from `rows` rows and `columns` columns of a matrix; what
// those lack is zero, here as below.
inline void as_rows(const Half* from, Index step, Index rows, Index columns, Half* to) {
  const __mmask32 there = first32(columns);
  for (Index r = 0; r < kPair; ++r, to += kEntries)
    _mm512_store_si512(to, r < rows ? _mm512_maskz_loadu_epi16(there, from + r * step)
                                    : _mm512_setzero_si512());
}

// Two tiles of 32 rows, in pairs, and 16 columns each.
inline void as_pairs(const Half* from, Index step, Index rows, Index columns, bool transposed,
                     Half* to) {
  for (Index c = 0; c < kPair; c += kSide) {
    __m512i pairs[16];
    load_pairs(from + c, step, rows, first16(columns - c), pairs);
    if (transposed) transpose(pairs);
    for (Index r = 0; r < kSide; ++r, to += kEntries) _mm512_store_si512(to, pairs[r]);
  }
}

// Two tiles of 32 rows, in pairs, and 16 columns each, from weights, which are rounded.
inline void weights_as_pairs(const float* from, Index step, Index rows, Index columns,
                             Half* to) {
  alignas(64) static constexpr Half kWoven[32] = {
      0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
      8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i woven = _mm512_load_si512(kWoven);
  for (Index c = 0; c < kPair; c += kSide) {
    const __mmask16 there = first16(columns - c);
    for (Index r = 0; r < kPair; r += 2, to += kEntries) {
      const float* at = from + r * step + c;
      const __m512 low = _mm512_maskz_loadu_ps(r < rows ? there : 0, at);
      const __m512 high = _mm512_maskz_loadu_ps(r + 1 < rows ? there : 0, at + step);
      _mm512_store_si512(to, _mm512_permutexvar_epi16(woven, round(low, high)));
    }
  }
}

// Two tiles of 32 columns, in pairs, and 16 rows each: weights turned around.
inline void weights_turned(const float* from, Index step, Index rows, Index columns, Half* to) {
  const __mmask16 left = first16(columns), right = first16(columns - kSide);
  for (Index r = 0; r < kPair; r += kSide) {
    __m512i turned[16];
    for (Index k = 0; k < kSide; ++k) {
      const float* at = from + (r + k) * step;
      const bool there = r + k < rows;
      turned[k] = round(_mm512_maskz_loadu_ps(there ? left : 0, at),
                        _mm512_maskz_loadu_ps(there ? right : 0, at + kSide));
    }
    transpose(turned);
    for (Index k = 0; k < kSide; ++k, to += kEntries) _mm512_store_si512(to, turned[k]);
  }
}

// Sums of two tiles of rows by two of columns, or one, as `kWide` says, are held from
// `begin_sums` to `store_sums`, whose rows are 32 entries apart.
template <int kWide>
void begin_sums() {
  zero_tile(0);
  zero_tile(2);
  if (kWide > 1) zero_tile(1);
  if (kWide > 1) zero_tile(3);
}

// Adds one product; rows of `first` and `second` are `step` bytes apart, and of the rows of `columns`
// those after `filled` hold nothing.
template <int kWide>
void add_product(const Half* first, const Half* second, Index step, const Half* columns,
                 Index filled = kSide) {
  load_tile(4, first, step);
  load_rows(6, columns, filled);
  multiply_tiles(0, 4, 6);
  load_tile(5, second, step);
  multiply_tiles(2, 5, 6);
  if (kWide > 1) load_rows(7, columns + kTile, filled);
  if (kWide > 1) multiply_tiles(1, 4, 7);
  if (kWide > 1) multiply_tiles(3, 5, 7);
}

template <int kWide>
void store_sums(float* first, float* second) {
  constexpr Index stride = kPair * sizeof(float);
  store_tile(0, first, stride);
  store_tile(2, second, stride);
  if (kWide > 1) store_tile(1, first + kSide, stride);
  if (kWide > 1) store_tile(3, second + kSide, stride);
}

// Adds `steps` products of two tiles by two to (32, 32) sums, or begins with them.
inline void add(const Half* a, const Half* b, Index steps, bool begin, float* sums) {
  constexpr Index stride = kPair * sizeof(float);
  float* second = sums + kSums / 2;
  if (begin) {
    begin_sums<2>();
  } else {
    load_sums(0, sums, stride);
    load_sums(1, sums + kSide, stride);
    load_sums(2, second, stride);
    load_sums(3, second + kSide, stride);
  }
  for (Index s = 0; s < steps; ++s, a += kTwo, b += kTwo) add_product<2>(a, a + kTile, 64, b);
  store_sums<2>(sums, second);
}
