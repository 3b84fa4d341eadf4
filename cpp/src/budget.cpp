#include "lipdeploy/budget.hpp"

#include <cmath>
#include <limits>

#include "lipdeploy/radius_bits.hpp"

namespace lipdeploy {
namespace {

constexpr double kSmallest = 0x1p-149;
constexpr double kUnlimited = 0x1p160;

double usable(double eps) {
    const double magnitude = std::fabs(eps);
    if (std::isnan(magnitude)) return std::numeric_limits<double>::infinity();
    return magnitude < kSmallest ? 0.0 : magnitude;
}

std::uint32_t floor_bits(double eps) {
    constexpr float largest = std::numeric_limits<float>::max();
    if (!(eps < largest)) return kInfinityBits - 1;
    const auto nearest = static_cast<float>(eps);
    const std::uint32_t bits = radius_bits(nearest);
    return nearest > eps ? bits - 1 : bits;
}

}  // namespace

Budget::Budget(double wanted, std::size_t pixels) noexcept
    : eps(usable(wanted)),
      unlimited(eps > kUnlimited),
      surely(eps * eps * (2.0 - rounding_inflation(pixels))),
      perhaps(eps * eps * rounding_inflation(pixels)),
      largest_bits(floor_bits(eps)) {}

}  // namespace lipdeploy
