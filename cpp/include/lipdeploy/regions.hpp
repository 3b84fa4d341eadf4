/// Connected regions of equal class.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace lipdeploy {

/// A 4-connected component of pixels of one class.
struct LabelledRegion {
    std::uint8_t class_id;
    std::int32_t x, y, width, height;  ///< bounding box, pixels
    std::int32_t area;                 ///< pixels
};

/// The regions worth a number, and how many are not.
struct RegionLabels {
    /// Ascending in class, then in the raster order of their first pixels; the index is the number.
    std::vector<LabelledRegion> regions;
    std::int64_t tiny_count;  ///< regions below the smallest area
};

/// Finds the regions of all classes in one pass over the runs of equal pixels of each row.
///
/// @param mask      class ids, height * width, row after row.
/// @param min_area  smaller regions get no number.
/// @param number    receives the region number of each pixel, -1 in a tiny region; size of `mask`.
/// @throws std::invalid_argument where the sizes do not fit, or for 2^31 pixels or more.
[[nodiscard]] RegionLabels label_regions(std::span<const std::uint8_t> mask, std::size_t height,
                                         std::size_t width, std::int64_t min_area,
                                         std::span<std::int32_t> number);

}  // namespace lipdeploy
