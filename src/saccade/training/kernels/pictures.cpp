// Training pictures changed, byte by byte: uint8, (N, H, W, C) in memory.

#include <cstdint>
#include <cstring>

namespace {

using Index = int64_t;
using Byte = uint8_t;

struct Sizes {
  Index height, width, channels;
};

// Row i, column j of the output is row rows[i], column columns[j] of the input; black where there is
// none. `Channels` is their number where that is known when compiling, or 0.
template <Index Channels>
void show(const Byte* x, const Index* rows, const Index* columns, Byte* y, Sizes size) {
  const Index channels = Channels ? Channels : size.channels;
  for (Index i = 0; i < size.height; ++i) {
    if (rows[i] >= size.height) {
      std::memset(y, 0, size.width * channels);
      y += size.width * channels;
      continue;
    }
    const Byte* row = x + rows[i] * size.width * channels;
    for (Index j = 0; j < size.width; ++j, y += channels) {
      if (columns[j] < size.width)
        std::memcpy(y, row + columns[j] * channels, channels);
      else
        std::memset(y, 0, channels);
    }
  }
}

}  // namespace

extern "C" void show_places(const Byte* x, const Index* rows, const Index* columns, Byte* y, Index n,
                            Index height, Index width, Index channels, int threads) {
  const auto show_one = channels == 3 ? show<3> : channels == 1 ? show<1> : show<0>;
  const Index size = height * width * channels;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (Index k = 0; k < n; ++k)
    show_one(x + k * size, rows + k * height, columns + k * width, y + k * size,
             {height, width, channels});
}

// Each byte of a picture becomes the entry of its table, (N, 256).
extern "C" void translate(const Byte* x, const Byte* tables, Byte* y, Index n, Index size,
                          int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (Index k = 0; k < n; ++k)
    for (Index i = k * size; i < (k + 1) * size; ++i) y[i] = tables[256 * k + x[i]];
}
