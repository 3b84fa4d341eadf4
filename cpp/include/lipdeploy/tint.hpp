/// Class colours laid over a frame.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace lipdeploy {

/// What a code stands for, by code. A frame's value v becomes round(v * rest / 255) + colour, and
/// rest + colour may not exceed 255.
struct Colours {
    std::span<const std::uint8_t> rest;    ///< 256 values
    std::span<const std::uint8_t> colour;  ///< 256 * 3 values, RGB
    std::span<const std::uint8_t> striped; ///< 256 values: the code that the stripes show instead
    std::uint8_t edge;                     ///< the code of the outline
};

/// What lies over the frame, at its own, usually smaller, size.
struct Layer {
    std::size_t height, width;
    std::span<const std::uint8_t> code;    ///< height * width
    std::span<const std::uint8_t> inside;  ///< height * width; its border is outlined; or empty
};

/// Where the frame's pixels lie on the layer, and its stripes.
struct Grid {
    std::span<const std::int32_t> rows;     ///< of the layer, one for each row of the frame
    std::span<const std::int32_t> columns;  ///< of the layer, one for each column of the frame
    int period, stripe;  ///< pixels (x, y) of the frame with (x + y) % period < stripe are striped
};

/// Blends a layer, enlarged by nearest neighbours, into a frame.
///
/// A pixel is on the outline where `inside`, enlarged, is not the same all over the 3x3 pixels
/// around it, those beyond the frame left out.
///
/// @param frame  RGB, rows * columns * 3.
/// @param out    receives the picture, of the size of `frame`; may not overlap it.
/// @throws std::invalid_argument where the sizes do not fit or a place lies outside the layer.
void tint(std::span<const std::uint8_t> frame, const Layer& layer, const Grid& grid,
          const Colours& colours, std::span<std::uint8_t> out);

}  // namespace lipdeploy
