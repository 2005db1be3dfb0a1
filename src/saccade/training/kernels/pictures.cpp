// Training pictures changed, byte by byte: uint8, (N, H, W, C) in memory.

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace {

using Index = int64_t;
using Byte = uint8_t;

struct Sizes {
  Index height, width, channels;
};

// Copies the pixel at (row, column), or black where there is none. `Channels` is their number where
// that is known when compiling, or 0.
template <Index Channels>
inline void show_pixel(const Byte* x, Index row, Index column, Byte* y, const Sizes& size) {
  const Index channels = Channels ? Channels : size.channels;
  if (row < size.height && column < size.width)
    std::memcpy(y, x + (row * size.width + column) * channels, channels);
  else
    std::memset(y, 0, channels);
}

// Row i, column j of the output is row rows[i], column columns[j] of the input.
template <Index Channels>
void show_straight(const Byte* x, const Index* rows, const Index* columns, Byte* y, Sizes size) {
  for (Index i = 0; i < size.height; ++i)
    for (Index j = 0; j < size.width; ++j, y += Channels ? Channels : size.channels)
      show_pixel<Channels>(x, rows[i], columns[j], y, size);
}

// Where pixels stand along one side of a picture: fixed-point numbers with `bits` of a fraction, and
// which pixel is shown at each whole place, of `num`.
struct Side {
  const Index* starts;  // by the output's place along this side
  const Index* slopes;  // by its place along the other
  const Index* shown;
  Index num, bits;

  Index operator()(Index here, Index other) const {
    const Index place = (starts[here] + slopes[other]) >> bits;
    return shown[std::clamp<Index>(place, 0, num - 1)];
  }
};

template <Index Channels>
void show_oblique(const Byte* x, Side rows, Side columns, Byte* y, Sizes size) {
  for (Index i = 0; i < size.height; ++i)
    for (Index j = 0; j < size.width; ++j, y += Channels ? Channels : size.channels)
      show_pixel<Channels>(x, rows(i, j), columns(j, i), y, size);
}

}  // namespace

// Places are (N, H) and (N, W).
extern "C" void show_places(const Byte* x, Byte* y, const Index* rows, const Index* columns, Index n,
                            Index height, Index width, Index channels, int threads) {
  const auto show = channels == 3   ? show_straight<3>
                    : channels == 1 ? show_straight<1>
                                    : show_straight<0>;
  const Index size = height * width * channels;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (Index k = 0; k < n; ++k)
    show(x + k * size, rows + k * height, columns + k * width, y + k * size,
         {height, width, channels});
}

// Rows start at (N, H) and slope along (N, W); columns start at (N, W) and slope along (N, H).
extern "C" void show_slopes(const Byte* x, Byte* y, const Index* rows, const Index* row_slopes,
                            const Index* row_shown, Index num_rows, const Index* columns,
                            const Index* column_slopes, const Index* column_shown,
                            Index num_columns, Index bits, Index n, Index height,
                            Index width, Index channels, int threads) {
  const auto show = channels == 3   ? show_oblique<3>
                    : channels == 1 ? show_oblique<1>
                                    : show_oblique<0>;
  const Index size = height * width * channels;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (Index k = 0; k < n; ++k)
    show(x + k * size, {rows + k * height, row_slopes + k * width, row_shown, num_rows, bits},
         {columns + k * width, column_slopes + k * height, column_shown, num_columns, bits},
         y + k * size, {height, width, channels});
}

// Each byte of a picture becomes the entry of its table, (N, 256).
extern "C" void translate(const Byte* x, Byte* y, const Byte* tables, Index n, Index size,
                          int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (Index k = 0; k < n; ++k)
    for (Index i = k * size; i < (k + 1) * size; ++i) y[i] = tables[256 * k + x[i]];
}
