#include "lipdeploy/tint.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <vector>

#if defined(_MSC_VER)
#define LIPDEPLOY_RESTRICT __restrict
#else
#define LIPDEPLOY_RESTRICT __restrict__
#endif

namespace lipdeploy {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kSlack = 1;  // three bytes are written as four

/// Three bytes a pixel, of which each code sets all.
using Triples = std::array<std::uint32_t, 256>;

Triples triples(const std::uint8_t* red, const std::uint8_t* green, const std::uint8_t* blue,
                std::size_t step) {
    Triples found{};
    for (std::size_t code = 0; code < 256; ++code) {
        const std::array<std::uint8_t, 4> bytes{red[code * step], green[code * step],
                                                blue[code * step], 0};
        std::memcpy(&found[code], bytes.data(), bytes.size());
    }
    return found;
}

/// One row of the layer at the frame's width, three bytes a pixel: what is left of the frame and
/// what is added to it, and which bits of both change on a stripe.
struct Band {
    Bytes rest, colour, rest_change, colour_change;

    explicit Band(std::size_t bytes)
        : rest(bytes), colour(bytes), rest_change(bytes), colour_change(bytes) {}
};

/// Blends `bytes` bytes of a row. The arrays do not overlap, and bytes may alias anything: only
/// local, restricted pointers let the compiler use vectors.
///
/// round(v / 255) is (v + 128 + (v + 128) / 256) / 256 for every v up to 255 * 255.
template <bool Edge>
void blend(const std::uint8_t* LIPDEPLOY_RESTRICT from, const Band& band,
           const std::uint8_t* LIPDEPLOY_RESTRICT stripes,
           const std::uint8_t* LIPDEPLOY_RESTRICT edge, std::uint8_t edge_rest,
           std::uint8_t edge_colour, std::size_t bytes, std::uint8_t* LIPDEPLOY_RESTRICT to) {
    const std::uint8_t* LIPDEPLOY_RESTRICT rest = band.rest.data();
    const std::uint8_t* LIPDEPLOY_RESTRICT colour = band.colour.data();
    const std::uint8_t* LIPDEPLOY_RESTRICT rest_change = band.rest_change.data();
    const std::uint8_t* LIPDEPLOY_RESTRICT colour_change = band.colour_change.data();
    for (std::size_t i = 0; i < bytes; ++i) {
        std::uint8_t r = rest[i] ^ (rest_change[i] & stripes[i]);
        std::uint8_t c = colour[i] ^ (colour_change[i] & stripes[i]);
        if constexpr (Edge) {
            r ^= (r ^ edge_rest) & edge[i];
            c ^= (c ^ edge_colour) & edge[i];
        }
        const auto v = static_cast<std::uint16_t>(from[i] * r + 128);
        const auto w = static_cast<std::uint16_t>(v + (v >> 8));
        to[i] = static_cast<std::uint8_t>((w >> 8) + c);
    }
}

/// Blends rows one after the other; keeps what neighbouring rows share.
class Painter {
public:
    Painter(const Layer& layer, const Grid& grid, const Colours& colours)
        : layer_(layer), grid_(grid), colours_(colours), width_(grid.columns.size()),
          rest_(triples(colours.rest.data(), colours.rest.data(), colours.rest.data(), 1)),
          colour_(triples(colours.colour.data(), colours.colour.data() + 1,
                          colours.colour.data() + 2, 3)),
          band_(3 * width_ + kSlack), stripes_(3 * (width_ + grid.period)),
          edge_(3 * width_) {
        for (std::size_t i = 0; i < stripes_.size(); ++i) {
            stripes_[i] = i / 3 % grid.period < static_cast<std::size_t>(grid.stripe) ? 255 : 0;
        }
        for (std::size_t x = 0; x < width_; ++x) {
            if (x == 0 || grid.columns[x] != grid.columns[x - 1]) runs_.push_back(x);
        }
        runs_.push_back(width_);
    }

    void paint(std::size_t y, const std::uint8_t* from, std::uint8_t* to) {
        if (grid_.rows[y] != row_) spread(grid_.rows[y]);
        const std::uint8_t* stripes = stripes_.data() + 3 * (y % grid_.period);
        const auto draw = find_edge(y) ? blend<true> : blend<false>;
        draw(from, band_, stripes, edge_.data(), colours_.rest[colours_.edge],
             colours_.colour[3 * colours_.edge], 3 * width_, to);
    }

private:
    /// Enlarges a row of the layer.
    void spread(std::int32_t row) {
        row_ = row;
        const std::uint8_t* code = layer_.code.data() + row * layer_.width;
        for (std::size_t x = 0; x < width_; ++x) {
            const std::uint8_t plain = code[grid_.columns[x]], striped = colours_.striped[plain];
            put(band_.rest, x, rest_[plain]);
            put(band_.colour, x, colour_[plain]);
            put(band_.rest_change, x, rest_[plain] ^ rest_[striped]);
            put(band_.colour_change, x, colour_[plain] ^ colour_[striped]);
        }
    }

    static void put(Bytes& row, std::size_t x, std::uint32_t triple) {
        std::memcpy(row.data() + 3 * x, &triple, sizeof triple);
    }

    /// Whether row y has an outline, which is then in `edge_`.
    bool find_edge(std::size_t y) {
        if (layer_.inside.empty()) return false;
        const std::int32_t here = grid_.rows[y];
        const std::array<std::int32_t, 3> rows{y > 0 ? grid_.rows[y - 1] : here, here,
                                               y + 1 < grid_.rows.size() ? grid_.rows[y + 1] : here};
        if (rows != edge_rows_) {
            edge_rows_ = rows;
            has_edge_ = compare(rows);
        }
        return has_edge_;
    }

    /// Marks the pixels around which those rows of the layer differ; whether there are any.
    bool compare(const std::array<std::int32_t, 3>& rows) {
        std::array<const std::uint8_t*, 3> inside;
        for (int k = 0; k < 3; ++k) inside[k] = layer_.inside.data() + rows[k] * layer_.width;
        std::ranges::fill(edge_, 0);
        bool found = false;
        std::uint8_t before = 0;
        for (std::size_t k = 0; k + 1 < runs_.size(); ++k) {
            const std::size_t start = runs_[k], stop = runs_[k + 1];
            const std::int32_t c = grid_.columns[start];
            const std::uint8_t here = inside[0][c];
            const bool mixed = here != inside[1][c] || here != inside[2][c];
            const bool changed = k > 0 && here != before;
            // A pixel is on the edge with its neighbours left and right.
            if (mixed) {
                mark(start > 0 ? start - 1 : 0, std::min(stop + 1, width_));
            } else if (changed) {
                mark(start - 1, start + 1);
            }
            found = found || mixed || changed;
            before = here;
        }
        return found;
    }

    void mark(std::size_t start, std::size_t stop) {
        std::fill_n(edge_.begin() + 3 * start, 3 * (stop - start), std::uint8_t{255});
    }

    const Layer& layer_;
    const Grid& grid_;
    const Colours& colours_;
    std::size_t width_;
    Triples rest_, colour_;
    Band band_;
    Bytes stripes_, edge_;
    std::vector<std::size_t> runs_;  // where another column of the layer begins; last, the width
    std::int32_t row_ = -1;
    std::array<std::int32_t, 3> edge_rows_{-1, -1, -1};
    bool has_edge_ = false;
};

void require(bool holds, const char* expected) {
    if (!holds) throw std::invalid_argument(expected);
}

bool within(std::span<const std::int32_t> places, std::size_t stop) {
    return std::ranges::all_of(places, [stop](std::int32_t place) {
        return place >= 0 && static_cast<std::size_t>(place) < stop;
    });
}

void check(std::size_t bytes, const Layer& layer, const Grid& grid, const Colours& colours,
           std::size_t room) {
    const std::size_t pixels = layer.height * layer.width;
    require(bytes == 3 * grid.rows.size() * grid.columns.size() && bytes == room,
            "expected a frame and a picture of rows * columns * 3 bytes");
    require(layer.code.size() == pixels, "expected height * width codes");
    require(layer.inside.empty() || layer.inside.size() == pixels,
            "expected height * width marks to outline, or none");
    require(within(grid.rows, layer.height) && within(grid.columns, layer.width),
            "expected rows and columns of the layer");
    require(grid.period >= 1 && grid.stripe >= 0, "expected a period of 1 or more");
    require(colours.rest.size() == 256 && colours.colour.size() == 768 &&
                colours.striped.size() == 256,
            "expected tables of 256 codes");
    for (std::size_t i = 0; i < 768; ++i) {
        require(colours.rest[i / 3] + colours.colour[i] <= 255, "expected rest + colour <= 255");
    }
}

}  // namespace

void tint(std::span<const std::uint8_t> frame, const Layer& layer, const Grid& grid,
          const Colours& colours, std::span<std::uint8_t> out) {
    check(frame.size(), layer, grid, colours, out.size());
    Painter painter(layer, grid, colours);
    const std::size_t stride = 3 * grid.columns.size();
    for (std::size_t y = 0; y < grid.rows.size(); ++y) {
        painter.paint(y, frame.data() + y * stride, out.data() + y * stride);
    }
}

}  // namespace lipdeploy
