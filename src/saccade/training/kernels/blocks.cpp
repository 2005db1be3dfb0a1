// A block of a network in one pass: convolution, bias, ReLU where asked, 2 × 2 max pooling.
//
// Written out, a convolution's maps are the largest of a network, and memory is what a step waits
// for. Here maps at full resolution never leave the nearest cache: forward, a few rows of them are
// made at a time, and pooled; backward, the gradient of one picture's maps is spread from the
// pooled one, and stays in the nearer cache while it is convolved.
//
// A picture's channels lie side by side, so what the window covers in one row is one stretch of
// `window width · channels` entries, and a tile of 16 pixels is read where the picture lies, each
// row of the tile one pixel further. Both passes are the same product: the gradient of the pictures
// is a convolution of the gradient of the maps, by the weights turned around. The gradients of the
// weights are in stem.cpp and weights.cpp; maps too small for strips of 16 pixels are in
// convolutions.cpp. Products are of bfloat16, added up in float32, by tiles (see tiles.h).

#include <cstdint>

#if defined(__AVX512BF16__) && defined(__linux__)
#include <omp.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "pooling.h"
#include "products.h"

namespace {

constexpr Index kPixels = 256;  // of which maps stay in the nearest cache, about

// A convolution as products: `stretch` entries a row of the window, `maps` results.
struct Product {
  Index window_height, stretch, channels, maps;

  Index chunks() const { return ceiling(stretch, kEntries); }
  Index pairs() const { return ceiling(maps, kPair); }
  Index tiles_a_pair() const { return window_height * chunks() * 2; }
};

// Weights as tiles, given by (row of the window, entry of the stretch, map): for each pair of maps'
// tiles, row by row and chunk by chunk. What a stretch or the maps lack is zero.
template <typename Weight>
std::unique_ptr<Half[], Free> as_tiles(const Product& p, Weight weight, int threads) {
  const Index size = p.pairs() * p.tiles_a_pair() * kTile;
  auto tiles = allocate<Half>(size);
  std::memset(tiles.get(), 0, size * sizeof(Half));
#pragma omp parallel for collapse(2) num_threads(threads)
  for (Index y = 0; y < p.window_height; ++y)
    for (Index e = 0; e < p.stretch; ++e)
      for (Index m = 0; m < p.maps; ++m) {
        const Index tile = (m / kPair * p.window_height + y) * p.chunks() + e / kEntries;
        const Index at = (tile * 2 + m % kPair / kSide) * kTile;
        tiles[at + e % kEntries / 2 * 32 + m % kSide * 2 + e % 2] = narrow(weight(y, e, m));
      }
  return tiles;
}

// Twice 16 pixels, for one pair of maps' tiles (or one tile, `kWide` says), to (16, 32) entries each;
// `first` and `second` are where the window of the first pixel lies, `row` entries to its next row.
template <int kWide>
void convolve(const Half* first, const Half* second, Index row, const Half* weights,
              const Product& p, float* to_first, float* to_second) {
  const Index step = p.channels * sizeof(Half);
  begin_sums<kWide>();
  for (Index y = 0; y < p.window_height; ++y)
    for (Index e = 0; e < p.stretch; e += kEntries, weights += kTwo)
      add_product<kWide>(first + y * row + e, second + y * row + e, step, weights,
                         ceiling(p.stretch - e, 2));
  store_sums<kWide>(to_first, to_second);
}

// Some rows of a padded picture, the border included, as one line of pixels, `width` to a row; and
// the places on it where 16 pixels begin, which together cover the first `columns` of each row.
struct Strip {
  Index width, rows;
  std::vector<Index> starts;

  Strip(Index width, Index columns, Index num_rows)
      : width(width),
        rows(std::max<Index>(2, std::min(kPixels / width, num_rows + 1) / 2 * 2)) {
    const Index line = (rows - 1) * width + columns;
    if (ceiling(line, kSide) < rows * ceiling(columns, kSide)) {
      for (Index at = 0; at < line; at += kSide) starts.push_back(at);
      return;
    }
    for (Index r = 0; r < rows; ++r)
      for (Index c = 0; c < columns; c += kSide) starts.push_back(r * width + c);
  }

  Index pixels() const { return starts.back() + kSide; }
};

// The maps of a strip from a picture's row `from` on, of as many rows as are left, for one pair: to
// (pixels, 32).
void convolve_strip(const Half* from, const Strip& strip, Index rows_left, const Half* weights,
                    const Product& p, bool two, float* made) {
  const Index row = strip.width * p.channels, num = strip.starts.size();
  for (Index i = 0; i < num && strip.starts[i] < rows_left * strip.width; i += 2) {
    const Index first = strip.starts[i], second = strip.starts[std::min(i + 1, num - 1)];
    (two ? convolve<2> : convolve<1>)(from + first * p.channels, from + second * p.channels, row,
                                      weights, p, made + first * kPair, made + second * kPair);
  }
}

// One picture with a border: rows of `row` entries, the border and what lies beyond it zero.
struct Padded {
  Index row;
  std::unique_ptr<Half[], Free> entries;  // pixels begin with a cache line, or half of one

  // Two rows and 32 pixels more than the window reaches are read, and what comes of them ignored.
  Padded(Index height, Index width, Index channels) : row(width * channels) {
    const Index size = (height + 2) * row + (kPair + kEntries) * channels;
    entries = allocate<Half>(size);
    std::memset(entries.get(), 0, size * sizeof(Half));
  }

  Half* at(Index r, Index c, Index channels) { return &entries[r * row + c * channels]; }
};

// Pools two rows of maps into one.
// A column of what is read has `stride` entries, one of what is written `maps`; `some` are pooled.
void pool_rows(const float* above, const float* below, const float* bias, bool rectify, Half* y,
               uint8_t* place, Index columns, Index some, Index stride, Index maps) {
  for (Index column = 0; column < columns; ++column)
    for (Index m = 0; m < some; m += kSide) {
      const Index at = 2 * column * stride + m, to = column * maps + m;
      pool({above + at, above + at + stride, below + at, below + at + stride},
           _mm512_loadu_ps(bias + m), rectify, y + to, place + to);
    }
}

void forward(const Half* x, const float* weights, const float* bias, bool rectify, Half* y,
             uint8_t* place, const Geometry& g, int threads) {
  const Product p{g.window_height, g.window_width * g.channels, g.channels, g.maps};
  const auto tiles = as_tiles(p, [&](Index row, Index entry, Index map) {
    return weights[(row * p.stretch + entry) * g.maps + map];
  }, threads);
  const Index width = g.width + g.window_width - 1;
  const Strip strip(width, 2 * g.columns, 2 * g.rows);
#pragma omp parallel num_threads(threads)
  {
    const Tiles unit;
    Padded picture(g.height + g.window_height - 1, width, g.channels);
    const auto maps = allocate<float>(strip.pixels() * kPair);
#pragma omp for
    for (Index i = 0; i < g.n; ++i) {
      for (Index r = 0; r < g.height; ++r)
        std::memcpy(picture.at(r + g.top, g.left, g.channels),
                    x + (i * g.height + r) * g.width * g.channels,
                    g.width * g.channels * sizeof(Half));
      for (Index pair = 0; pair < p.pairs(); ++pair) {
        const Index m = pair * kPair, some = std::min(kPair, g.maps - m);
        for (Index r = 0; r < 2 * g.rows; r += strip.rows) {
          const Index rows = std::min(strip.rows, 2 * g.rows - r);
          convolve_strip(picture.at(r, 0, g.channels), strip, rows,
                         tiles.get() + pair * p.tiles_a_pair() * kTile, p, some > kSide,
                         maps.get());
          for (Index k = 0; k < rows; k += 2) {
            const float* above = maps.get() + k * width * kPair;
            const Index to = (i * g.rows + (r + k) / 2) * g.columns * g.maps + m;
            pool_rows(above, above + width * kPair, bias + m, rectify, y + to, place + to,
                      g.columns, some, kPair, g.maps);
          }
        }
      }
    }
  }
}

// The gradient of one picture's maps from that of the pooled ones, each to its place; adds to that
// of the bias what reaches it.
void spread(const Half* gradient, const uint8_t* place, Padded& to, Index top, Index left,
            float* dbias, const Geometry& g) {
  for (Index r = 0; r < g.rows; ++r)
    for (Index c = 0; c < g.columns; ++c) {
      Half* corner = to.at(2 * r + top, 2 * c + left, g.maps);
      Half* corners[] = {corner, corner + g.maps, corner + to.row, corner + to.row + g.maps};
      for (Index m = 0; m < g.maps; m += kSide, gradient += kSide, place += kSide) {
        const auto entries = _mm256_loadu_si256((const __m256i*)gradient);
        const auto codes = _mm_loadu_si128((const __m128i*)place);
        __mmask16 let_through = 0;
        for (int i = 0; i < 4; ++i) {
          const __mmask16 here = _mm_cmpeq_epi8_mask(codes, _mm_set1_epi8(char(i)));
          _mm256_storeu_si256((__m256i*)(corners[i] + m), _mm256_maskz_mov_epi16(here, entries));
          let_through |= here;
        }
        const __m512 sum = _mm512_loadu_ps(dbias + m);
        _mm512_storeu_ps(dbias + m, _mm512_mask_add_ps(sum, let_through, sum, widen(entries)));
      }
    }
}

// Writes one row of made channels, (width, 32), to `some` channels of a picture's.
void write_row(const float* made, Half* to, Index width, Index some, Index channels) {
  for (Index c = 0; c < width; ++c)
    for (Index k = 0; k < some; k += kSide)
      _mm256_storeu_si256((__m256i*)(to + c * channels + k),
                          narrow(_mm512_load_ps(made + c * kPair + k)));
}

void backward(const Half* gradient, const uint8_t* place, const float* weights, Half* dx,
              float* dbias, const Geometry& g, int threads) {
  const Product p{g.window_height, g.window_width * g.maps, g.maps, g.channels};
  const Index window = g.window_height * g.window_width;
  const auto tiles = as_tiles(p, [&](Index row, Index entry, Index channel) {
    const Index turned = window - 1 - (row * g.window_width + entry / g.maps);
    return weights[(turned * g.channels + channel) * g.maps + entry % g.maps];
  }, threads);
  const Index top = g.window_height - 1 - g.top, left = g.window_width - 1 - g.left;
  const Index width = g.width + g.window_width - 1;
  const Strip strip(width, g.width, g.height);
  std::vector<float> sums(threads * g.maps, 0.0f);
#pragma omp parallel num_threads(threads)
  {
    const Tiles unit;
    Padded maps(g.height + g.window_height - 1, width, g.maps);
    const auto made = allocate<float>(strip.pixels() * kPair);
    float* mine = sums.data() + omp_get_thread_num() * g.maps;
#pragma omp for
    for (Index i = 0; i < g.n; ++i) {
      const Index from = i * g.rows * g.columns * g.maps;
      spread(gradient + from, place + from, maps, top, left, mine, g);
      if (dx == nullptr) continue;
      for (Index pair = 0; pair < p.pairs(); ++pair) {
        const Index k = pair * kPair, some = std::min(kPair, g.channels - k);
        for (Index r = 0; r < g.height; r += strip.rows) {
          const Index rows = std::min(strip.rows, g.height - r);
          convolve_strip(maps.at(r, 0, g.maps), strip, rows,
                         tiles.get() + pair * p.tiles_a_pair() * kTile, p, some > kSide,
                         made.get());
          for (Index row = 0; row < rows; ++row)
            write_row(made.get() + row * width * kPair,
                      dx + ((i * g.height + r + row) * g.width) * g.channels + k, g.width, some,
                      g.channels);
        }
      }
    }
  }
  for (Index m = 0; m < g.maps; ++m) {
    dbias[m] = 0.0f;
    for (int t = 0; t < threads; ++t) dbias[m] += sums[t * g.maps + m];
  }
}

}  // namespace

extern "C" void block_forward(const Half* x, const float* weights, const float* bias, int rectify,
                              Half* y, uint8_t* place, const Index* geometry, int threads) {
  const Geometry g = geometry_of(geometry);
  forward(x, weights, bias, rectify, y, place, g, threads);
}

// `dx` is null where nobody asks for it.
extern "C" void block_backward(const Half* gradient, const uint8_t* place, const float* weights,
                               Half* dx, float* dbias, const Index* geometry, int threads) {
  const Geometry g = geometry_of(geometry);
  backward(gradient, place, weights, dx, dbias, g, threads);
}

#endif
