/// Radii as unsigned integers in the same order, so that they can be counted and sorted by digits.
#pragma once

#include <bit>
#include <cstdint>

namespace lipdeploy {

/// Bits of +infinity; a smaller value is a finite radius.
inline constexpr std::uint32_t kInfinityBits = 0x7F800000u;

/// Bits of a radius; what is negative or not a number counts as 0, which flips for free.
///
/// Order is kept: a <= b exactly when radius_bits(a) <= radius_bits(b), for a, b >= 0.
[[nodiscard]] constexpr std::uint32_t radius_bits(float radius) noexcept {
    const auto bits = std::bit_cast<std::uint32_t>(radius);
    return bits > kInfinityBits ? 0u : bits;  // the sign and every NaN lie above infinity
}

/// The radius that has these bits.
[[nodiscard]] constexpr float radius_from_bits(std::uint32_t bits) noexcept {
    return std::bit_cast<float>(bits);
}

/// Squared radius, exact: a float32 square has 48 significant bits and fits a float64.
[[nodiscard]] constexpr double cost_from_bits(std::uint32_t bits) noexcept {
    const double radius = radius_from_bits(bits);
    return radius * radius;
}

}  // namespace lipdeploy
