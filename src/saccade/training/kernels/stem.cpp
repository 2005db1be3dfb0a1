// The first block of a network in one pass: convolution, bias, ReLU where asked, 2 × 2 max pooling.
//
// A first convolution has few channels to read and many maps to write; written out, its maps are the
// largest of the whole network, and memory is what a step waits for. Here they never leave the
// processor's nearest cache: forward, two rows of them are made at a time, and pooled; backward,
// the gradient of the maps, mostly zeros, is spread from the pooled one as it is needed.
//
// Products are of bfloat16, added up in float32, by the tile unit (see tiles.h).

#include <cstdint>

#if defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__linux__)
#include <omp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "pooled.h"

namespace {

constexpr Index kTaps = 32;  // entries that one product sums over

// ---- forward ------------------------------------------------------------------------------------

// Weights (taps, maps) as pairs of taps, one tile for each 16 maps.
std::vector<Half> as_pairs(const float* weights, Index taps, Index maps) {
  std::vector<Half> pairs(maps / kSide * kTile, 0);
  for (Index t = 0; t < taps; ++t)
    for (Index m = 0; m < maps; ++m)
      pairs[m / kSide * kTile + t / 2 * 32 + m % kSide * 2 + t % 2] = narrow(weights[t * maps + m]);
  return pairs;
}

// Maps (columns, maps) of one row: for each pixel the `kTaps` entries under the window, times pairs.
void convolve_row(const Half* taps, const Half* pairs, float* out, Index blocks, Index maps) {
  for (Index m = 0; m < maps; m += kSide) {
    _tile_loadd(2, pairs + m * 32, 64);
    for (Index b = 0; b < blocks; ++b) {
      _tile_loadd(1, taps + b * kTile, 64);
      _tile_zero(0);
      _tile_dpbf16ps(0, 1, 2);
      _tile_stored(0, out + b * kSide * maps + m, maps * sizeof(float));
    }
  }
}

void forward(const Half* x, const float* weights, const float* bias, bool rectify, Half* y,
             uint8_t* place, const Geometry& g, int threads) {
  const Index stretch = g.window_width * g.channels;  // entries under one row of the window
  const Index row = (g.width + g.window_width) * g.channels;
  const Index columns = 2 * g.columns, blocks = (columns + kSide - 1) / kSide;
  const auto pairs = as_pairs(weights, g.window_height * stretch, g.maps);
#pragma omp parallel num_threads(threads)
  {
    const Tiles tiles;
    std::vector<Half> padded((g.height + g.window_height) * row + kTaps, 0);
    std::vector<Half> taps(blocks * kTile + kTaps, 0);
    std::vector<float> maps(2 * blocks * kSide * g.maps);
#pragma omp for
    for (Index i = 0; i < g.n; ++i) {
      for (Index r = 0; r < g.height; ++r)
        std::memcpy(padded.data() + (r + g.top) * row + g.left * g.channels,
                    x + (i * g.height + r) * g.width * g.channels,
                    g.width * g.channels * sizeof(Half));
      for (Index r = 0; r < g.rows; ++r) {
        for (Index half = 0; half < 2; ++half) {
          const Half* corner = padded.data() + (2 * r + half) * row;
          // Whole 32 bytes at a time: what is too much is overwritten next, or meets weights of 0.
          for (Index c = 0; c < columns; ++c)
            for (Index d = 0; d < g.window_height; ++d)
              std::memcpy(taps.data() + c * kTaps + d * stretch,
                          corner + d * row + c * g.channels, 32);
          convolve_row(taps.data(), pairs.data(), maps.data() + half * blocks * kSide * g.maps,
                       blocks, g.maps);
        }
        const Index to = (i * g.rows + r) * g.columns * g.maps;
        pool_rows(maps.data(), maps.data() + blocks * kSide * g.maps, bias, rectify, y + to,
                  place + to, g.columns, g.maps, g.maps, g.maps);
      }
    }
  }
}

// ---- backward -----------------------------------------------------------------------------------

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
// `taps` holds, for the upper and the lower row, tap by tap, 32 pixels a block.
void add_row(const Half* taps, const Half* gradient, const uint8_t* place, float* dweights,
             float* dbias, Index columns, Index maps) {
  const Index blocks = (columns + kSide - 1) / kSide, stride = maps * sizeof(float);
  alignas(64) uint32_t above[kSide * kSide], below[kSide * kSide];
  for (Index m = 0; m < maps; m += kSide) {
    _tile_loadd(0, dweights + m, stride);
    _tile_loadd(1, dweights + kSide * maps + m, stride);
    __m512 sum = _mm512_loadu_ps(dbias + m);
    for (Index b = 0; b < blocks; ++b) {
      const Index from = b * kSide * maps + m;
      sum = spread(gradient + from, place + from, columns - b * kSide, maps, above, below, sum);
      const Half* upper = taps + b * 2 * kTile;
      const Half* lower = upper + blocks * 2 * kTile;
      _tile_loadd(2, above, 64);
      _tile_loadd(3, upper, 64);
      _tile_loadd(4, upper + kTile, 64);
      _tile_dpbf16ps(0, 3, 2);
      _tile_dpbf16ps(1, 4, 2);
      _tile_loadd(5, below, 64);
      _tile_loadd(6, lower, 64);
      _tile_loadd(7, lower + kTile, 64);
      _tile_dpbf16ps(0, 6, 5);
      _tile_dpbf16ps(1, 7, 5);
    }
    _tile_stored(0, dweights + m, stride);
    _tile_stored(1, dweights + kSide * maps + m, stride);
    _mm512_storeu_ps(dbias + m, sum);
  }
}

// One picture (height, width, channels) as padded planes (channels, tall, wide).
void as_planes(const Half* picture, Half* planes, const Geometry& g, Index tall, Index wide) {
  for (Index r = 0; r < g.height; ++r)
    for (Index w = 0; w < g.width; ++w)
      for (Index c = 0; c < g.channels; ++c)
        planes[(c * tall + r + g.top) * wide + w + g.left] =
            picture[(r * g.width + w) * g.channels + c];
}

void backward(const Half* x, const Half* gradient, const uint8_t* place, float* dweights,
              float* dbias, const Geometry& g, int threads) {
  const Index blocks = (g.columns + kSide - 1) / kSide;
  const Index tall = g.height + g.window_height, wide = g.width + g.window_width + 32;
  const Index size = kTaps * g.maps, all = size + g.maps;
  std::vector<float> sums(threads * all, 0.0f);
#pragma omp parallel num_threads(threads)
  {
    const Tiles tiles;
    std::vector<Half> planes(g.channels * tall * wide + 2 * wide, 0);
    std::vector<Half> taps(2 * blocks * 2 * kTile, 0);
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
        add_row(taps.data(), gradient + from, place + from, mine, mine + size, g.columns, g.maps);
      }
    }
  }
  const Index taps = g.window_height * g.window_width * g.channels;
  for (Index k = 0; k < taps * g.maps; ++k) {
    dweights[k] = 0.0f;
    for (int t = 0; t < threads; ++t) dweights[k] += sums[t * all + k];
  }
  for (Index m = 0; m < g.maps; ++m) {
    dbias[m] = 0.0f;
    for (int t = 0; t < threads; ++t) dbias[m] += sums[t * all + size + m];
  }
}

}  // namespace

extern "C" int tiles_are_there() {  // the system grants the tile unit's large registers on request
  constexpr long request = 0x1023, tile_data = 18;
  return syscall(SYS_arch_prctl, request, tile_data) == 0;
}

extern "C" void stem_forward(const Half* x, const float* weights, const float* bias, int rectify,
                             Half* y, uint8_t* place, const Index* geometry, int threads) {
  Geometry g;
  std::memcpy(&g, geometry, sizeof g);
  forward(x, weights, bias, rectify, y, place, g, threads);
}

extern "C" void stem_backward(const Half* x, const Half* gradient, const uint8_t* place,
                              float* dweights, float* dbias, const Index* geometry, int threads) {
  Geometry g;
  std::memcpy(&g, geometry, sizeof g);
  backward(x, gradient, place, dweights, dbias, g, threads);
}

#else

extern "C" int tiles_are_there() { return 0; }

#endif
