/// Sums of squares without rounding: what decides a count that float64 cannot.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>

namespace lipdeploy {

/// A number >= 0 in fixed point, wide enough for everything that a certificate compares exactly.
///
/// Unit 2^-402, below 2^366. Holds without rounding the square of every float32, sums of up to
/// 2^64 of them, and the square of every float64 from 2^-149 (the smallest float32) up to 2^160.
///
/// Source: Kulisch's long accumulator.
class ExactSum {
public:
    /// Adds the square of the float32 >= 0, finite, that has these bits.
    void add_square(std::uint32_t radius_bits) noexcept;

    /// The square of a budget, 0 or 2^-149 <= eps <= 2^160.
    [[nodiscard]] static ExactSum square(double eps) noexcept;

    [[nodiscard]] std::strong_ordering operator<=>(const ExactSum& other) const noexcept;
    [[nodiscard]] bool operator==(const ExactSum& other) const noexcept = default;

private:
    /// Adds value * 2^(shift) units.
    void add(std::uint64_t value, unsigned shift) noexcept;
    void add_word(std::uint64_t value, std::size_t word) noexcept;

    std::array<std::uint64_t, 12> words_{};  // least significant first
};

}  // namespace lipdeploy
