// Max pooling over 2 × 2 windows of maps that lie in the nearer cache, and what undoes it.
#pragma once

#include "tiles.h"

constexpr int kNowhere = 255;  // the place of the largest entry where the ReLU zeroed a window

inline Half narrow(float value) {
  const __m128 one = _mm_set_ss(value);
  return Half(_mm_extract_epi16((__m128i)_mm_cvtneps_pbh(one), 0));
}

// Pools two rows of maps into one; a bias and a ReLU change nothing about which entry is largest.
// A column of what is read has `stride` entries, one of what is written `maps`; `some` are pooled.
inline void pool_rows(const float* above, const float* below, const float* bias, bool rectify,
                      Half* y, uint8_t* place, Index columns, Index some, Index stride,
                      Index maps) {
  for (Index column = 0; column < columns; ++column)
    for (Index m = 0; m < some; m += kSide) {
      const Index at = 2 * column * stride + m;
      __m512 best = _mm512_loadu_ps(above + at);
      __m512i where = _mm512_setzero_si512();
      const float* others[] = {above + at + stride, below + at, below + at + stride};
      for (int i = 0; i < 3; ++i) {
        const __m512 entry = _mm512_loadu_ps(others[i]);
        const __mmask16 larger = _mm512_cmp_ps_mask(entry, best, _CMP_NLE_UQ);  // or not a number
        best = _mm512_mask_mov_ps(best, larger, entry);
        where = _mm512_mask_mov_epi32(where, larger, _mm512_set1_epi32(i + 1));
      }
      best = _mm512_add_ps(best, _mm512_loadu_ps(bias + m));
      if (rectify) {
        const __mmask16 zeroed = _mm512_cmp_ps_mask(best, _mm512_setzero_ps(), _CMP_LE_OQ);
        best = _mm512_mask_mov_ps(best, zeroed, _mm512_setzero_ps());
        where = _mm512_mask_mov_epi32(where, zeroed, _mm512_set1_epi32(kNowhere));
      }
      const Index to = column * maps + m;
      _mm256_storeu_si256((__m256i*)(y + to), (__m256i)_mm512_cvtneps_pbh(best));
      _mm_storeu_si128((__m128i*)(place + to), _mm512_cvtepi32_epi8(where));
    }
}
