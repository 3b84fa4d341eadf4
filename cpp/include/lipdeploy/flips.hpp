/// How many pixels a budget can change: exact, in linear time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lipdeploy {

/// Number of pixels that a perturbation of l2 norm `eps` can change, by the certificate.
///
/// Exact: the largest n such that the n smallest squared radii sum to at most eps^2 in real
/// arithmetic, for float32 radii and a float64 eps as they are stored; a tie counts as changed.
/// Linear in the number of pixels: a histogram leaves a handful of buckets in question, only
/// their radii are sorted, and only what float64 cannot decide is summed in integers.
///
/// @param radius  input l2 units, any number below 2^32; infinity for a fixed pixel; what is
///                negative or not a number counts as 0.
/// @param eps     budget, input l2 units; infinity flips all finite radii, and so does NaN; a
///                negative one counts as its magnitude.
/// @return 0 .. radius.size()
///
/// Source: Massena et al. 2025, Eq. 11.
[[nodiscard]] std::int64_t count_flips(std::span<const float> radius, double eps);

/// The same for every budget of a curve, in any order, for about the price of one radix sort.
[[nodiscard]] std::vector<std::int64_t> count_flips(std::span<const float> radius,
                                                    std::span<const double> eps);

}  // namespace lipdeploy
