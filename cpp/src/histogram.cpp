#include "lipdeploy/histogram.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "lipdeploy/budget.hpp"
#include "lipdeploy/radius_bits.hpp"

namespace lipdeploy {
namespace {

/// What the first k buckets cost at least and how many pixels they hold, k = 0 .. kFinite.
struct Prefix {
    explicit Prefix(const RadiusHistogram& histogram)
        : cost(RadiusHistogram::kFinite + 1), pixels(RadiusHistogram::kFinite + 1) {
        for (std::size_t k = 0; k < RadiusHistogram::kFinite; ++k) {
            const std::uint32_t count = histogram.count(k);
            cost[k + 1] = cost[k] + count * RadiusHistogram::edge_cost(k);
            pixels[k + 1] = pixels[k] + count;
        }
    }

    /// All of the buckets that fit, and as many of the next as the rest of the budget buys.
    [[nodiscard]] std::int64_t affordable(double budget) const {
        const auto above = std::upper_bound(cost.begin(), cost.end(), budget);
        const auto full = static_cast<std::size_t>(above - cost.begin()) - 1;
        if (full == RadiusHistogram::kFinite) return pixels.back();
        const double more = (budget - cost[full]) / RadiusHistogram::edge_cost(full);
        const auto limit = static_cast<double>(pixels[full + 1] - pixels[full]);
        return pixels[full] + static_cast<std::int64_t>(std::min(std::floor(more), limit));
    }

    std::vector<double> cost;
    std::vector<std::int64_t> pixels;
};

}  // namespace

RadiusHistogram::RadiusHistogram(std::span<const float> radius)
    : size_(radius.size()), counts_(kFinite + 1) {
    if (radius.size() > std::numeric_limits<std::uint32_t>::max()) {
        throw std::length_error("RadiusHistogram: expected fewer than 2^32 radii");
    }
    for (const float r : radius) ++counts_[radius_bits(r) >> kShift];
}

double RadiusHistogram::edge_cost(std::size_t bucket) noexcept {
    return cost_from_bits(static_cast<std::uint32_t>(bucket) << kShift);
}

std::vector<std::int64_t> count_flips_upper(std::span<const float> radius,
                                            std::span<const double> eps) {
    const Prefix prefix{RadiusHistogram(radius)};
    const double inflation = rounding_inflation(radius.size());
    std::vector<std::int64_t> flips(eps.size());
    std::transform(eps.begin(), eps.end(), flips.begin(), [&](double budget) {
        return prefix.affordable(budget * budget * inflation);
    });
    return flips;
}

}  // namespace lipdeploy
