#include "lipdeploy/flips.hpp"

#include <algorithm>
#include <array>
#include <numeric>

#include "lipdeploy/budget.hpp"
#include "lipdeploy/histogram.hpp"
#include "lipdeploy/radius_bits.hpp"
#include "lipdeploy/radix_sort.hpp"
#include "scratch.hpp"
#include "spender.hpp"

namespace lipdeploy {
namespace {

/// Bits from `low` up to but without `high`: where the dearest affordable radius must be.
struct Question {
    std::uint32_t low, high;
    std::size_t below, inside;  // number of radii
};

/// Buckets below the question surely flip, buckets above surely do not.
Question question(const RadiusHistogram& histogram, const Budget& budget) {
    double at_most = 0.0, at_least = 0.0;
    std::size_t bucket = 0, below = 0, inside = 0;
    const std::size_t stop = (budget.largest_bits >> RadiusHistogram::kShift) + 1;
    for (; bucket < stop; ++bucket) {
        const std::uint32_t count = histogram.count(bucket);
        if (count == 0) continue;
        const double dearest = at_most + count * RadiusHistogram::edge_cost(bucket + 1);
        if (dearest > budget.surely) break;
        at_most = dearest;
        at_least += count * RadiusHistogram::edge_cost(bucket);
        below += count;
    }
    const auto low = static_cast<std::uint32_t>(bucket) << RadiusHistogram::kShift;
    for (; bucket < stop; ++bucket) {
        const std::uint32_t count = histogram.count(bucket);
        const double edge = RadiusHistogram::edge_cost(bucket);
        if (at_least + edge > budget.perhaps) break;
        at_least += count * edge;
        inside += count;
    }
    const auto high = static_cast<std::uint32_t>(bucket) << RadiusHistogram::kShift;
    return {low, high, below, inside};
}

/// Float64 sum of the squares of all radii with bits below `limit`.
double sum_below(std::span<const float> radius, std::uint32_t limit) {
    std::array<double, 8> lanes{};  // independent sums, which the compiler can do side by side
    const std::size_t whole = radius.size() - radius.size() % lanes.size();
    for (std::size_t i = 0; i < whole; i += lanes.size()) {
        for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
            const std::uint32_t bits = radius_bits(radius[i + lane]);
            lanes[lane] += cost_from_bits(bits < limit ? bits : 0u);
        }
    }
    double total = std::accumulate(lanes.begin(), lanes.end(), 0.0);
    for (const float r : radius.subspan(whole)) {
        const std::uint32_t bits = radius_bits(r);
        total += cost_from_bits(bits < limit ? bits : 0u);
    }
    return total;
}

ExactSum exact_sum_below(std::span<const float> radius, std::uint32_t limit) {
    ExactSum total;
    for (const float r : radius) {
        const std::uint32_t bits = radius_bits(r);
        if (bits < limit) total.add_square(bits);
    }
    return total;
}

/// Bits of the `count` radii with bits in low .. high - 1, ascending.
std::span<const std::uint32_t> sorted_within(std::span<const float> radius, std::uint32_t low,
                                             std::uint32_t high, std::size_t count) {
    const auto found = scratch(Slot::radii, count + 1);  // the last slot takes what is not kept
    std::size_t kept = 0;
    for (const float r : radius) {
        const std::uint32_t bits = radius_bits(r);
        found[kept] = bits;
        kept += bits - low < high - low ? 1 : 0;
    }
    radix_sort(found.first(count));
    return found.first(count);
}

std::int64_t count_finite(std::span<const float> radius) {
    return std::count_if(radius.begin(), radius.end(),
                         [](float r) { return radius_bits(r) < kInfinityBits; });
}

/// The numbers of the budgets, from the smallest to the largest.
std::vector<std::size_t> ascending(std::span<const Budget> budgets) {
    std::vector<std::size_t> order(budgets.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return budgets[a].eps < budgets[b].eps; });
    return order;
}

}  // namespace

std::int64_t count_flips(std::span<const float> radius, double eps) {
    const Budget budget(eps, radius.size());
    if (budget.unlimited) return count_finite(radius);
    const Question asked = question(RadiusHistogram(radius), budget);
    if (asked.inside == 0) return static_cast<std::int64_t>(asked.below);
    Spender spender(sorted_within(radius, asked.low, asked.high, asked.inside),
                    asked.below == 0 ? 0.0 : sum_below(radius, asked.low),
                    [&] { return exact_sum_below(radius, asked.low); });
    return static_cast<std::int64_t>(asked.below + spender.spend(budget));
}

std::vector<std::int64_t> count_flips(std::span<const float> radius, std::span<const double> eps) {
    std::vector<Budget> budgets;
    budgets.reserve(eps.size());
    for (const double wanted : eps) budgets.emplace_back(wanted, radius.size());
    std::vector<std::size_t> order = ascending(budgets);
    std::vector<std::int64_t> flips(eps.size(), 0);
    while (!order.empty() && budgets[order.back()].unlimited) {
        flips[order.back()] = count_finite(radius);
        order.pop_back();
    }
    if (order.empty()) return flips;
    const Question last = question(RadiusHistogram(radius), budgets[order.back()]);
    Spender spender(sorted_within(radius, 0, last.high, last.below + last.inside), 0.0,
                    [] { return ExactSum(); });
    for (const std::size_t k : order) {
        flips[k] = static_cast<std::int64_t>(spender.spend(budgets[k]));
    }
    return flips;
}

}  // namespace lipdeploy
