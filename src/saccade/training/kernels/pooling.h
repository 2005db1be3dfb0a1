// 2 × 2 max pooling behind a convolution, and the places that its gradient goes back to.
#pragma once

#include "tiles.h"

constexpr int kNowhere = 255;  // the place of the largest entry where the ReLU zeroed a window

// Pools four entries of 16 maps, adds the bias, and zeroes where asked what is not above 0; neither
// changes anything about which entry is largest.
inline void pool(const float* const (&entries)[4], __m512 bias, bool rectify, Half* y,
                 uint8_t* place) {
  __m512 best = _mm512_loadu_ps(entries[0]);
  __m512i where = _mm512_setzero_si512();
  for (int i = 1; i < 4; ++i) {
    const __m512 entry = _mm512_loadu_ps(entries[i]);
    const __mmask16 larger = _mm512_cmp_ps_mask(entry, best, _CMP_NLE_UQ);  // or not a number
    best = _mm512_mask_mov_ps(best, larger, entry);
    where = _mm512_mask_mov_epi32(where, larger, _mm512_set1_epi32(i));
  }
  best = _mm512_add_ps(best, bias);
  if (rectify) {
    const __mmask16 zeroed = _mm512_cmp_ps_mask(best, _mm512_setzero_ps(), _CMP_LE_OQ);
    best = _mm512_mask_mov_ps(best, zeroed, _mm512_setzero_ps());
    where = _mm512_mask_mov_epi32(where, zeroed, _mm512_set1_epi32(kNowhere));
  }
  _mm256_storeu_si256((__m256i*)y, narrow(best));
  _mm_storeu_si128((__m128i*)place, _mm512_cvtepi32_epi8(where));
}
