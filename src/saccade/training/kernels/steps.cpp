// An optimizer's step in one pass over weights, gradients and slots: a large dense layer's are read
// from memory and written back once, where one operation after another does so five times.

#include <algorithm>
#include <cmath>
#include <cstdint>

#ifdef __SSE3__
#include <immintrin.h>
#endif

namespace {

using Index = int64_t;

constexpr Index kWorthThreads = 1 << 15;  // entries
constexpr Index kPart = 1 << 12;          // entries that a thread takes at a time

// A function of its own: inside the parallel loop the compiler finds no vectors, and takes four
// times as long.
void move(float* __restrict weight, const float* __restrict gradient, float* __restrict square,
          float* __restrict mean, float rate, float rho, float momentum, float epsilon, Index n) {
  for (Index i = 0; i < n; ++i) {
    const float g = gradient[i], s = rho * square[i] + (1.0f - rho) * g * g;
    square[i] = s;
    float move = rate * g / std::sqrt(s + epsilon);
    if (mean) mean[i] = move += momentum * mean[i];
    weight[i] -= move;
  }
}

}  // namespace

// `mean` is null without momentum.
extern "C" void rmsprop(float* weight, const float* gradient, float* square, float* mean,
                        float rate, float rho, float momentum, float epsilon, Index n,
                        int threads) {
#pragma omp parallel for num_threads(threads) if (n > kWorthThreads)
  for (Index i = 0; i < n; i += kPart)
    move(weight + i, gradient + i, square + i, mean ? mean + i : nullptr, rate, rho, momentum,
         epsilon, std::min(kPart, n - i));
}

// Lets numbers below 1.2e-38 count as zero, or not, in each of these threads.
extern "C" void flush_denormals(int on, int threads) {
#ifdef __SSE3__
#pragma omp parallel num_threads(threads)
  {
    _MM_SET_FLUSH_ZERO_MODE(on ? _MM_FLUSH_ZERO_ON : _MM_FLUSH_ZERO_OFF);
    _MM_SET_DENORMALS_ZERO_MODE(on ? _MM_DENORMALS_ZERO_ON : _MM_DENORMALS_ZERO_OFF);
  }
#endif
}
