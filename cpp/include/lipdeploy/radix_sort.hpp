/// Sorting by digits: linear in the number of values, whatever their distribution.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lipdeploy {

/// Sorts in place in ascending order; equal to std::sort.
///
/// Digits of 8 bits, and a digit that all values share is skipped. Short inputs go to std::sort.
///
/// @throws std::length_error for 2^32 values or more.
void radix_sort(std::span<std::uint32_t> values);

/// Numbers of the radii from the smallest to the largest; equal radii stay in order.
///
/// The stable order of std::stable_sort on radius_bits, so what is not a number comes first.
///
/// @throws std::length_error for 2^32 radii or more.
[[nodiscard]] std::vector<std::uint32_t> argsort(std::span<const float> radius);

}  // namespace lipdeploy
