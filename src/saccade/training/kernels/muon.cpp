// One step of Muon over one convolution's kernel (see muon.py): its momentum, the nearest matrix
// with orthonormal filters to it, and the kernel itself.
//
// A kernel is small, so that as many operations of PyTorch cost more than the products do. Here
// matrices lie whole in the nearer cache, in bfloat16, the shorter side padded to whole tiles; a
// thread makes rows of its own. Sums are float32, by tiles (see tiles.h).

#include <cstdint>

#if defined(__AVX512BF16__) && defined(__linux__)

#include <omp.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "products.h"

namespace {

constexpr Index kPart = 1 << 12;  // entries whose squares are summed in float32

// Moves the momentum, and returns by parts the squared length of what it comes to with the gradient
// ahead (Nesterov), and of the weights.
void move_means(const float* __restrict gradient, float* __restrict mean,
                const float* __restrict weight, float momentum, Index n, float& ahead,
                float& length) {
  float sum = 0.0f, own = 0.0f;
#pragma omp simd reduction(+ : sum, own)
  for (Index i = 0; i < n; ++i) {
    const float m = momentum * mean[i] + gradient[i], h = gradient[i] + momentum * m;
    mean[i] = m;
    sum += h * h;
    own += weight[i] * weight[i];
  }
  ahead = sum, length = own;
}

void take_ahead(const float* __restrict gradient, const float* __restrict mean, float momentum,
                float scale, Half* __restrict to, Index n) {
  const __m512 by = _mm512_set1_ps(scale), share = _mm512_set1_ps(momentum);
  for (Index i = 0; i < n; i += kSide) {
    const __mmask16 there = first16(n - i);
    const __m512 m = _mm512_maskz_loadu_ps(there, mean + i);
    const __m512 g = _mm512_maskz_loadu_ps(there, gradient + i);
    const __m512 h = _mm512_mul_ps(by, _mm512_fmadd_ps(share, m, g));
    _mm256_mask_storeu_epi16(to + i, there, narrow(h));
  }
}

void move_weights(float* __restrict weight, const Half* __restrict turned, float scale, float rate,
                  Index n) {
  const __m512 by = _mm512_set1_ps(scale), along = _mm512_set1_ps(rate);
  for (Index i = 0; i < n; i += kSide) {
    const __mmask16 there = first16(n - i);
    const __m512 move = _mm512_mul_ps(along, widen(_mm256_maskz_loadu_epi16(there, turned + i)));
    const __m512 w = _mm512_mul_ps(by, _mm512_maskz_loadu_ps(there, weight + i));
    _mm512_mask_storeu_ps(weight + i, there, _mm512_sub_ps(w, move));
  }
}

// A matrix of more rows than columns, both padded to whole pairs of tiles with zeros.
struct Matrix {
  Index rows, columns;
  std::unique_ptr<Half[], Free> entries;

  Matrix(Index tall, Index wide)
      : rows(ceiling(tall, kPair) * kPair),
        columns(ceiling(wide, kPair) * kPair),
        entries(allocate<Half>(rows * columns)) {
    std::memset(entries.get(), 0, rows * columns * sizeof(Half));
  }
  Half* row(Index r) { return &entries[r * columns]; }
  Index tall() const { return rows / kPair; }
  Index wide() const { return columns / kPair; }
};

// Entries of 32 × 32 sums: b · s + c · sums, or those of another matrix's, to bfloat16.
void write(const float* sums, float factor, const Half* other, float share, Half* to, Index step) {
  const __m512 by = _mm512_set1_ps(factor), with = _mm512_set1_ps(share);
  for (Index r = 0; r < kPair; ++r, other += step, to += step) {
    __m512 halves[2];
    for (int h = 0; h < 2; ++h) {
      const __m512 own = widen(_mm256_loadu_si256((const __m256i*)(other + h * kSide)));
      const __m512 sum = _mm512_load_ps(sums + r * kPair + h * kSide);
      halves[h] = _mm512_fmadd_ps(by, sum, _mm512_mul_ps(with, own));
    }
    _mm512_storeu_si512(to, round(halves[0], halves[1]));
  }
}

// The products of one round of Newton and Schulz's iteration with a quintic: of a tall matrix A,
// S = Aᵀ · A, then A ← a · A + A · (b · S + c · S · S).
class Rounds {
 public:
  Rounds(Matrix& a, const float* quintic)
      : a_(a),
        quintic_(quintic),
        square_(a.columns, a.columns),
        change_(a.columns, a.columns),
        turned_(allocate<Half>(a.rows * a.columns)),
        pairs_(allocate<Half>(a.rows * a.columns)) {}

  // To be called by all threads of a team.
  void run() {
    const Tiles unit;
    const auto rows = allocate<Half>(a_.wide() * kTwo);
    const auto sums = allocate<float>(kSums);
    make_square(sums.get());
    make_change(rows.get(), sums.get());
    turn(rows.get(), sums.get());
  }

 private:
  void make_square(float* sums) {
    const Index tall = a_.tall(), wide = a_.wide();
#pragma omp for schedule(static)
    for (Index k = 0; k < tall; ++k)
      for (Index j = 0; j < wide; ++j) {
        const Half* from = a_.row(k * kPair) + j * kPair;
        as_pairs(from, a_.columns, kPair, kPair, true, &turned_[(j * tall + k) * kTwo]);
        as_pairs(from, a_.columns, kPair, kPair, false, &pairs_[(j * tall + k) * kTwo]);
      }
#pragma omp for schedule(static)
    for (Index at = 0; at < wide * wide; ++at) {
      const Index i = at / wide, j = at % wide;
      add(&turned_[i * tall * kTwo], &pairs_[j * tall * kTwo], tall, true, sums);
      Half* to = square_.row(i * kPair) + j * kPair;
      write(sums, 1.0f, to, 0.0f, to, a_.columns);
    }
  }

  void make_change(Half* rows, float* sums) {
    const Index wide = a_.wide();
    lay_pairs(square_);
#pragma omp for schedule(static)
    for (Index i = 0; i < wide; ++i) {
      lay_rows(square_, i, rows);
      for (Index j = 0; j < wide; ++j) {
        add(rows, &pairs_[j * wide * kTwo], wide, true, sums);
        write(sums, quintic_[2], square_.row(i * kPair) + j * kPair, quintic_[1],
              change_.row(i * kPair) + j * kPair, a_.columns);
      }
    }
  }

  void turn(Half* rows, float* sums) {
    const Index wide = a_.wide();
    lay_pairs(change_);
#pragma omp for schedule(static)
    for (Index i = 0; i < a_.tall(); ++i) {
      lay_rows(a_, i, rows);
      for (Index j = 0; j < wide; ++j) {
        add(rows, &pairs_[j * wide * kTwo], wide, true, sums);
        Half* to = a_.row(i * kPair) + j * kPair;
        write(sums, 1.0f, to, quintic_[0], to, a_.columns);
      }
    }
  }

  void lay_pairs(Matrix& square) {
    const Index wide = a_.wide();
#pragma omp for schedule(static)
    for (Index j = 0; j < wide; ++j)
      for (Index k = 0; k < wide; ++k)
        as_pairs(square.row(k * kPair) + j * kPair, square.columns, kPair, kPair, false,
                 &pairs_[(j * wide + k) * kTwo]);
  }

  static void lay_rows(Matrix& matrix, Index i, Half* rows) {
    for (Index k = 0; k < matrix.wide(); ++k)
      as_rows(matrix.row(i * kPair) + k * kPair, matrix.columns, kPair, kPair, rows + k * kTwo);
  }

  Matrix& a_;
  const float* quintic_;
  Matrix square_, change_;
  std::unique_ptr<Half[], Free> turned_, pairs_;
};

void step(float* weight, const float* gradient, float* mean, float momentum, float rate,
          const float* quintic, Index rounds, float epsilon, Index inputs, Index filters,
          int threads) {
  const bool tall = inputs >= filters;
  Matrix a(std::max(inputs, filters), std::min(inputs, filters));
  Rounds products(a, quintic);
  const Index size = inputs * filters, parts = ceiling(size, kPart);
  std::vector<float> aheads(parts), lengths(parts);
  float scale = 0.0f, length = 0.0f;
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static)
    for (Index p = 0; p < parts; ++p) {
      const Index i = p * kPart;
      move_means(gradient + i, mean + i, weight + i, momentum, std::min(kPart, size - i),
                 aheads[p], lengths[p]);
    }
#pragma omp single
    {
      double sum = 0.0, own = 0.0;
      for (Index p = 0; p < parts; ++p) sum += aheads[p], own += lengths[p];
      scale = float(1.0 / (std::sqrt(sum) + epsilon));
      length = float(std::sqrt(double(filters)) / (std::sqrt(own) + epsilon));
    }
#pragma omp for schedule(static)
    for (Index r = 0; r < inputs; ++r) {
      const Index i = r * filters;
      if (tall) {
        take_ahead(gradient + i, mean + i, momentum, scale, a.row(r), filters);
        continue;
      }
      for (Index c = 0; c < filters; ++c)
        a.row(c)[r] = narrow(scale * (gradient[i + c] + momentum * mean[i + c]));
    }
    for (int round = 0; round < rounds; ++round) products.run();
#pragma omp for schedule(static)
    for (Index r = 0; r < inputs; ++r) {
      float* to = weight + r * filters;
      if (tall) {
        move_weights(to, a.row(r), length, rate, filters);
        continue;
      }
      for (Index c = 0; c < filters; ++c) to[c] = length * to[c] - rate * widen(a.row(c)[r]);
    }
  }
}

}  // namespace

// A kernel is (inputs, filters); `quintic` are its three numbers.
extern "C" void muon(float* weight, const float* gradient, float* mean, float momentum, float rate,
                     const float* quintic, Index rounds, float epsilon, Index inputs, Index filters,
                     int threads) {
  step(weight, gradient, mean, momentum, rate, quintic, rounds, epsilon, inputs, filters, threads);
}

#endif
