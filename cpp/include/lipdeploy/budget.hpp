/// A budget as float64 sums are compared with it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lipdeploy {

/// Factor on a squared budget that covers the float64 rounding of a sum over `pixels`.
[[nodiscard]] constexpr double rounding_inflation(std::size_t pixels) noexcept {
    return 1.0 + 4.0 * (static_cast<double>(pixels) + 4.0) * 0x1p-53;
}

/// eps^2 with the window in which a float64 sum of up to `pixels` squares cannot decide.
///
/// A sum, in whatever order, of at most `surely` is at most eps^2 in real arithmetic; one above
/// `perhaps` is above eps^2. In between only ExactSum knows.
struct Budget {
    /// @param eps     l2 norm; a negative one counts as its magnitude, NaN as infinite.
    /// @param pixels  below 2^48.
    Budget(double eps, std::size_t pixels) noexcept;

    double eps;       ///< 0 where it was below 2^-149: no radius but 0 is that small
    bool unlimited;   ///< above 2^160: pays for all finite radii
    double surely;
    double perhaps;
    /// Bits of the largest float32 that is at most eps; a radius above it is never affordable.
    std::uint32_t largest_bits;
};

}  // namespace lipdeploy
