/// Where a label fits into a region.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace lipdeploy {

/// A part of an image whose pixels carry region numbers.
struct Window {
    std::span<const std::int32_t> number;  ///< of the image, row after row
    std::size_t stride;                    ///< pixels of a row of the image
    std::size_t x, y, width, height;       ///< of the window in the image
};

/// A pixel of a window.
struct Spot {
    std::size_t row, column;
};

/// The centre of a box inside a region, as far from all that is not the region as can be.
///
/// The distance is the chamfer distance with steps of 0.955 and 1.3693 (Borgefors 1986); of equals,
/// the first in raster order.
///
/// @param window       what is beyond its border counts as outside the region.
/// @param region       number of the region.
/// @param high, wide   of the box in pixels, both odd.
/// @throws std::invalid_argument where the window leaves the image or a side is even.
[[nodiscard]] std::optional<Spot> deepest_box(const Window& window, std::int32_t region,
                                              std::size_t high, std::size_t wide);

}  // namespace lipdeploy
