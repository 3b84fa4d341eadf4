#include "lipdeploy/class_iou.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "lipdeploy/budget.hpp"
#include "lipdeploy/radius_bits.hpp"
#include "lipdeploy/radix_sort.hpp"
#include "scratch.hpp"

namespace lipdeploy {
namespace {

void check(const ClassOnImage& image) {
    const std::size_t pixels = image.truth.size();
    if (image.predicted.size() != pixels || image.leave.size() != pixels ||
        image.join.size() != pixels) {
        throw std::invalid_argument(
            "truth, predicted, leave and join differ in size; expected one entry a pixel in each");
    }
}

/// Radii of the true positives and of the true negatives that `most` can pay one by one.
struct Affordable {
    std::span<std::uint32_t> hits, negatives;
    std::int64_t hit_count, united;
};

/// Bits of the largest radius, up to infinity, whose square is not above `most`, which is >= 0.
std::uint32_t largest_affordable(double most) {
    std::uint32_t fits = 0, above = kInfinityBits + 1;
    while (above - fits > 1) {
        const std::uint32_t middle = fits + (above - fits) / 2;
        (cost_from_bits(middle) > most ? above : fits) = middle;
    }
    return fits;
}

/// A dearer pixel fits no sum, and without it the sums of the cheaper ones stay what they are.
Affordable affordable(const ClassOnImage& image, double most) {
    const std::size_t pixels = image.truth.size();
    const std::uint32_t limit = largest_affordable(most);
    const auto hits = scratch(Slot::radii, pixels + 1);  // the last slots take what is not kept
    const auto negatives = scratch(Slot::join_radii, pixels + 1);
    std::size_t kept_hits = 0, kept_negatives = 0, hit_count = 0, united = 0;
    for (std::size_t i = 0; i < pixels; ++i) {
        const bool known = image.truth[i] != kIgnore;
        const bool positive = known & (image.truth[i] == image.class_id);
        const bool inside = known & (image.predicted[i] == image.class_id);
        const std::uint32_t leave = radius_bits(image.leave[i]), join = radius_bits(image.join[i]);
        hit_count += positive & inside;
        united += positive | inside;
        hits[kept_hits] = leave;
        kept_hits += positive & inside & (leave <= limit);
        negatives[kept_negatives] = join;
        kept_negatives += known & !positive & !inside & (join <= limit);
    }
    return {hits.first(kept_hits), negatives.first(kept_negatives),
            static_cast<std::int64_t>(hit_count), static_cast<std::int64_t>(united)};
}

/// Cheapest total of 0, 1, 2, ... pixels, as far as the budget reaches.
std::vector<double> totals(std::span<std::uint32_t> bits, double budget) {
    radix_sort(bits);
    std::vector<double> found{0.0};
    for (const std::uint32_t value : bits) {
        const double total = found.back() + cost_from_bits(value);
        if (total > budget) break;
        found.push_back(total);
    }
    return found;
}

/// Largest double at most above / below; the fused product tells on which side rounding fell.
double rounded_down(double above, double below) {
    const double quotient = above / below;
    const bool too_high = std::fma(quotient, below, -above) > 0.0;
    return too_high ? std::nextafter(quotient, -1.0) : quotient;
}

}  // namespace

double IouFrontier::worst() const {
    double least = std::numeric_limits<double>::quiet_NaN();
    for (std::size_t lost = 0; lost < gained.size(); ++lost) {
        const std::int64_t below = united + gained[lost];
        if (below == 0) continue;
        const double ratio =
            rounded_down(static_cast<double>(hits - static_cast<std::int64_t>(lost)),
                         static_cast<double>(below));
        if (!(ratio >= least)) least = ratio;
    }
    return least;
}

IouFrontier iou_frontier(const ClassOnImage& image, double eps) {
    check(image);
    const double budget = eps * eps * rounding_inflation(image.truth.size());
    const Affordable found = affordable(image, budget);
    const std::vector<double> taken = totals(found.hits, budget);
    const std::vector<double> turned = totals(found.negatives, budget);
    IouFrontier frontier{found.hit_count, found.united, {}};
    frontier.gained.reserve(taken.size());
    std::size_t gained = turned.size() - 1;
    for (const double spent : taken) {
        const double rest = budget - spent;
        while (turned[gained] > rest) --gained;  // turned[0] is 0, and rest is never below
        frontier.gained.push_back(static_cast<std::int64_t>(gained));
    }
    return frontier;
}

}  // namespace lipdeploy
