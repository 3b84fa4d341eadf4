#include "lipdeploy/segments.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

#include "lipdeploy/radius_bits.hpp"
#include "lipdeploy/radix_sort.hpp"
#include "scratch.hpp"

namespace lipdeploy {
namespace {

constexpr double kLargestRadius = 2.0;
constexpr std::uint32_t kLargestBits = std::bit_cast<std::uint32_t>(2.0f);

/// Squared radii as integers: `scale` units to 1, rounded down.
struct FixedPoint {
    double scale;

    /// As fine as the sum over all pixels allows below 2^62.
    explicit FixedPoint(std::uint64_t pixels)
        : scale(std::ldexp(1.0, 60 - std::max(1, static_cast<int>(std::bit_width(pixels))))) {}

    [[nodiscard]] std::int64_t cost(std::uint32_t bits) const {
        return static_cast<std::int64_t>(cost_from_bits(bits) * scale);
    }

    /// eps^2, rounded up.
    [[nodiscard]] std::int64_t limit(double eps, std::uint64_t pixels) const {
        const double all = 2.0 * kLargestRadius * std::sqrt(static_cast<double>(pixels + 1));
        const double within = std::min(eps, all);
        const double units = std::ceil(within * within * (1.0 + 0x1p-50) * scale);
        constexpr double most = 0x1p62;
        return units >= most ? std::int64_t{1} << 62 : static_cast<std::int64_t>(units) + 1;
    }

    /// The norm whose square is a sum of costs, rounded down.
    [[nodiscard]] double norm(std::int64_t cost) const {
        return std::sqrt(static_cast<double>(cost) / scale) * (1.0 - 0x1p-50);
    }
};

/// One segment's question and answer.
struct Question {
    std::int64_t limit;   // cost units
    std::int64_t needed;  // pixels
};
struct Answer {
    std::int64_t flips;
    double budget;
};

/// Moves the radii that can matter to the front, unsorted, and returns how many there are.
///
/// The rest lies above the `needed`-th smallest and above what `limit` can buy.
std::size_t relevant(std::span<std::uint32_t> bits, const FixedPoint& unit, Question asked) {
    constexpr int shift = 20;  // eight buckets an octave
    std::array<std::uint32_t, (kLargestBits >> shift) + 1> counts{};
    for (const std::uint32_t value : bits) ++counts[value >> shift];
    std::int64_t seen = 0, at_least = 0;
    std::uint32_t bucket = 0;
    for (; bucket < counts.size() && (seen < asked.needed || at_least <= asked.limit); ++bucket) {
        seen += counts[bucket];
        at_least += counts[bucket] * unit.cost(bucket << shift);
    }
    std::size_t kept = 0;
    for (const std::uint32_t value : bits) {
        bits[kept] = value;
        kept += value >> shift < bucket ? 1 : 0;
    }
    return kept;
}

Answer answer(std::span<std::uint32_t> bits, const FixedPoint& unit, Question asked) {
    const auto size = static_cast<std::int64_t>(bits.size());
    const std::int64_t needed = asked.needed <= size ? std::max<std::int64_t>(asked.needed, 0) : 0;
    const auto sorted = bits.first(relevant(bits, unit, {asked.limit, needed}));
    radix_sort(sorted);
    std::int64_t total = 0, flips = 0, taken = 0, price = 0;
    for (const std::uint32_t value : sorted) {
        total += unit.cost(value);
        ++taken;
        if (total <= asked.limit) flips = taken;
        if (taken == needed) price = total;
        if (total > asked.limit && taken >= needed) break;
    }
    const double infinite = std::numeric_limits<double>::infinity();
    return {flips, asked.needed <= size ? unit.norm(price) : infinite};
}

/// Pixels of each segment.
template <typename Integer>
std::vector<std::int64_t> areas(std::span<const Integer> segment, std::size_t segments) {
    std::vector<std::int64_t> area(segments);
    for (const Integer number : segment) {
        if (number < 0) continue;
        if (static_cast<std::uint64_t>(number) >= segments) {
            throw std::invalid_argument("segment number " + std::to_string(number) +
                                        "; expected below " + std::to_string(segments));
        }
        ++area[static_cast<std::size_t>(number)];
    }
    return area;
}

/// Clipped radii, one segment after the other.
template <typename Integer>
std::span<std::uint32_t> grouped(std::span<const Integer> segment, std::span<const float> radius,
                                 std::span<const std::int64_t> area) {
    std::vector<std::size_t> next(area.size());
    std::exclusive_scan(area.begin(), area.end(), next.begin(), std::size_t{0});
    const auto bits =
        scratch(Slot::radii, std::accumulate(area.begin(), area.end(), std::size_t{0}));
    for (std::size_t i = 0; i < segment.size(); ++i) {
        if (segment[i] < 0) continue;
        bits[next[static_cast<std::size_t>(segment[i])]++] =
            std::min(radius_bits(radius[i]), kLargestBits);
    }
    return bits;
}

}  // namespace

template <typename Integer>
SegmentCertificates certify_segments(std::span<const Integer> segment,
                                     std::span<const float> radius, double eps,
                                     std::span<const std::int64_t> needed) {
    if (segment.size() != radius.size()) {
        throw std::invalid_argument("got " + std::to_string(radius.size()) + " radii for " +
                                    std::to_string(segment.size()) + " pixels");
    }
    if (std::isnan(eps)) throw std::invalid_argument("eps is NaN; expected a number >= 0");
    SegmentCertificates found{areas(segment, needed.size()), {}, {}};
    std::span<std::uint32_t> bits = grouped(segment, radius, std::span(found.area));
    const FixedPoint unit(bits.size());
    const std::int64_t limit = unit.limit(eps, bits.size());
    for (std::size_t s = 0; s < needed.size(); ++s) {
        const auto size = static_cast<std::size_t>(found.area[s]);
        const Answer one = answer(bits.first(size), unit, {limit, needed[s]});
        found.flips.push_back(one.flips);
        found.budget.push_back(one.budget);
        bits = bits.subspan(size);
    }
    return found;
}

template SegmentCertificates certify_segments(std::span<const std::uint8_t>,
                                              std::span<const float>, double,
                                              std::span<const std::int64_t>);
template SegmentCertificates certify_segments(std::span<const std::int32_t>,
                                              std::span<const float>, double,
                                              std::span<const std::int64_t>);
template SegmentCertificates certify_segments(std::span<const std::int64_t>,
                                              std::span<const float>, double,
                                              std::span<const std::int64_t>);

}  // namespace lipdeploy
