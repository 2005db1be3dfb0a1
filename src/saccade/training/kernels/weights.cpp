// The gradient of a convolution's weights, stride 1, by tiles of bfloat16 (see tiles.h).
//
// An entry of it sums a product over every pixel of every picture. Summed along the pixels, as is
// usual, operands shifted against one another by the window lie unaligned, and small maps are
// mostly border. Summed along the pictures, 32 of them to a product, a shift picks another tile and
// nothing else: each picture's entry at one pixel and channel lies beside the next picture's.
//
// Both operands are first laid out as tiles, pixel by pixel: the pictures' channels in rows of 32
// pictures, the gradients as pairs of pictures (see tiles.h). That is done for a band of rows of 32
// pictures at a time, which stays in the nearer cache until every shift of the window, and every
// pair of channel and map, has been summed. Each thread has sums of its own for its bands, always
// the same ones, so that a step can be repeated to the bit. Products are of bfloat16, sums float32.

#include <cstdint>

#if defined(__AVX512BF16__) && defined(__linux__)

#include <omp.h>

#include <algorithm>
#include <cstring>

#include "tiles.h"

namespace {

constexpr Index kPictures = 32;          // that one product sums over
constexpr Index kPair = 2;               // tiles of channels, and of maps, summed at a time
constexpr Index kBandBytes = 1 << 20;    // of tiles that stay in the nearer cache
constexpr Index kBandsAThread = 2;       // at least, so that no thread is idle for long

// Lays rows `first` to `last` of a block of pictures (height, width, channels) out as tiles:
// (channels / 16, pixels) of them.
template <bool kTransposed>
void as_tiles(const Half* from, Half* to, Index n, Index height, Index width, Index channels,
              Index block, Index first, Index last) {
  const Index pixels = (last - first) * width, step = height * width * channels;
  for (Index p = 0; p < pixels; ++p)
    for (Index c = 0; c < channels; c += kSide) {
      __m512i row[16];
      const Index picture = block * kPictures;
      load_pairs(from + picture * step + (first * width + p) * channels + c, step, n - picture,
                 0xffff, row);
      if (kTransposed) transpose(row);
      Half* tile = to + (c / kSide * pixels + p) * kTile;
      for (Index j = 0; j < 16; ++j) _mm512_store_si512(tile + j * 32, row[j]);
    }
}

// The same of the gradient of maps that were pooled by 2 × 2 windows, for a band that begins with a
// row of windows: from the gradient of the pooled maps, and the place of each largest entry.
void spread_as_tiles(const Half* from, const uint8_t* place, Half* to, const Geometry& g,
                     const Band& band) {
  const Index rows = g.rows / 2, columns = g.columns / 2, step = rows * columns * g.maps;
  const Index plane = (band.to - band.from) * g.columns * kTile;
  if (g.rows % 2 || g.columns % 2)  // what no window covers
    std::memset(to, 0, g.maps / kSide * plane * sizeof(Half));
  for (Index r = band.from / 2; r < std::min(rows, band.to / 2); ++r)
    for (Index c = 0; c < columns; ++c)
      for (Index m = 0; m < g.maps; m += kSide) {
        Half* corner =
            to + m / kSide * plane + ((2 * r - band.from) * g.columns + 2 * c) * kTile;
        Half* corners[] = {corner, corner + kTile, corner + g.columns * kTile,
                           corner + (g.columns + 1) * kTile};
        for (Index j = 0; j < 16; ++j) {
          __m512i pairs[4] = {};
          for (Index second = 0; second < 2; ++second) {
            const Index picture = band.block * kPictures + 2 * j + second;
            if (picture >= g.n) continue;
            const Index at = picture * step + (r * columns + c) * g.maps + m;
            const auto entries = _mm256_loadu_si256((const __m256i*)(from + at));
            const auto codes = _mm_loadu_si128((const __m128i*)(place + at));
            __m512i wide = _mm512_cvtepu16_epi32(entries);
            if (second) wide = _mm512_slli_epi32(wide, 16);
            for (int i = 0; i < 4; ++i) {
              const __mmask16 here = _mm_cmpeq_epi8_mask(codes, _mm_set1_epi8(char(i)));
              pairs[i] = _mm512_or_si512(pairs[i], _mm512_maskz_mov_epi32(here, wide));
            }
          }
          for (int i = 0; i < 4; ++i) _mm512_store_si512(corners[i] + j * 32, pairs[i]);
        }
      }
}

// Adds to 2 × 2 tiles of sums (or fewer, `kWide` and `kTall` say) one band at one shift.
template <int kTall, int kWide>
void add_band(const Half* x, const Half* gradient, float* sums, const Geometry& g,
              const Band& band, Index y, Index z) {
  const Index next_x = (band.last - band.first) * g.width * kTile;
  const Index next_gradient = (band.to - band.from) * g.columns * kTile;
  const Index left = std::max<Index>(0, g.left - z);
  const Index right = std::min(g.columns, g.width + g.left - z);
  const Index from = std::max(band.from, g.top - y);
  const Index to = std::min(band.to, g.height + g.top - y);
  if (from >= to || left >= right) return;
  load_sums(0, sums, 64);
  if (kWide > 1) load_sums(1, sums + 256, 64);
  if (kTall > 1) load_sums(2, sums + 512, 64);
  if (kTall > 1 && kWide > 1) load_sums(3, sums + 768, 64);
  for (Index r = from; r < to; ++r) {
    const Half* a =
        x + ((r + y - g.top - band.first) * g.width + left + z - g.left) * kTile;
    const Half* b = gradient + ((r - band.from) * g.columns + left) * kTile;
    for (Index c = left; c < right; ++c, a += kTile, b += kTile) {
      load_tile(4, a, 64);
      load_tile(6, b, 64);
      multiply_tiles(0, 4, 6);
      if (kWide > 1) load_tile(7, b + next_gradient, 64);
      if (kWide > 1) multiply_tiles(1, 4, 7);
      if (kTall > 1) load_tile(5, a + next_x, 64);
      if (kTall > 1) multiply_tiles(2, 5, 6);
      if (kTall > 1 && kWide > 1) multiply_tiles(3, 5, 7);
    }
  }
  store_tile(0, sums, 64);
  if (kWide > 1) store_tile(1, sums + 256, 64);
  if (kTall > 1) store_tile(2, sums + 512, 64);
  if (kTall > 1 && kWide > 1) store_tile(3, sums + 768, 64);
}

// All of the window's sums over a band, for 32 channels and 32 maps, or for 16 where no more are
// left.
template <int kTall, int kWide>
void sum_pair(const Half* x, const Half* gradient, float* sums, const Geometry& g,
              const Band& band) {
  for (Index y = 0; y < g.window_height; ++y)
    for (Index z = 0; z < g.window_width; ++z)
      add_band<kTall, kWide>(x, gradient, sums + (y * g.window_width + z) * 1024, g, band, y, z);
}

// The pairs of 32 channels and 32 maps, or of 16 where no more are left.
struct Pairs {
  Index tall, wide, size;  // how many each way, and the entries of one pair's sums

  explicit Pairs(const Geometry& g)
      : tall((g.channels / kSide + 1) / kPair),
        wide((g.maps / kSide + 1) / kPair),
        size(g.window_height * g.window_width * 1024) {}
};

void add_all(const Half* x, const Half* gradient, float* sums, const Geometry& g,
             const Band& band) {
  const Pairs pairs(g);
  for (Index pair = 0; pair < pairs.tall * pairs.wide; ++pair, sums += pairs.size) {
    const Index channel = pair / pairs.wide * kPair, map = pair % pairs.wide * kPair;
    const bool two = channel + 1 < g.channels / kSide, both = map + 1 < g.maps / kSide;
    (two ? both ? sum_pair<2, 2> : sum_pair<2, 1> : both ? sum_pair<1, 2> : sum_pair<1, 1>)(
        x + channel * (band.last - band.first) * g.width * kTile,
        gradient + map * (band.to - band.from) * g.columns * kTile, sums, g, band);
  }
}

void write(const float* sums, float* dweights, const Geometry& g, Index pair) {
  const Pairs pairs(g);
  const Index channel = pair / pairs.wide * kPair * kSide, map = pair % pairs.wide * kPair * kSide;
  for (Index w = 0; w < g.window_height * g.window_width; ++w)
    for (Index i = 0; i < std::min(kPair * kSide, g.channels - channel); ++i)
      for (Index j = 0; j < std::min(kPair, (g.maps - map) / kSide); ++j)
        std::memcpy(dweights + (w * g.channels + channel + i) * g.maps + map + j * kSide,
                    sums + w * 1024 + (i / kSide * 2 + j) * 256 + i % kSide * kSide, 64);
}

// How many rows of the maps a band has: an even number, for windows of two.
Index rows_of(const Geometry& g, Index blocks, int threads) {
  const Index row = (g.columns * g.maps + g.width * g.channels) * kPictures * sizeof(Half);
  const Index bands = (kBandsAThread * threads + blocks - 1) / blocks;
  const Index most = std::min(kBandBytes / row, (g.rows + bands - 1) / bands);
  return std::max<Index>(2, most / 2 * 2);
}

// `lay` lays a band of the gradient of the maps out as tiles, into the memory that it is given.
template <typename Lay>
void gradient_of_weights(const Half* x, Lay lay, float* dweights, const Geometry& g, int threads) {
  const Index blocks = ceiling(g.n, kPictures), rows = rows_of(g, blocks, threads);
  const Index bands = (g.rows + rows - 1) / rows;
  const Index under = std::min(g.height, rows + g.window_height - 1);
  const Pairs pairs(g);
  const Index size = pairs.tall * pairs.wide * pairs.size;
  const auto sums = allocate<float>(threads * size);
#pragma omp parallel num_threads(threads)
  {
    const Tiles unit;
    const auto xs = allocate<Half>(under * g.width * g.channels * kPictures);
    const auto gradients = allocate<Half>(rows * g.columns * g.maps * kPictures);
    float* mine = sums.get() + omp_get_thread_num() * size;
    std::memset(mine, 0, size * sizeof(float));
#pragma omp for schedule(static)
    for (Index task = 0; task < blocks * bands; ++task) {
      const Band band = band_at(task, bands, rows, g);
      if (band.first >= band.last) continue;
      as_tiles<true>(x, xs.get(), g.n, g.height, g.width, g.channels, band.block, band.first,
                     band.last);
      lay(gradients.get(), band);
      add_all(xs.get(), gradients.get(), mine, g, band);
    }
#pragma omp for schedule(static)
    for (Index pair = 0; pair < pairs.tall * pairs.wide; ++pair) {
      float* total = sums.get() + pair * pairs.size;
      for (int t = 1; t < omp_get_num_threads(); ++t)
        for (Index k = 0; k < pairs.size; ++k) total[k] += total[t * size + k];
      write(total, dweights, g, pair);
    }
  }
}

}  // namespace

extern "C" void convolution_weights(const Half* x, const Half* gradient, float* dweights,
                                    const Index* geometry, int threads) {
  const Geometry g = geometry_of(geometry);
  const auto lay = [&](Half* to, const Band& band) {
    as_tiles<false>(gradient, to, g.n, g.rows, g.columns, g.maps, band.block, band.from, band.to);
  };
  gradient_of_weights(x, lay, dweights, g, threads);
}

extern "C" void block_weights(const Half* x, const Half* gradient, const uint8_t* place,
                              float* dweights, const Index* geometry, int threads) {
  const Geometry g = geometry_of(geometry);
  const auto lay = [&](Half* to, const Band& band) {
    spread_as_tiles(gradient, place, to, g, band);
  };
  gradient_of_weights(x, lay, dweights, g, threads);
}

#endif
