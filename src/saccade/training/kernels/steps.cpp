// An optimizer's step in one pass over weights, gradients and slots: a large dense layer's are read
// from memory and written back once, where one operation after another does so five times.

#include <cmath>
#include <cstdint>

namespace {

using Index = int64_t;

constexpr Index kWorthThreads = 1 << 15;  // entries

}  // namespace

// `mean` is null without momentum.
extern "C" void rmsprop(float* weight, const float* gradient, float* square, float* mean,
                        float rate, float rho, float momentum, float epsilon, Index n,
                        int threads) {
#pragma omp parallel for simd num_threads(threads) if (n > kWorthThreads)
  for (Index i = 0; i < n; ++i) {
    const float g = gradient[i], s = rho * square[i] + (1.0f - rho) * g * g;
    square[i] = s;
    float move = rate * g / std::sqrt(s + epsilon);
    if (mean) mean[i] = move += momentum * mean[i];
    weight[i] -= move;
  }
}
