// The gradient of the weights of a network's first block (see blocks.cpp), where few channels are
// read: the entries under the whole window, all channels of them, are one product's 32 or fewer.
//
// A first convolution has few channels to read and many maps to write, and the gradient of the
// maps, mostly zeros, is spread from the pooled one as it is needed. Sums run along the pixels of
// two rows. Products are of bfloat16, added up in float32, by tiles (see tiles.h).

#include <cstdint>

#if defined(__AVX512BF16__) && defined(__linux__)
#include <omp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "tiles.h"

namespace {

constexpr Index kTaps = 32;  // entries under the window

// The gradient of 2 × 32 map entries from that of 16 pooled ones, as pairs of neighbours in a row,
// for 16 maps; also adds up what reaches the bias.
__m512 spread(const Half* gradient, const uint8_t* place, Index columns, Index maps,
              uint32_t* above, uint32_t* below, __m512 sum) {
  for (Index c = 0; c < kSide; ++c) {
    __m512i upper = _mm512_setzero_si512(), lower = upper;
    if (c < columns) {
      const auto entries = _mm256_loadu_si256((const __m256i*)(gradient + c * maps));
      const auto codes = _mm_loadu_si128((const __m128i*)(place + c * maps));
      const __m512i even = _mm512_cvtepu16_epi32(entries), odd = _mm512_slli_epi32(even, 16);
      const __m512i where = _mm512_cvtepu8_epi32(codes);
      __mmask16 at[4];
      for (int i = 0; i < 4; ++i) at[i] = _mm512_cmpeq_epi32_mask(where, _mm512_set1_epi32(i));
      upper = _mm512_mask_mov_epi32(_mm512_maskz_mov_epi32(at[0], even), at[1], odd);
      lower = _mm512_mask_mov_epi32(_mm512_maskz_mov_epi32(at[2], even), at[3], odd);
      const __mmask16 let_through = at[0] | at[1] | at[2] | at[3];
      sum = _mm512_mask_add_ps(sum, let_through, sum, _mm512_castsi512_ps(odd));
    }
    _mm512_store_si512(above + c * kSide, upper);
    _mm512_store_si512(below + c * kSide, lower);
  }
  return sum;
}

// Adds one row of windows to the gradients of weights (`kTaps`, maps) and of the bias (maps).
// `taps` holds, for the upper and the lower row, tap by tap, 32 pixels a block; `entries` has room
// for what is spread, two tiles a block. There are `more` taps than a tile's rows, or not.
void add_row(const Half* taps, const Half* gradient, const uint8_t* place, float* dweights,
             float* dbias, uint32_t* entries, Index columns, Index maps, bool more) {
  const Index blocks = (columns + kSide - 1) / kSide, stride = maps * sizeof(float);
  for (Index m = 0; m < maps; m += kSide) {
    load_sums(0, dweights + m, stride);
    if (more) load_sums(1, dweights + kSide * maps + m, stride);
    __m512 sum = _mm512_loadu_ps(dbias + m);
    for (Index b = 0; b < blocks; ++b) {
      const Index from = b * kSide * maps + m;
      uint32_t *above = entries + 2 * b * kSide * kSide, *below = above + kSide * kSide;
      sum = spread(gradient + from, place + from, columns - b * kSide, maps, above, below, sum);
      const Half* upper = taps + b * 2 * kTile;
      const Half* lower = upper + blocks * 2 * kTile;
      load_tile(2, above, 64);
      load_tile(3, upper, 64);
      if (more) load_tile(4, upper + kTile, 64);
      multiply_tiles(0, 3, 2);
      if (more) multiply_tiles(1, 4, 2);
      load_tile(5, below, 64);
      load_tile(6, lower, 64);
      if (more) load_tile(7, lower + kTile, 64);
      multiply_tiles(0, 6, 5);
      if (more) multiply_tiles(1, 7, 5);
    }
    store_tile(0, dweights + m, stride);
    if (more) store_tile(1, dweights + kSide * maps + m, stride);
    _mm512_storeu_ps(dbias + m, sum);
  }
}

// One row of pixels as one row a plane; a number of channels that the compiler knows is much faster.
template <int kChannels>
void split_row(const Half* __restrict pixels, Half* __restrict plane, Index next, Index width,
               Index channels) {
  const Index step = kChannels ? kChannels : channels;
  for (Index c = 0; c < step; ++c)
    for (Index w = 0; w < width; ++w) plane[c * next + w] = pixels[w * step + c];
}

// One picture (height, width, channels) as padded planes (channels, tall, wide).
void as_planes(const Half* picture, Half* planes, const Geometry& g, Index tall, Index wide) {
  const auto split = g.channels == 3 ? split_row<3> : g.channels == 1 ? split_row<1> : split_row<0>;
  for (Index r = 0; r < g.height; ++r)
    split(picture + r * g.width * g.channels, planes + (r + g.top) * wide + g.left, tall * wide,
          g.width, g.channels);
}

void backward(const Half* x, const Half* gradient, const uint8_t* place, float* dweights,
              float* dbias, const Geometry& g, int threads) {
  const Index blocks = (g.columns + kSide - 1) / kSide;
  const Index tall = g.height + g.window_height, wide = g.width + g.window_width + 32;
  const Index size = kTaps * g.maps, all = size + g.maps;
  const Index num_taps = g.window_height * g.window_width * g.channels;
  std::vector<float> sums(threads * all, 0.0f);
#pragma omp parallel num_threads(threads)
  {
    const Tiles tiles;
    std::vector<Half> planes(g.channels * tall * wide + 2 * wide, 0);
    std::vector<Half> taps(2 * blocks * 2 * kTile, 0);
    const auto entries = allocate<uint32_t>(blocks * 2 * kSide * kSide);
    float* mine = sums.data() + omp_get_thread_num() * all;
#pragma omp for
    for (Index i = 0; i < g.n; ++i) {
      as_planes(x + i * g.height * g.width * g.channels, planes.data(), g, tall, wide);
      for (Index r = 0; r < g.rows; ++r) {
        for (Index half = 0; half < 2; ++half)
          for (Index b = 0; b < blocks; ++b) {
            Half* to = taps.data() + (half * blocks + b) * 2 * kTile;
            for (Index y = 0; y < g.window_height; ++y)
              for (Index z = 0; z < g.window_width; ++z)
                for (Index c = 0; c < g.channels; ++c, to += 32)
                  std::memcpy(to, &planes[(c * tall + 2 * r + half + y) * wide + b * 32 + z], 64);
          }
        const Index from = (i * g.rows + r) * g.columns * g.maps;
        add_row(taps.data(), gradient + from, place + from, mine, mine + size, entries.get(),
                g.columns, g.maps, num_taps > kSide);
      }
    }
  }
  for (Index k = 0; k < num_taps * g.maps; ++k) {
    dweights[k] = 0.0f;
    for (int t = 0; t < threads; ++t) dweights[k] += sums[t * all + k];
  }
  for (Index m = 0; m < g.maps; ++m) {
    dbias[m] = 0.0f;
    for (int t = 0; t < threads; ++t) dbias[m] += sums[t * all + size + m];
  }
}

}  // namespace

// 2 where the tile unit multiplies, 1 where AVX512-BF16 does without one, 0 where the system refuses
// the unit, or there is neither.
extern "C" int tiles_there_are() {
#if defined(__AMX_BF16__)  // the system grants the unit's large registers on request
  constexpr long request = 0x1023, tile_data = 18;
  return syscall(SYS_arch_prctl, request, tile_data) == 0 ? 2 : 0;
#else
  return 1;
#endif
}

extern "C" void stem_weights(const Half* x, const Half* gradient, const uint8_t* place,
                             float* dweights, float* dbias, const Index* geometry, int threads) {
  const Geometry g = geometry_of(geometry);
  backward(x, gradient, place, dweights, dbias, g, threads);
}

#else

extern "C" int tiles_there_are() { return 0; }

#endif
