/// Radii counted in buckets: an upper bound on the flips after one pass.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace lipdeploy {

/// Number of radii in each of 65,281 buckets, the upper 17 bits of a float32 (the sign is 0).
///
/// A bucket is 2^-8 of its octave wide: its radii differ by less than 0.4 %. The last bucket
/// holds the infinite radii, which never flip.
class RadiusHistogram {
public:
    static constexpr int kShift = 15;
    static constexpr std::size_t kFinite = 0x7F800000u >> kShift;  ///< buckets of finite radii

    /// One pass over the radii.
    ///
    /// @throws std::length_error for 2^32 radii or more.
    explicit RadiusHistogram(std::span<const float> radius);

    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::uint32_t count(std::size_t bucket) const noexcept { return counts_[bucket]; }

    /// Smallest possible squared radius in a bucket; `edge_cost(bucket + 1)` bounds it from above.
    [[nodiscard]] static double edge_cost(std::size_t bucket) noexcept;

private:
    std::size_t size_;
    std::vector<std::uint32_t> counts_;
};

/// Upper bounds on the number of pixels that each budget can change, one an eps.
///
/// Every radius is rounded down to the edge of its bucket, so a bound is never below count_flips,
/// and never above the number of finite radii. Costs one pass over the radii, plus a few
/// nanoseconds a budget.
///
/// @param radius  input l2 units; infinity for a fixed pixel; NaN and negative count as 0.
/// @param eps     budgets; NaN counts as infinite.
///
/// Source: Massena et al. 2025, Eq. 11, relaxed.
[[nodiscard]] std::vector<std::int64_t> count_flips_upper(std::span<const float> radius,
                                                          std::span<const double> eps);

}  // namespace lipdeploy
