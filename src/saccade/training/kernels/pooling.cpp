// Max pooling of feature maps (N, H, W, C), the channels last in memory, over windows side by side, as
// plain loops over channels that a compiler turns into vector instructions.
//
// Entries are float32 or bfloat16, which is the upper half of a float32; both are compared as
// integers.

#include <cstdint>
#include <cstring>

namespace {

using Index = int64_t;

// Bits as a signed integer that orders like the number; what is not a number comes above all.
template <typename Key>
inline Key ordered(Key bits) {
  constexpr Key most = Key(~(Key(1) << (8 * sizeof(Key) - 1)));
  constexpr Key infinity = sizeof(Key) == 2 ? Key(0x7f80) : Key(0x7f800000);
  const Key magnitude = bits & most;
  return magnitude > infinity ? most : bits < 0 ? Key(-magnitude) : bits;
}

template <typename Key>
inline Key bits_of(Key key) {  // undoes `ordered`
  constexpr Key sign = Key(Key(1) << (8 * sizeof(Key) - 1));
  return key < 0 ? Key(-key | sign) : key;
}

constexpr int kNowhere = 255;  // the place of the largest entry in a window that the ReLU zeroed

// One row of windows of 2 × 2, the usual size, kept in registers.
template <typename Key, bool rectify>
void pool_row(const Key* __restrict x, Key* __restrict y, uint8_t* __restrict place,
              Index columns, Index row, Index channels) {
  for (Index column = 0; column < columns; ++column) {
    const Key* above = x + 2 * column * channels;
    const Key* below = above + row;
    Key* out = y + column * channels;
    uint8_t* where = place + column * channels;
#pragma omp simd
    for (Index c = 0; c < channels; ++c) {
      const Key entries[4] = {ordered(above[c]), ordered(above[c + channels]),
                              ordered(below[c]), ordered(below[c + channels])};
      Key best = rectify ? Key(0) : entries[0];
      Key code = rectify ? Key(kNowhere) : Key(0);
      for (int i = rectify ? 0 : 1; i < 4; ++i) {
        code = entries[i] > best ? Key(i) : code;
        best = entries[i] > best ? entries[i] : best;
      }
      out[c] = rectify ? best : bits_of(best);
      where[c] = uint8_t(code);
    }
  }
}

template <typename Key>
void pool(const Key* x, Key* y, uint8_t* place, Index n, Index height, Index width,
          Index channels, bool rectify, int threads) {
  const Index rows = height / 2, columns = width / 2, row = width * channels;
#pragma omp parallel for num_threads(threads)
  for (Index r = 0; r < n * rows; ++r) {
    const Key* from = x + ((r / rows) * height + (r % rows) * 2) * row;
    const Index at = r * columns * channels;
    (rectify ? pool_row<Key, true> : pool_row<Key, false>)(from, y + at, place + at, columns, row,
                                                           channels);
  }
}

template <typename Key>
void unpool(const Key* gradient, const uint8_t* place, Key* dx, Index n, Index height, Index width,
            Index channels, int threads) {
  const Index rows = height / 2, columns = width / 2, row = width * channels;
#pragma omp parallel for num_threads(threads)
  for (Index r = 0; r < n * rows; ++r) {
    Key* to = dx + ((r / rows) * height + (r % rows) * 2) * row;
    for (Index column = 0; column < columns; ++column) {
      const Key* __restrict from = gradient + (r * columns + column) * channels;
      const uint8_t* __restrict where = place + (r * columns + column) * channels;
      for (int i = 0; i < 4; ++i) {
        Key* __restrict corner = to + (i / 2) * row + (2 * column + i % 2) * channels;
#pragma omp simd
        for (Index c = 0; c < channels; ++c) corner[c] = Key(where[c]) == Key(i) ? from[c] : Key(0);
      }
    }
    const size_t rest = (width - 2 * columns) * channels * sizeof(Key);  // no window covers it
    std::memset(to + 2 * columns * channels, 0, rest);
    std::memset(to + row + 2 * columns * channels, 0, rest);
    if (height % 2 && r % rows == rows - 1) std::memset(to + 2 * row, 0, row * sizeof(Key));
  }
}

}  // namespace

#define POOLING(NAME, KEY)                                                                         \
  extern "C" void pool_##NAME(const KEY* x, KEY* y, uint8_t* place, Index n, Index height,         \
                              Index width, Index channels, int rectify, int threads) {             \
    pool(x, y, place, n, height, width, channels, rectify, threads);                               \
  }                                                                                                \
  extern "C" void unpool_##NAME(const KEY* gradient, const uint8_t* place, KEY* dx, Index n,       \
                                Index height, Index width, Index channels, int threads) {          \
    unpool(gradient, place, dx, n, height, width, channels, threads);                              \
  }

POOLING(bfloat16, int16_t)
POOLING(float32, int32_t)
