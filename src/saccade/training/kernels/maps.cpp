// Max pooling and batch normalisation of feature maps (N, H, W, C), the channels last in memory, as
// plain loops over channels that a compiler turns into vector instructions. Each passes over its
// maps as seldom as it can, since a small network's training step waits for memory, not arithmetic.
//
// Entries are float32 or bfloat16, which is the upper half of a float32.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

using Index = int64_t;
using Half = uint16_t;

inline float widen(float value) { return value; }

inline float widen(Half value) {
  const uint32_t bits = uint32_t(value) << 16;
  float wide;
  std::memcpy(&wide, &bits, sizeof wide);
  return wide;
}

inline void narrow(float value, float* to) { *to = value; }

inline void narrow(float value, Half* to) {  // to the nearest, of two as near to the even one
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  const bool number = (bits & 0x7fffffffu) <= 0x7f800000u;
  *to = Half((number ? rounded : 0x7fc00000u) >> 16);
}

// ---- max pooling over windows side by side ------------------------------------------------------

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

// ---- batch normalisation, with a ReLU behind it where asked -------------------------------------

constexpr Index kBlock = 128;  // rows that are summed in float32 before they join the sum in double

// Calls `visit(from, to, sums)` for blocks of rows, and adds up what each left in `sums`.
template <typename Visit>
std::vector<double> sum_over(Index rows, Index width, int threads, Visit visit) {
  std::vector<std::vector<double>> parts(threads);
  const Index blocks = (rows + kBlock - 1) / kBlock;
  std::vector<double> total(width, 0.0);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int part = 0; part < threads; ++part) {
    std::vector<double> sum(width, 0.0);
    std::vector<float> block(width);
    for (Index b = blocks * part / threads; b < blocks * (part + 1) / threads; ++b) {
      std::fill(block.begin(), block.end(), 0.0f);
      visit(b * kBlock, std::min(rows, (b + 1) * kBlock), block.data());
      for (Index i = 0; i < width; ++i) sum[i] += block[i];
    }
    parts[part] = std::move(sum);
  }
  for (const auto& sum : parts)
    for (Index i = 0; i < width; ++i) total[i] += sum[i];
  return total;
}

template <typename Entry>
void moments(const Entry* x, float* mean, float* variance, Index rows, Index channels,
             int threads) {
  // Around the first row, which is near the mean, so that the squares hold no large common part.
  std::vector<float> pivot(channels);
  for (Index c = 0; c < channels; ++c) pivot[c] = widen(x[c]);
  const auto sums = sum_over(rows, 2 * channels, threads, [&](Index from, Index to, float* sum) {
    const float* __restrict around = pivot.data();
    float* __restrict first = sum;
    float* __restrict second = sum + channels;
    for (Index r = from; r < to; ++r) {
      const Entry* __restrict row = x + r * channels;
#pragma omp simd
      for (Index c = 0; c < channels; ++c) {
        const float value = widen(row[c]) - around[c];
        first[c] += value;
        second[c] += value * value;
      }
    }
  });
  for (Index c = 0; c < channels; ++c) {
    const double shift = sums[c] / rows;
    mean[c] = float(pivot[c] + shift);
    variance[c] = float(std::max(0.0, sums[channels + c] / rows - shift * shift));
  }
}

template <typename Entry>
void normalise(const Entry* x, Entry* y, const float* mean, const float* variance,
               const float* gamma, const float* beta, float epsilon, Index rows, Index channels,
               bool rectify, int threads) {
  std::vector<float> scale(channels), offset(channels);
  for (Index c = 0; c < channels; ++c) {
    scale[c] = gamma[c] / std::sqrt(variance[c] + epsilon);
    offset[c] = beta[c] - mean[c] * scale[c];
  }
  const float floor = rectify ? 0.0f : -INFINITY;
#pragma omp parallel for num_threads(threads)
  for (Index r = 0; r < rows; ++r) {
    const Entry* __restrict from = x + r * channels;
    Entry* __restrict to = y + r * channels;
    const float* __restrict a = scale.data();
    const float* __restrict b = offset.data();
#pragma omp simd
    for (Index c = 0; c < channels; ++c) {
      const float value = widen(from[c]) * a[c] + b[c];
      narrow(value < floor ? floor : value, to + c);
    }
  }
}

// With x̂ = (x - mean) / √(variance + ε) and g the gradient where the ReLU let through:
// dβ = Σ g, dγ = Σ g·x̂, dx = γ / √(variance + ε) · (g - dβ / rows - x̂ · dγ / rows).
template <typename Entry>
void unnormalise(const Entry* gradient, const Entry* x, Entry* dx, const float* mean,
                 const float* variance, const float* gamma, const float* beta, float* dgamma,
                 float* dbeta, float epsilon, Index rows, Index channels, bool rectify,
                 int threads) {
  std::vector<float> inverse(channels), centre(channels);
  for (Index c = 0; c < channels; ++c) {
    inverse[c] = 1.0f / std::sqrt(variance[c] + epsilon);
    centre[c] = mean[c] * inverse[c];
  }
  const float floor = rectify ? 0.0f : -INFINITY;
  const float* __restrict scale = inverse.data();
  const float* __restrict shift = centre.data();
  const auto sums = sum_over(rows, 2 * channels, threads, [&](Index from, Index to, float* sum) {
    float* __restrict first = sum;
    float* __restrict second = sum + channels;
    for (Index r = from; r < to; ++r) {
      const Entry* __restrict row = x + r * channels;
      const Entry* __restrict incoming = gradient + r * channels;
#pragma omp simd
      for (Index c = 0; c < channels; ++c) {
        const float unit = widen(row[c]) * scale[c] - shift[c];
        const float g = unit * gamma[c] + beta[c] <= floor ? 0.0f : widen(incoming[c]);
        first[c] += g;
        second[c] += g * unit;
      }
    }
  });
  std::vector<float> bias(channels), slope(channels), factor(channels);
  for (Index c = 0; c < channels; ++c) {
    dbeta[c] = float(sums[c]);
    dgamma[c] = float(sums[channels + c]);
    bias[c] = float(sums[c] / rows);
    slope[c] = float(sums[channels + c] / rows);
    factor[c] = gamma[c] * inverse[c];
  }
#pragma omp parallel for num_threads(threads)
  for (Index r = 0; r < rows; ++r) {
    const Entry* __restrict row = x + r * channels;
    const Entry* __restrict incoming = gradient + r * channels;
    Entry* __restrict to = dx + r * channels;
    const float* __restrict first = bias.data();
    const float* __restrict second = slope.data();
    const float* __restrict by = factor.data();
#pragma omp simd
    for (Index c = 0; c < channels; ++c) {
      const float unit = widen(row[c]) * scale[c] - shift[c];
      const float g = unit * gamma[c] + beta[c] <= floor ? 0.0f : widen(incoming[c]);
      narrow(by[c] * (g - first[c] - unit * second[c]), to + c);
    }
  }
}

}  // namespace

// The sums of maps over all places, which is the gradient of a convolution's bias.
extern "C" void sums_of_maps(const Half* x, float* sums, Index rows, Index channels, int threads) {
  const auto total = sum_over(rows, channels, threads, [&](Index from, Index to, float* sum) {
    for (Index r = from; r < to; ++r) {
      const Half* __restrict row = x + r * channels;
      float* __restrict into = sum;
#pragma omp simd
      for (Index c = 0; c < channels; ++c) into[c] += widen(row[c]);
    }
  });
  for (Index c = 0; c < channels; ++c) sums[c] = float(total[c]);
}

#define POOLING(NAME, KEY)                                                                         \
  extern "C" void pool_##NAME(const KEY* x, KEY* y, uint8_t* place, Index n, Index height,         \
                              Index width, Index channels, int rectify, int threads) {             \
    pool(x, y, place, n, height, width, channels, rectify, threads);                               \
  }                                                                                                \
  extern "C" void unpool_##NAME(const KEY* gradient, const uint8_t* place, KEY* dx, Index n,       \
                                Index height, Index width, Index channels, int threads) {          \
    unpool(gradient, place, dx, n, height, width, channels, threads);                              \
  }

#define NORMALISATION(NAME, ENTRY)                                                                 \
  extern "C" void normalise_##NAME(const ENTRY* x, ENTRY* y, float* mean, float* variance,         \
                                   const float* gamma, const float* beta, float epsilon,           \
                                   Index rows, Index channels, int rectify, int threads) {         \
    moments(x, mean, variance, rows, channels, threads);                                           \
    normalise(x, y, mean, variance, gamma, beta, epsilon, rows, channels, rectify, threads);       \
  }                                                                                                \
  extern "C" void unnormalise_##NAME(const ENTRY* gradient, const ENTRY* x, ENTRY* dx,             \
                                     const float* mean, const float* variance, const float* gamma, \
                                     const float* beta, float* dgamma, float* dbeta,               \
                                     float epsilon, Index rows, Index channels, int rectify,       \
                                     int threads) {                                                \
    unnormalise(gradient, x, dx, mean, variance, gamma, beta, dgamma, dbeta, epsilon, rows,        \
                channels, rectify, threads);                                                       \
  }

POOLING(bfloat16, int16_t)
POOLING(float32, int32_t)
NORMALISATION(bfloat16, Half)
NORMALISATION(float32, float)
