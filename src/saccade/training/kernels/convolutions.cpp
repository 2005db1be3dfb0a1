// A convolution, stride 1, of many channels: forward, and the gradient of the pictures, each with
// 2 × 2 max pooling in the same pass where a block asks for it (see blocks.cpp).
//
// Small maps are mostly border, and a row of them fills no tile. So the rows of a tile are 32
// pictures here, at one pixel, as in weights.cpp: a shift of the window picks another tile, and
// what lies beyond the border is no product at all. Pictures are laid out so band by band, which
// stays in the nearer cache until every map is made of it; maps are made for 32 pictures and 32
// maps at a time, and pooled before they leave the nearest cache. Products are of bfloat16, added
// up in float32, by tiles (see tiles.h).

#include <cstdint>

#if defined(__AVX512BF16__) && defined(__linux__)

#include <omp.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "pooling.h"
#include "products.h"

namespace {

constexpr Index kBandBytes = 1 << 20;  // of tiles that stay in the nearer cache
constexpr Index kBandsAThread = 2;     // at least, so that no thread is idle for long

Index chunks_of(const Geometry& g) { return ceiling(g.channels, kEntries); }
Index pairs_of(const Geometry& g) { return ceiling(g.maps, kPair); }
Index pictures_of(const Geometry& g, const Band& b) {
  return std::min(kPair, g.n - b.block * kPair);
}

// How many rows of the maps a band has: an even number, for windows of two.
Index rows_of(const Geometry& g, int threads) {
  const Index blocks = ceiling(g.n, kPair);
  const Index row = g.width * chunks_of(g) * kTwo * sizeof(Half);
  const Index bands = ceiling(kBandsAThread * threads, blocks);
  const Index most = std::min(kBandBytes / row, ceiling(g.rows, bands));
  return std::max<Index>(2, (most + 1) / 2 * 2);
}

// Weights as tiles: for each pair of maps' tiles, tap by tap and chunk by chunk of channels. For the
// gradient, `g` is of the convolution backward, whose weights are turned around.
std::unique_ptr<Half[], Free> as_tiles(const float* weights, const Geometry& g, bool turned,
                                       int threads) {
  const Index taps = g.window_height * g.window_width, chunks = chunks_of(g);
  auto tiles = allocate<Half>(pairs_of(g) * taps * chunks * kTwo);
#pragma omp parallel for collapse(2) num_threads(threads)
  for (Index pair = 0; pair < pairs_of(g); ++pair)
    for (Index t = 0; t < taps; ++t)
      for (Index k = 0; k < chunks; ++k) {
        Half* to = &tiles[((pair * taps + t) * chunks + k) * kTwo];
        const Index channel = k * kEntries, map = pair * kPair;
        if (turned)
          weights_turned(weights + ((taps - 1 - t) * g.maps + map) * g.channels + channel,
                         g.channels, g.maps - map, g.channels - channel, to);
        else
          weights_as_pairs(weights + (t * g.channels + channel) * g.maps + map, g.maps,
                           g.channels - channel, g.maps - map, to);
      }
  return tiles;
}

// The sums of 32 pictures and 32 maps (or 16, `kWide` says) at one pixel.
template <int kWide>
void convolve(const Half* pictures, const Half* weights, const Geometry& g, const Band& band,
              Index r, Index c, float* sums) {
  const Index chunks = chunks_of(g);
  const Index left = std::max<Index>(0, g.left - c);
  const Index right = std::min(g.window_width, g.width + g.left - c);
  begin_sums<kWide>();
  for (Index y = 0; y < g.window_height; ++y) {
    const Index row = r + y - g.top;
    if (row < 0 || row >= g.height) continue;
    const Half* a =
        pictures + ((row - band.first) * g.width + c + left - g.left) * chunks * kTwo;
    const Half* b = weights + (y * g.window_width + left) * chunks * kTwo;
    for (Index s = 0; s < (right - left) * chunks; ++s, a += kTwo, b += kTwo)
      add_product<kWide>(a, a + kTile, 64, b);
  }
  store_sums<kWide>(sums, sums + kSums / 2);
}

// Lays a band of pictures out, pixel by pixel, for `convolve`.
void lay(const Half* x, const Geometry& g, const Band& band, Half* to) {
  const Index step = g.height * g.width * g.channels;
  const Half* from = x + band.block * kPair * step + band.first * g.width * g.channels;
  for (Index p = 0; p < (band.last - band.first) * g.width; ++p)
    for (Index k = 0; k < g.channels; k += kEntries, to += kTwo)
      as_rows(from + p * g.channels + k, step, pictures_of(g, band), g.channels - k, to);
}

// The same of the gradient of maps that were pooled, from that of the pooled ones and the place of
// each largest entry. Adds to the bias's gradient what reaches it, of the rows that are the band's.
void lay_spread(const Half* gradient, const uint8_t* place, const Geometry& g, const Band& band,
                Half* to, float* dbias) {
  const Index rows = g.height / 2, columns = g.width / 2, chunks = chunks_of(g);
  const Index step = rows * columns * g.channels, pixel = chunks * kTwo;
  if (g.height % 2 || g.width % 2)  // what no window covers
    std::memset(to, 0, (band.last - band.first) * g.width * pixel * sizeof(Half));
  for (Index r = band.first / 2; r < std::min(rows, ceiling(band.last, 2)); ++r)
    for (Index c = 0; c < columns; ++c)
      for (Index k = 0; k < chunks; ++k) {
        const __mmask32 there = first32(g.channels - k * kEntries);
        const bool own = 2 * r >= band.from && 2 * r < band.to;
        __m512 low = _mm512_setzero_ps(), high = low;
        for (Index j = 0; j < kPair; ++j) {
          const Index at = (band.block * kPair + j) * step + (r * columns + c) * g.channels +
                           k * kEntries;
          const __mmask32 some = j < pictures_of(g, band) ? there : 0;
          const __m512i entries = _mm512_maskz_loadu_epi16(some, gradient + at);
          const __m256i codes = _mm256_maskz_loadu_epi8(some, place + at);
          for (Index i = 0; i < 4; ++i) {
            const Index row = 2 * r + i / 2;
            if (row < band.first || row >= band.last) continue;
            const __mmask32 here =
                _mm256_mask_cmpeq_epi8_mask(some, codes, _mm256_set1_epi8(char(i)));
            Half* corner = to + ((row - band.first) * g.width + 2 * c + i % 2) * pixel + k * kTwo;
            _mm512_store_si512(corner + j * kEntries, _mm512_maskz_mov_epi16(here, entries));
          }
          const __mmask32 passed = _mm256_mask_cmplt_epu8_mask(some, codes, _mm256_set1_epi8(4));
          const __m512i through = _mm512_maskz_mov_epi16(passed, entries);
          low = _mm512_add_ps(low, widen(_mm512_castsi512_si256(through)));
          high = _mm512_add_ps(high, widen(_mm512_extracti64x4_epi64(through, 1)));
        }
        float* sum = dbias + k * kEntries;
        if (!own) continue;
        _mm512_storeu_ps(sum, _mm512_add_ps(low, _mm512_loadu_ps(sum)));
        _mm512_storeu_ps(sum + kSide, _mm512_add_ps(high, _mm512_loadu_ps(sum + kSide)));
      }
}

// Calls `make(tiles, band)` for every band, when `fill(tiles, band)` has laid it out.
template <typename Fill, typename Make>
void for_bands(const Geometry& g, int threads, Fill fill, Make make) {
  const Index blocks = ceiling(g.n, kPair), rows = rows_of(g, threads);
  const Index bands = ceiling(g.rows, rows), under = std::min(g.height, rows + g.window_height);
#pragma omp parallel num_threads(threads)
  {
    const Tiles unit;
    const auto tiles = allocate<Half>(under * g.width * chunks_of(g) * kTwo);
#pragma omp for schedule(static)
    for (Index task = 0; task < blocks * bands; ++task) {
      const Band band = band_at(task, bands, rows, g);
      fill(tiles.get(), band);
      make(tiles.get(), band);
    }
  }
}

// Writes what `convolve` makes of a band, not pooled, to maps (n, rows, columns, maps).
void write_maps(const Half* tiles, const Half* weights, const float* bias, Half* y,
                const Geometry& g, const Band& band) {
  const Index size = g.window_height * g.window_width * chunks_of(g) * kTwo;
  const Index step = g.rows * g.columns * g.maps;
  alignas(64) float sums[kSums];
  for (Index m = 0; m < g.maps; m += kPair, weights += size) {
    const bool two = g.maps - m > kSide;
    const __mmask32 there = first32(g.maps - m);
    __m512 low = _mm512_setzero_ps(), high = low;
    if (bias != nullptr) {
      low = _mm512_maskz_loadu_ps(__mmask16(there), bias + m);
      high = _mm512_maskz_loadu_ps(__mmask16(there >> 16), bias + m + kSide);
    }
    for (Index r = band.from; r < band.to; ++r)
      for (Index c = 0; c < g.columns; ++c) {
        (two ? convolve<2> : convolve<1>)(tiles, weights, g, band, r, c, sums);
        Half* to = y + band.block * kPair * step + (r * g.columns + c) * g.maps + m;
        for (Index j = 0; j < pictures_of(g, band); ++j, to += step)
          _mm512_mask_storeu_epi16(
              to, there,
              round(_mm512_add_ps(low, _mm512_load_ps(sums + j * kPair)),
                    _mm512_add_ps(high, _mm512_load_ps(sums + j * kPair + kSide))));
      }
  }
}

// The same pooled, to (n, rows / 2, columns / 2, maps).
void write_pooled(const Half* tiles, const Half* weights, const float* bias, bool rectify, Half* y,
                  uint8_t* place, const Geometry& g, const Band& band) {
  const Index size = g.window_height * g.window_width * chunks_of(g) * kTwo;
  const Index columns = g.columns / 2, step = g.rows / 2 * columns * g.maps;
  alignas(64) float sums[4 * kSums];
  for (Index m = 0; m < g.maps; m += kPair, weights += size) {
    const bool two = g.maps - m > kSide;
    for (Index r = band.from; r < band.to; r += 2)
      for (Index c = 0; c < columns; ++c) {
        for (Index i = 0; i < 4; ++i)
          (two ? convolve<2> : convolve<1>)(tiles, weights, g, band, r + i / 2, 2 * c + i % 2,
                                            sums + i * kSums);
        for (Index h = 0; h < std::min(kPair, g.maps - m); h += kSide) {
          const __m512 offset = _mm512_loadu_ps(bias + m + h);
          Index to = band.block * kPair * step + (r / 2 * columns + c) * g.maps + m + h;
          const float* at = sums + h;
          for (Index j = 0; j < pictures_of(g, band); ++j, to += step, at += kPair)
            pool({at, at + kSums, at + 2 * kSums, at + 3 * kSums}, offset, rectify, y + to,
                 place + to);
        }
      }
  }
}

// The convolution that makes the gradient of the pictures of one that `g` describes.
Geometry turned_around(const Geometry& g) {
  return {g.n,
          g.rows,
          g.columns,
          g.maps,
          g.channels,
          g.window_height,
          g.window_width,
          g.window_height - 1 - g.top,
          g.window_width - 1 - g.left,
          g.height,
          g.width};
}

}  // namespace

// `bias` is null without.
extern "C" void convolution_forward(const Half* x, const float* weights, const float* bias, Half* y,
                                    const Index* geometry, int threads) {
  const Geometry g = geometry_of(geometry);
  const auto kernel = as_tiles(weights, g, false, threads);
  for_bands(
      g, threads, [&](Half* tiles, const Band& band) { lay(x, g, band, tiles); },
      [&](const Half* tiles, const Band& band) {
        write_maps(tiles, kernel.get(), bias, y, g, band);
      });
}

extern "C" void convolution_backward(const Half* gradient, const float* weights, Half* dx,
                                     const Index* geometry, int threads) {
  const Geometry g = turned_around(geometry_of(geometry));
  const auto kernel = as_tiles(weights, g, true, threads);
  for_bands(
      g, threads, [&](Half* tiles, const Band& band) { lay(gradient, g, band, tiles); },
      [&](const Half* tiles, const Band& band) {
        write_maps(tiles, kernel.get(), nullptr, dx, g, band);
      });
}

// Here `geometry` holds the rows and columns of the maps before they are pooled.
extern "C" void pooled_forward(const Half* x, const float* weights, const float* bias, int rectify,
                               Half* y, uint8_t* place, const Index* geometry, int threads) {
  Geometry g = geometry_of(geometry);
  const auto kernel = as_tiles(weights, g, false, threads);
  g.rows = g.rows / 2 * 2;
  for_bands(
      g, threads, [&](Half* tiles, const Band& band) { lay(x, g, band, tiles); },
      [&](const Half* tiles, const Band& band) {
        write_pooled(tiles, kernel.get(), bias, rectify, y, place, g, band);
      });
}

// `dx` is null where nobody asks for it.
extern "C" void pooled_backward(const Half* gradient, const uint8_t* place, const float* weights,
                                Half* dx, float* dbias, const Index* geometry, int threads) {
  const Geometry g = turned_around(geometry_of(geometry));
  const auto kernel = as_tiles(weights, g, true, threads);
  const Index size = chunks_of(g) * kEntries;
  std::vector<float> sums(threads * size, 0.0f);
  for_bands(
      g, threads,
      [&](Half* tiles, const Band& band) {
        lay_spread(gradient, place, g, band, tiles, &sums[omp_get_thread_num() * size]);
      },
      [&](const Half* tiles, const Band& band) {
        if (dx != nullptr) write_maps(tiles, kernel.get(), nullptr, dx, g, band);
      });
  for (Index k = 0; k < g.channels; ++k) {
    dbias[k] = 0.0f;
    for (int t = 0; t < threads; ++t) dbias[k] += sums[t * size + k];
  }
}

#endif
