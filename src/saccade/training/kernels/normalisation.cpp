// Pixels rescaled; batch normalisation of feature maps (…, C), the channels last in memory, where
// asked with a shortcut added and a ReLU behind it; and the sums that a bias's gradient is.
//
// Sixteen channels at a time go through a block of rows, so that what belongs to a channel, its scale
// and its sums, stays in registers. Entries are float32 or bfloat16, the upper half of a float32.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace {

using Index = int64_t;
using Half = uint16_t;

constexpr Index kLanes = 16;
constexpr Index kNear = 1 << 12;  // entries of a block of rows, which stay in the nearest cache
constexpr Index kGroup = 128;     // rows that are summed in float32 before they join the sum in double

using Lanes = float __attribute__((vector_size(64)));
using Bits = uint32_t __attribute__((vector_size(64)));
using Halves = Half __attribute__((vector_size(32)));
using Bytes = uint8_t __attribute__((vector_size(16)));

// The first `n` of sixteen entries, the others zero; `n` may be a constant, which is much faster.
template <typename Count>
inline Lanes load(const float* from, Count n) {
  Lanes lanes{};
  std::memcpy(&lanes, from, n * sizeof(float));
  return lanes;
}

template <typename Count>
inline Lanes load(const Half* from, Count n) {
  Halves halves{};
  std::memcpy(&halves, from, n * sizeof(Half));
#ifdef __AVX512F__  // of the others GCC 12 makes more instructions
  return Lanes(Bits(_mm512_cvtepu16_epi32(__m256i(halves))) << 16);
#else
  return Lanes(__builtin_convertvector(halves, Bits) << 16);
#endif
}

template <typename Count>
inline Lanes load(const uint8_t* from, Count n) {
  Bytes bytes{};
  std::memcpy(&bytes, from, n);
#ifdef __AVX512F__
  return Lanes(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(__m128i(bytes))));
#else
  return __builtin_convertvector(bytes, Lanes);
#endif
}

template <typename Count>
inline void store(Lanes lanes, float* to, Count n) {
  std::memcpy(to, &lanes, n * sizeof(float));
}

template <typename Count>
inline void store(Lanes lanes, Half* to, Count n) {  // to the nearest, of two as near to the even one
#ifdef __AVX512BF16__
  const auto halves = _mm512_cvtneps_pbh(__m512(lanes));
#else
  const Bits bits = Bits(lanes);
  const Bits rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  const Bits number = Bits((bits & 0x7fffffffu) <= 0x7f800000u);
  const Bits whole = (number & rounded) | (~number & 0x7fc00000u);
  const Halves halves = __builtin_convertvector(whole >> 16, Halves);
#endif
  std::memcpy(to, &halves, n * sizeof(Half));
}

// Calls `visit(c, n, done)` for sixteen channels from `c` on, until all were visited. The last sixteen
// may hold `done` that were visited before; where there are fewer than sixteen, `n` is no constant.
template <typename Visit>
inline void each_sixteen(Index channels, Visit visit) {
  constexpr std::integral_constant<Index, kLanes> all;
  if (channels < kLanes) return visit(Index(0), channels, Index(0));
  for (Index c = 0; c + kLanes <= channels; c += kLanes) visit(c, all, Index(0));
  const Index left = channels % kLanes;
  if (left) visit(channels - kLanes, all, kLanes - left);
}

// Visits rows block by block: calls for each, and for sixteen channels at a time, `visit(from, to, c,
// n, done)`.
template <typename Visit>
inline void each_block(Index from, Index to, Index channels, Visit visit) {
  const Index block = std::max<Index>(4, kNear / channels);
  for (Index r = from; r < to; r += block)
    each_sixteen(channels, [&](Index c, auto n, Index done) {
      visit(r, std::min(to, r + block), c, n, done);
    });
}

// Sums over all rows, first (channels) then second (channels); `part(c, n)` returns what adds one row
// of those channels to both.
template <typename Part>
std::vector<double> sums(Index rows, Index channels, int threads, Part part) {
  const Index groups = (rows + kGroup - 1) / kGroup, size = 2 * channels;
  std::vector<double> all(threads * size, 0.0);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int t = 0; t < threads; ++t) {
    std::vector<float> group(size);
    double* mine = all.data() + t * size;
    for (Index g = groups * t / threads; g < groups * (t + 1) / threads; ++g) {
      std::fill(group.begin(), group.end(), 0.0f);
      const auto add_block = [&](Index from, Index to, Index c, auto n, Index done) {
        const auto add = part(c, n);
        Lanes first{}, second{};
        for (Index r = from; r < to; ++r) add(r, first, second);
        float* sum = &group[c];
        for (Index i = done; i < n; ++i) sum[i] += first[i], sum[channels + i] += second[i];
      };
      each_block(g * kGroup, std::min(rows, (g + 1) * kGroup), channels, add_block);
      for (Index i = 0; i < size; ++i) mine[i] += group[i];
    }
  }
  for (int t = 1; t < threads; ++t)
    for (Index i = 0; i < size; ++i) all[i] += all[t * size + i];
  all.resize(size);
  return all;
}

// Calls for every row what `part(c, n)` returns for those channels.
template <typename Part>
void each_row(Index rows, Index channels, int threads, Part part) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int t = 0; t < threads; ++t)
    each_block(rows * t / threads, rows * (t + 1) / threads, channels,
               [&](Index from, Index to, Index c, auto n, Index) {
                 const auto visit = part(c, n);
                 for (Index r = from; r < to; ++r) visit(r);
               });
}

template <typename Entry>
void moments(const Entry* x, float* mean, float* variance, Index rows, Index channels,
             int threads) {
  // Around the first row, which is near the mean, so that the squares hold no large common part.
  const auto found = sums(rows, channels, threads, [&](Index c, auto n) {
    const Lanes pivot = load(x + c, n);
    return [=](Index r, Lanes& first, Lanes& second) {
      const Lanes value = load(x + r * channels + c, n) - pivot;
      first += value;
      second += value * value;
    };
  });
  std::vector<float> pivot(channels);
  each_sixteen(channels, [&](Index c, auto n, Index) { store(load(x + c, n), &pivot[c], n); });
  for (Index c = 0; c < channels; ++c) {
    const double shift = found[c] / rows;
    mean[c] = float(pivot[c] + shift);
    variance[c] = float(std::max(0.0, found[channels + c] / rows - shift * shift));
  }
}

// What normalising does to each channel: x · scale + offset.
struct Affine {
  std::vector<float> scale, offset;

  Affine(const float* mean, const float* variance, const float* gamma, const float* beta,
         float epsilon, Index channels)
      : scale(channels), offset(channels) {
    for (Index c = 0; c < channels; ++c) {
      scale[c] = gamma[c] / std::sqrt(variance[c] + epsilon);
      offset[c] = beta[c] - mean[c] * scale[c];
    }
  }
};

inline Lanes floor_of(bool rectify) { return Lanes{} + (rectify ? 0.0f : -INFINITY); }

// `shortcut` may be null.
template <typename Entry>
void normalise(const Entry* x, const Entry* shortcut, Entry* y, const Affine& by, Index rows,
               Index channels, bool rectify, int threads) {
  const Lanes floor = floor_of(rectify);
  each_row(rows, channels, threads, [&](Index c, auto n) {
    const Lanes scale = load(&by.scale[c], n), offset = load(&by.offset[c], n);
    return [=](Index r) {
      Lanes value = load(x + r * channels + c, n) * scale + offset;
      if (shortcut) value += load(shortcut + r * channels + c, n);
      store(value < floor ? floor : value, y + r * channels + c, n);
    };
  });
}

// With x̂ = (x - mean) / √(variance + ε) and g the gradient that reaches it:
// dβ = Σ g, dγ = Σ g·x̂, dx = γ / √(variance + ε) · (g - dβ / rows - x̂ · dγ / rows).
// g is what `reaching(c, n)` returns for a value and its row, and from then on `again(c, n)`.
template <typename Entry, typename Reaching, typename Again>
void unnormalise(const Entry* x, Entry* dx, const float* mean, const float* variance,
                 const Affine& by, float* dgamma, float* dbeta, float epsilon, Index rows,
                 Index channels, int threads, Reaching reaching, Again again) {
  // Around the mean, which x̂ is proportional to.
  const auto found = sums(rows, channels, threads, [&](Index c, auto n) {
    const auto reaches = reaching(c, n);
    const Lanes centre = load(mean + c, n);
    return [=](Index r, Lanes& first, Lanes& second) {
      const Lanes value = load(x + r * channels + c, n), g = reaches(value, r);
      first += g;
      second += g * (value - centre);
    };
  });
  std::vector<float> slope(channels), bias(channels);  // dx = scale · g - (x - mean) · slope - bias
  for (Index c = 0; c < channels; ++c) {
    const double inverse = 1.0 / std::sqrt(variance[c] + epsilon);
    dbeta[c] = float(found[c]);
    dgamma[c] = float(found[channels + c] * inverse);
    slope[c] = float(by.scale[c] * found[channels + c] * inverse * inverse / rows);
    bias[c] = float(by.scale[c] * found[c] / rows);
  }
  each_row(rows, channels, threads, [&](Index c, auto n) {
    const auto reaches = again(c, n);
    const Lanes centre = load(mean + c, n), scale = load(&by.scale[c], n);
    const Lanes a = load(&slope[c], n), b = load(&bias[c], n);
    return [=](Index r) {
      const Lanes value = load(x + r * channels + c, n);
      store(scale * reaches(value, r) - (value - centre) * a - b, dx + r * channels + c, n);
    };
  });
}

// The gradient where the ReLU behind the normalised values, if there is one, let them through.
template <typename Entry>
auto let_through(const Entry* gradient, const Affine& by, Index channels, bool rectify) {
  const Lanes floor = floor_of(rectify);
  return [=, &by](Index c, auto n) {
    const Lanes scale = load(&by.scale[c], n), offset = load(&by.offset[c], n);
    return [=](Lanes value, Index r) {
      const Lanes g = load(gradient + r * channels + c, n);
      return value * scale + offset <= floor ? Lanes{} : g;
    };
  };
}

// The gradient where the ReLU behind a sum let that through, as it did where `y` is positive; written
// to `passed`, which is the gradient of the shortcut too.
template <typename Entry>
auto let_pass(const Entry* gradient, const Entry* y, Entry* passed, Index channels) {
  return [=](Index c, auto n) {
    return [=](Lanes, Index r) {
      const Index place = r * channels + c;
      const Lanes g = load(y + place, n) <= Lanes{} ? Lanes{} : load(gradient + place, n);
      store(g, passed + place, n);
      return g;
    };
  };
}

// Pixels as x · scale + offset, which bfloat16 rounds.
template <typename Entry>
void rescale(const Entry* x, Half* y, float scale, float offset, Index n, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (Index from = 0; from < n; from += kNear) {
    const Index to = std::min(n, from + kNear), whole = from + (to - from) / kLanes * kLanes;
    const auto rescaled = [=](Index i, auto count) {
      store(load(x + i, count) * scale + offset, y + i, count);
    };
    for (Index i = from; i < whole; i += kLanes)
      rescaled(i, std::integral_constant<Index, kLanes>());
    if (whole < to) rescaled(whole, to - whole);
  }
}

}  // namespace

extern "C" void rescale_uint8(const uint8_t* x, Half* y, float scale, float offset, Index n,
                              int threads) {
  rescale(x, y, scale, offset, n, threads);
}

extern "C" void rescale_float32(const float* x, Half* y, float scale, float offset, Index n,
                                int threads) {
  rescale(x, y, scale, offset, n, threads);
}

// The sums of maps over all places, which is the gradient of a convolution's bias.
extern "C" void sums_of_maps(const Half* x, float* to, Index rows, Index channels, int threads) {
  const auto found = sums(rows, channels, threads, [&](Index c, auto n) {
    return [=](Index r, Lanes& first, Lanes&) { first += load(x + r * channels + c, n); };
  });
  std::copy(found.begin(), found.begin() + channels, to);
}

#define NORMALISATION(NAME, ENTRY)                                                                 \
  extern "C" void normalise_##NAME(const ENTRY* x, const ENTRY* shortcut, ENTRY* y, float* mean,   \
                                   float* variance, const float* gamma, const float* beta,         \
                                   float epsilon, Index rows, Index channels, int rectify,         \
                                   int threads) {                                                  \
    moments(x, mean, variance, rows, channels, threads);                                           \
    const Affine by(mean, variance, gamma, beta, epsilon, channels);                               \
    normalise(x, shortcut, y, by, rows, channels, rectify, threads);                               \
  }                                                                                                \
  extern "C" void renormalise_##NAME(const ENTRY* x, const ENTRY* shortcut, ENTRY* y,              \
                                     const float* mean, const float* variance, const float* gamma, \
                                     const float* beta, float epsilon, Index rows, Index channels, \
                                     int rectify, int threads) {                                   \
    const Affine by(mean, variance, gamma, beta, epsilon, channels);                               \
    normalise(x, shortcut, y, by, rows, channels, rectify, threads);                               \
  }                                                                                                \
  extern "C" void unnormalise_##NAME(const ENTRY* gradient, const ENTRY* x, ENTRY* dx,             \
                                     const float* mean, const float* variance, const float* gamma, \
                                     const float* beta, float* dgamma, float* dbeta,               \
                                     float epsilon, Index rows, Index channels, int rectify,       \
                                     int threads) {                                                \
    const Affine by(mean, variance, gamma, beta, epsilon, channels);                               \
    const auto through = let_through(gradient, by, channels, rectify);                             \
    unnormalise(x, dx, mean, variance, by, dgamma, dbeta, epsilon, rows, channels, threads,        \
                through, through);                                                                 \
  }                                                                                                \
  extern "C" void unnormalise_rectified_sum_##NAME(                                                \
      const ENTRY* gradient, const ENTRY* y, ENTRY* passed, const ENTRY* x, ENTRY* dx,             \
      const float* mean, const float* variance, const float* gamma, const float* beta,             \
      float* dgamma, float* dbeta, float epsilon, Index rows, Index channels, int threads) {       \
    const Affine by(mean, variance, gamma, beta, epsilon, channels);                               \
    unnormalise(x, dx, mean, variance, by, dgamma, dbeta, epsilon, rows, channels, threads,        \
                let_pass(gradient, y, passed, channels),                                           \
                let_through(passed, by, channels, false));                                         \
  }

NORMALISATION(bfloat16, Half)
NORMALISATION(float32, float)
