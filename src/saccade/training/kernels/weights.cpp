// The gradient of a convolution's weights, stride 1, on the tile unit (AMX).
//
// An entry of it sums a product over every pixel of every picture. Summed along the pixels, as is
// usual, operands shifted against one another by the window lie unaligned, and small maps are
// mostly border. Summed along the pictures, 32 of them to a product, a shift picks another tile and
// nothing else: each picture's entry at one pixel and channel lies beside the next picture's.
//
// Both operands are first laid out as tiles, pixel by pixel: the pictures' channels in rows of 32
// pictures, the gradients as pairs of pictures (see tiles.h). Threads share the pairs of channel
// and map, so none waits to add its sums to another's. Products are of bfloat16, sums float32.

#include <cstdint>

#if defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__linux__)

#include <algorithm>
#include <cstring>

#include "tiles.h"

namespace {

constexpr Index kPictures = 32;  // that one product sums over
constexpr Index kBand = 64;      // pixels that stay in the nearer cache for all shifts of the window
constexpr Index kPair = 2;       // tiles of channels, and of maps, that are summed at a time

Index blocks_of(Index n) { return (n + kPictures - 1) / kPictures; }

// Rows and columns of a 16 × 16 matrix of 32 bits change places.
void transpose(__m512i (&r)[16]) {
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

// Lays (n, pixels, channels) out as tiles: (channels / 16, n / 32, pixels) of them.
template <bool kTransposed>
void as_tiles(const Half* from, Half* to, Index n, Index pixels, Index channels, int threads) {
  const Index blocks = blocks_of(n), step = pixels * channels;
#pragma omp parallel for collapse(2) num_threads(threads) schedule(static)
  for (Index b = 0; b < blocks; ++b)
    for (Index p = 0; p < pixels; ++p)
      for (Index c = 0; c < channels; c += kSide) {
        __m512i row[16];
        for (Index j = 0; j < 16; ++j) {
          const Index first = b * kPictures + 2 * j;
          const Half* at = from + first * step + p * channels + c;
          __m512i pair = _mm512_setzero_si512();
          if (first < n) pair = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)at));
          if (first + 1 < n) {
            const auto second = _mm256_loadu_si256((const __m256i*)(at + step));
            pair = _mm512_or_si512(pair, _mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16));
          }
          row[j] = pair;
        }
        if (kTransposed) transpose(row);
        Half* tile = to + ((c / kSide * blocks + b) * pixels + p) * kTile;
        for (Index j = 0; j < 16; ++j) _mm512_store_si512(tile + j * 32, row[j]);
      }
}

// Adds to 2 × 2 tiles of sums (or fewer, `kWide` and `kTall` say) one band of rows at one shift.
template <int kTall, int kWide>
void add_band(const Half* x, const Half* gradient, Index next_x, Index next_gradient, float* sums,
              const Geometry& g, Index from, Index to, Index y, Index z) {
  const Index left = std::max<Index>(0, g.left - z);
  const Index right = std::min(g.columns, g.width + g.left - z);
  from = std::max(from, g.top - y), to = std::min(to, g.height + g.top - y);
  if (from >= to || left >= right) return;
  _tile_loadd(0, sums, 64);
  if (kWide > 1) _tile_loadd(1, sums + 256, 64);
  if (kTall > 1) _tile_loadd(2, sums + 512, 64);
  if (kTall > 1 && kWide > 1) _tile_loadd(3, sums + 768, 64);
  for (Index r = from; r < to; ++r) {
    const Half* a = x + ((r + y - g.top) * g.width + left + z - g.left) * kTile;
    const Half* b = gradient + (r * g.columns + left) * kTile;
    for (Index c = left; c < right; ++c, a += kTile, b += kTile) {
      _tile_loadd(4, a, 64);
      _tile_loadd(6, b, 64);
      _tile_dpbf16ps(0, 4, 6);
      if (kWide > 1) _tile_loadd(7, b + next_gradient, 64);
      if (kWide > 1) _tile_dpbf16ps(1, 4, 7);
      if (kTall > 1) _tile_loadd(5, a + next_x, 64);
      if (kTall > 1) _tile_dpbf16ps(2, 5, 6);
      if (kTall > 1 && kWide > 1) _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, sums, 64);
  if (kWide > 1) _tile_stored(1, sums + 256, 64);
  if (kTall > 1) _tile_stored(2, sums + 512, 64);
  if (kTall > 1 && kWide > 1) _tile_stored(3, sums + 768, 64);
}

// All of the window's sums for 32 channels and 32 maps, or for 16 where no more are left.
template <int kTall, int kWide>
void sum_pair(const Half* x, const Half* gradient, float* sums, const Geometry& g) {
  const Index blocks = blocks_of(g.n), pixels = g.height * g.width, places = g.rows * g.columns;
  const Index band = std::max<Index>(1, kBand / g.columns);
  for (Index b = 0; b < blocks; ++b)
    for (Index from = 0; from < g.rows; from += band)
      for (Index y = 0; y < g.window_height; ++y)
        for (Index z = 0; z < g.window_width; ++z)
          add_band<kTall, kWide>(x + b * pixels * kTile, gradient + b * places * kTile,
                                 blocks * pixels * kTile, blocks * places * kTile,
                                 sums + (y * g.window_width + z) * 1024, g, from,
                                 std::min(from + band, g.rows), y, z);
}

void write(const float* sums, float* dweights, const Geometry& g, Index channel, Index map,
           Index tall, Index wide) {
  for (Index w = 0; w < g.window_height * g.window_width; ++w)
    for (Index i = 0; i < tall * kSide; ++i)
      for (Index j = 0; j < wide; ++j)
        std::memcpy(dweights + (w * g.channels + channel + i) * g.maps + map + j * kSide,
                    sums + w * 1024 + (i / kSide * 2 + j) * 256 + i % kSide * kSide, 64);
}

void gradient_of_weights(const Half* x, const Half* gradient, float* dweights, const Geometry& g,
                         int threads) {
  const Index blocks = blocks_of(g.n), pixels = g.height * g.width, places = g.rows * g.columns;
  const Index size = blocks * pixels * g.channels * kPictures;
  const auto tiles = allocate<Half>(size + blocks * places * g.maps * kPictures);
  Half *xs = tiles.get(), *gradients = xs + size;
  as_tiles<true>(x, xs, g.n, pixels, g.channels, threads);
  as_tiles<false>(gradient, gradients, g.n, places, g.maps, threads);
  const Index tall = (g.channels / kSide + 1) / 2, wide = (g.maps / kSide + 1) / 2;
#pragma omp parallel num_threads(threads)
  {
    const Tiles unit;
    const Index window = g.window_height * g.window_width;
    const auto sums = allocate<float>(window * 1024);
#pragma omp for schedule(dynamic)
    for (Index task = 0; task < tall * wide; ++task) {
      const Index channel = task / wide * kPair, map = task % wide * kPair;
      const bool two = channel + 1 < g.channels / kSide, both = map + 1 < g.maps / kSide;
      const Half* a = xs + channel * blocks * pixels * kTile;
      const Half* b = gradients + map * blocks * places * kTile;
      std::memset(sums.get(), 0, window * 1024 * sizeof(float));
      (two ? both ? sum_pair<2, 2> : sum_pair<2, 1> : both ? sum_pair<1, 2> : sum_pair<1, 1>)(
          a, b, sums.get(), g);
      write(sums.get(), dweights, g, channel * kSide, map * kSide, 1 + two, 1 + both);
    }
  }
}

}  // namespace

extern "C" void convolution_weights(const Half* x, const Half* gradient, float* dweights,
                                    const Index* geometry, int threads) {
  Geometry g;
  std::memcpy(&g, geometry, sizeof g);
  gradient_of_weights(x, gradient, dweights, g, threads);
}

#endif
