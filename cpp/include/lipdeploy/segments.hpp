/// Certificates of all segments of an image at once: regions, classes, or any partition.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lipdeploy {

/// One entry a segment.
struct SegmentCertificates {
    std::vector<std::int64_t> area;   ///< pixels
    std::vector<std::int64_t> flips;  ///< upper bound on its pixels that the budget can change
    std::vector<double> budget;       ///< lower bound on the l2 norm that changes `needed` of them
};

/// Flips and budgets of every segment, the whole budget spent on each alone.
///
/// Costs are summed as int64 fixed point, rounded down, so sums are exact, independent of the order
/// and never above the real ones. Radii above 2 count as 2: sound, and beyond any usual budget.
/// Linear in the number of pixels: of each segment only the radii that can matter are sorted.
///
/// @param segment  segment number of each pixel, 0 .. S-1; negative pixels are left out.
/// @param radius   radius of each pixel, input l2 units; what is negative or not a number counts
///                 as 0.
/// @param eps      budget, >= 0, input l2 units.
/// @param needed   flips that `budget` is asked for, >= 1, one a segment; its size is S.
/// @throws std::invalid_argument where the sizes differ, a number is S or more, or eps is NaN.
///
/// Source: Massena et al. 2025, Sec. 4.2, Eq. 11 and 14 on subsets.
template <typename Integer>
[[nodiscard]] SegmentCertificates certify_segments(std::span<const Integer> segment,
                                                   std::span<const float> radius, double eps,
                                                   std::span<const std::int64_t> needed);

extern template SegmentCertificates certify_segments(std::span<const std::uint8_t>,
                                                     std::span<const float>, double,
                                                     std::span<const std::int64_t>);
extern template SegmentCertificates certify_segments(std::span<const std::int32_t>,
                                                     std::span<const float>, double,
                                                     std::span<const std::int64_t>);
extern template SegmentCertificates certify_segments(std::span<const std::int64_t>,
                                                     std::span<const float>, double,
                                                     std::span<const std::int64_t>);

}  // namespace lipdeploy
