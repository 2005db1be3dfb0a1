// A dense layer, y = x · W + b, with a ReLU behind it where asked, and its gradients.
//
// Its weights are many and a batch's pictures few, so memory is what it waits for. The weights are
// read as they lie, in float32, and rounded to bfloat16 a few tiles at a time in the nearest cache;
// nothing of their size is written but their gradient, in float32, as it is summed. Forward, the
// threads share out the inputs, and each adds up outputs of its own; backward, one pass over the
// weights makes both gradients, and a thread's inputs are its alone. Products are of bfloat16,
// added up in float32, by tiles (see tiles.h).

#include <cstdint>

#if defined(__AVX512BF16__) && defined(__linux__)

#include <omp.h>

#include <algorithm>
#include <cstring>

#include "products.h"

namespace {

constexpr Index kSteps = 16;               // products whose tiles stay in the nearest cache
constexpr Index kWorthThreads = 1 << 14;   // weights
constexpr Index kStayNear = 1 << 20;       // weights whose gradient the caches keep for the optimizer

struct Layer {
  Index n, inputs, units;

  Index pictures() const { return ceiling(n, kPair); }  // in pairs of tiles, as are all below
  Index maps() const { return ceiling(units, kPair); }
  Index steps() const { return ceiling(inputs, kEntries); }
  int threads(int most) const { return inputs * units < kWorthThreads ? 1 : most; }
};

// One thread's share of the products forward: `from` to `to` of the steps, into sums of its own.
void add_inputs(const Half* x, const float* weights, const Layer& l, Index from, Index to,
                float* sums) {
  const auto pictures = allocate<Half>(l.pictures() * kSteps * kTwo);
  const auto columns = allocate<Half>(kSteps * kTwo);
  for (Index first = from; first < to; first += kSteps) {
    const Index steps = std::min(kSteps, to - first);
    for (Index i = 0; i < l.pictures(); ++i)
      for (Index s = 0; s < steps; ++s) {
        const Index k = (first + s) * kEntries;
        as_rows(x + i * kPair * l.inputs + k, l.inputs, l.n - i * kPair, l.inputs - k,
                &pictures[(i * steps + s) * kTwo]);
      }
    for (Index j = 0; j < l.maps(); ++j) {
      for (Index s = 0; s < steps; ++s) {
        const Index k = (first + s) * kEntries;
        weights_as_pairs(weights + k * l.units + j * kPair, l.units, l.inputs - k,
                         l.units - j * kPair, &columns[s * kTwo]);
      }
      for (Index i = 0; i < l.pictures(); ++i)
        add(&pictures[i * steps * kTwo], columns.get(), steps, first == from,
            sums + (i * l.maps() + j) * kSums);
    }
  }
}

// One row of 32 units or fewer, from the sums of all threads, `next` apart.
void finish(const float* sums, Index next, int parts, const float* bias, bool rectify, Half* y,
            Index there) {
  __m512 halves[2];
  for (int h = 0; h < 2; ++h) {
    const __mmask16 mask = first16(there - h * kSide);
    __m512 sum = _mm512_maskz_loadu_ps(mask, bias + h * kSide);
    for (int t = 0; t < parts; ++t)
      sum = _mm512_add_ps(sum, _mm512_load_ps(sums + t * next + h * kSide));
    const __mmask16 zeroed = _mm512_cmp_ps_mask(sum, _mm512_setzero_ps(), _CMP_LE_OQ);
    halves[h] = rectify ? _mm512_mask_mov_ps(sum, zeroed, _mm512_setzero_ps()) : sum;
  }
  _mm512_mask_storeu_epi16(y, first32(there), round(halves[0], halves[1]));
}

void forward(const Half* x, const float* weights, const float* bias, bool rectify, Half* y,
             const Layer& l, int threads) {
  const Index size = l.pictures() * l.maps() * kSums;
  const int parts = int(std::min<Index>(threads, l.steps()));
  const auto sums = allocate<float>(parts * size);
#pragma omp parallel num_threads(threads)
  {
    const Tiles unit;
#pragma omp for schedule(static)
    for (int t = 0; t < parts; ++t)
      add_inputs(x, weights, l, l.steps() * t / parts, l.steps() * (t + 1) / parts,
                 sums.get() + t * size);
#pragma omp for schedule(static)
    for (Index p = 0; p < l.n; ++p)
      for (Index j = 0; j < l.maps(); ++j)
        finish(sums.get() + (p / kPair * l.maps() + j) * kSums + p % kPair * kPair, size, parts,
               bias + j * kPair, rectify, y + p * l.units + j * kPair, l.units - j * kPair);
  }
}

// What the ReLU let through of 16 units' gradient, and its sum, which is the bias's gradient.
void let_through(const Half* gradient, const Half* y, Half* to, float* dbias, const Layer& l,
                 Index m) {
  const __mmask16 there = first16(l.units - m);
  __m512 sum = _mm512_setzero_ps();
  for (Index p = 0; p < l.n; ++p) {
    const Index at = p * l.units + m;
    __mmask16 passed = there;
    if (y != nullptr) {
      const __m512 out = widen(_mm256_maskz_loadu_epi16(there, y + at));
      passed = _mm512_mask_cmp_ps_mask(there, out, _mm512_setzero_ps(), _CMP_NLE_UQ);
    }
    const __m256i entries = _mm256_maskz_loadu_epi16(passed, gradient + at);
    _mm256_mask_storeu_epi16(to + at, there, entries);
    sum = _mm512_add_ps(sum, widen(entries));
  }
  _mm512_mask_storeu_ps(dbias + m, there, sum);
}

// The gradient of the outputs as tiles: (pictures, maps) by rows, (maps, pictures) by pairs.
struct Gradient {
  std::unique_ptr<Half[], Free> entries, rows, pairs;

  explicit Gradient(const Layer& l)
      : entries(allocate<Half>(l.n * l.units)),
        rows(allocate<Half>(l.pictures() * l.maps() * kTwo)),
        pairs(allocate<Half>(l.pictures() * l.maps() * kTwo)) {}

  void lay(const Layer& l, Index i, Index j) {
    const Half* from = &entries[i * kPair * l.units + j * kPair];
    const Index there = l.n - i * kPair, columns = l.units - j * kPair;
    as_rows(from, l.units, there, columns, &rows[(i * l.maps() + j) * kTwo]);
    as_pairs(from, l.units, there, columns, false, &pairs[(j * l.pictures() + i) * kTwo]);
  }
};

// The gradient of 32 inputs from `k` on, by the weights that read them.
void write_inputs(const Gradient& g, const float* weights, Half* dx, const Layer& l, Index k,
                  Half* turned, float* sums) {
  for (Index j = 0; j < l.maps(); ++j)
    weights_turned(weights + k * l.units + j * kPair, l.units, l.inputs - k, l.units - j * kPair,
                   turned + j * kTwo);
  for (Index i = 0; i < l.pictures(); ++i) {
    add(&g.rows[i * l.maps() * kTwo], turned, l.maps(), true, sums);
    for (Index r = 0; r < std::min(kPair, l.n - i * kPair); ++r)
      _mm512_mask_storeu_epi16(dx + (i * kPair + r) * l.inputs + k, first32(l.inputs - k),
                               round(_mm512_load_ps(sums + r * kPair),
                                     _mm512_load_ps(sums + r * kPair + kSide)));
  }
}

// The gradient of the weights that read 32 inputs from `k` on. Where there are many, they are written
// past the caches, which would read each line first, and have lost it when the optimizer comes.
void write_weights(const Gradient& g, const Half* x, float* dweights, const Layer& l, Index k,
                   Half* pictures, float* sums) {
  const bool past = l.inputs * l.units > kStayNear && l.units % kSide == 0;
  for (Index i = 0; i < l.pictures(); ++i)
    as_pairs(x + i * kPair * l.inputs + k, l.inputs, l.n - i * kPair, l.inputs - k, true,
             pictures + i * kTwo);
  for (Index j = 0; j < l.maps(); ++j) {
    add(pictures, &g.pairs[j * l.pictures() * kTwo], l.pictures(), true, sums);
    const Index there = std::min(kPair, l.units - j * kPair);
    for (Index r = 0; r < std::min(kPair, l.inputs - k); ++r)
      for (Index h = 0; h < there; h += kSide) {
        const __m512 sum = _mm512_load_ps(sums + r * kPair + h);
        float* to = dweights + (k + r) * l.units + j * kPair + h;
        past ? _mm512_stream_ps(to, sum) : _mm512_mask_storeu_ps(to, first16(there - h), sum);
      }
  }
}

void backward(const Half* gradient, const Half* y, const Half* x, const float* weights, Half* dx,
              float* dweights, float* dbias, const Layer& l, int threads) {
  Gradient g(l);
#pragma omp parallel num_threads(threads)
  {
    const Tiles unit;
    const auto tiles = allocate<Half>(std::max(l.pictures(), l.maps()) * kTwo);
    const auto sums = allocate<float>(kSums);
#pragma omp for schedule(static)
    for (Index m = 0; m < l.units; m += kSide)
      let_through(gradient, y, g.entries.get(), dbias, l, m);
#pragma omp for schedule(static)
    for (Index j = 0; j < l.maps(); ++j)
      for (Index i = 0; i < l.pictures(); ++i) g.lay(l, i, j);
#pragma omp for schedule(static)
    for (Index k = 0; k < l.inputs; k += kEntries) {
      if (dx != nullptr) write_inputs(g, weights, dx, l, k, tiles.get(), sums.get());
      if (dweights != nullptr) write_weights(g, x, dweights, l, k, tiles.get(), sums.get());
    }
    _mm_sfence();
  }
}

}  // namespace

extern "C" void dense_forward(const Half* x, const float* weights, const float* bias, int rectify,
                              Half* y, Index n, Index inputs, Index units, int threads) {
  const Layer layer{n, inputs, units};
  forward(x, weights, bias, rectify, y, layer, layer.threads(threads));
}

// `y` is null without a ReLU, `dx` and `dweights` where nobody asks for them.
extern "C" void dense_backward(const Half* gradient, const Half* y, const Half* x,
                               const float* weights, Half* dx, float* dweights, float* dbias,
                               Index n, Index inputs, Index units, int threads) {
  const Layer layer{n, inputs, units};
  backward(gradient, y, x, weights, dx, dweights, dbias, layer, layer.threads(threads));
}

#endif
