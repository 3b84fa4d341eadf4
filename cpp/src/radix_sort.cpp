#include "lipdeploy/radix_sort.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "lipdeploy/radius_bits.hpp"
#include "scratch.hpp"

namespace lipdeploy {
namespace {

constexpr int kDigits = 4;
constexpr int kDigitBits = 8;
constexpr std::uint32_t kDigitMask = (1u << kDigitBits) - 1;
constexpr std::size_t kShort = 128;  // below, clearing the counters costs more than comparing

using Counts = std::array<std::array<std::uint32_t, 1u << kDigitBits>, kDigits>;

std::uint32_t digit(std::uint32_t value, int place) {
    return (value >> (place * kDigitBits)) & kDigitMask;
}

void count_digits(std::span<const std::uint32_t> values, Counts& counts) {
    for (const std::uint32_t value : values) {
        for (int place = 0; place < kDigits; ++place) ++counts[place][digit(value, place)];
    }
}

/// Turns counts into the position of the first value of each digit.
void exclusive_sums(std::array<std::uint32_t, 1u << kDigitBits>& counts) {
    std::exclusive_scan(counts.begin(), counts.end(), counts.begin(), 0u);
}

/// Calls `move(place, starts)` for each digit that is not the same in all values.
template <typename Move>
void for_each_useful_digit(std::uint32_t sample, std::size_t size, Counts& counts, Move move) {
    for (int place = 0; place < kDigits; ++place) {
        if (counts[place][digit(sample, place)] == size) continue;
        exclusive_sums(counts[place]);
        move(place, counts[place]);
    }
}

void check(std::size_t size) {
    if (size > std::numeric_limits<std::uint32_t>::max()) {
        throw std::length_error("radix sort: expected fewer than 2^32 values");
    }
}

}  // namespace

void radix_sort(std::span<std::uint32_t> values) {
    check(values.size());
    if (values.size() < kShort) {
        std::sort(values.begin(), values.end());
        return;
    }
    Counts counts{};
    count_digits(values, counts);
    std::span<std::uint32_t> from = values;
    std::span<std::uint32_t> to = scratch(Slot::sort, values.size());
    for_each_useful_digit(values[0], values.size(), counts, [&](int place, auto& starts) {
        for (const std::uint32_t value : from) to[starts[digit(value, place)]++] = value;
        std::swap(from, to);
    });
    if (from.data() != values.data()) std::copy(from.begin(), from.end(), values.begin());
}

std::vector<std::uint32_t> argsort(std::span<const float> radius) {
    check(radius.size());
    struct Numbered {
        std::uint32_t bits, number;
    };
    std::vector<Numbered> from(radius.size()), to(radius.size());
    Counts counts{};
    for (std::size_t i = 0; i < radius.size(); ++i) {
        from[i] = {radius_bits(radius[i]), static_cast<std::uint32_t>(i)};
        for (int place = 0; place < kDigits; ++place) ++counts[place][digit(from[i].bits, place)];
    }
    const std::uint32_t sample = radius.empty() ? 0 : from[0].bits;
    for_each_useful_digit(sample, radius.size(), counts, [&](int place, auto& starts) {
        for (const Numbered value : from) to[starts[digit(value.bits, place)]++] = value;
        std::swap(from, to);
    });
    std::vector<std::uint32_t> order(radius.size());
    std::transform(from.begin(), from.end(), order.begin(), [](Numbered v) { return v.number; });
    return order;
}

}  // namespace lipdeploy
