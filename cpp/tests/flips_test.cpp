/// Flips and segments against integers: radii and budgets are eighths, so squares are whole.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "check.hpp"
#include "lipdeploy/flips.hpp"
#include "lipdeploy/histogram.hpp"
#include "lipdeploy/radix_sort.hpp"
#include "lipdeploy/segments.hpp"

using namespace lipdeploy;

namespace {

constexpr float kInfinite = std::numeric_limits<float>::infinity();

std::int64_t flips_by_counting(std::vector<int> eighths, int eps) {
    std::sort(eighths.begin(), eighths.end());
    std::int64_t total = 0, flips = 0;
    for (const int k : eighths) {
        total += std::int64_t{k} * k;
        if (total <= std::int64_t{eps} * eps) ++flips;
    }
    return flips;
}

std::vector<float> radii(const std::vector<int>& eighths) {
    std::vector<float> found;
    for (const int k : eighths) found.push_back(static_cast<float>(k) / 8);
    return found;
}

void test_against_counting(Dice& dice, int largest_size) {
    std::vector<int> eighths(dice(largest_size));
    for (int& k : eighths) k = dice(16);
    const std::vector<float> radius = radii(eighths);
    std::vector<double> eps;
    std::vector<std::int64_t> expected;
    for (int i = 0; i < 5; ++i) {
        const int budget = dice(largest_size);
        eps.push_back(budget / 8.0);
        expected.push_back(flips_by_counting(eighths, budget));
        CHECK(count_flips(radius, eps.back()) == expected.back());
    }
    CHECK(count_flips(radius, eps) == expected);
    const std::vector<std::int64_t> upper = count_flips_upper(radius, eps);
    for (std::size_t i = 0; i < eps.size(); ++i) CHECK(upper[i] >= expected[i]);
}

void test_the_last_bit() {
    const std::vector<float> radius{1.0f, 0x1p-149f};
    CHECK(count_flips(radius, 1.0) == 1);  // 1 + 2^-298 is more than 1
    CHECK(count_flips(radius, std::nextafter(1.0, 2.0)) == 2);
    CHECK(count_flips(radius, 0x1p-149) == 1);
    CHECK(count_flips(radius, 0x1p-150) == 0);
    const std::vector<float> largest(3, std::numeric_limits<float>::max());
    CHECK(count_flips(largest, double{std::numeric_limits<float>::max()}) == 1);
    CHECK(count_flips(largest, 1e300) == 3);
}

void test_what_is_no_radius() {
    const std::vector<float> radius{-1.0f, std::nanf(""), kInfinite, -0.0f, 2.0f};
    CHECK(count_flips(radius, 0.0) == 3);
    CHECK(count_flips(radius, 2.0) == 4);
    CHECK(count_flips(radius, std::numeric_limits<double>::infinity()) == 4);
    CHECK(count_flips({}, 1.0) == 0);
}

void test_segments(Dice& dice) {
    constexpr int segments = 3;
    std::vector<std::int32_t> segment(dice(40));
    std::vector<std::vector<int>> members(segments);
    std::vector<int> eighths;
    for (std::int32_t& s : segment) {
        s = dice(segments) - 1;
        eighths.push_back(dice(16));
        if (s >= 0) members[s].push_back(eighths.back());
    }
    const int eps = dice(30);
    const std::vector<std::int64_t> needed{1, 2, 5};
    const SegmentCertificates found = certify_segments<std::int32_t>(
        segment, radii(eighths), eps / 8.0, needed);
    for (int s = 0; s < segments; ++s) {
        CHECK(found.area[s] == static_cast<std::int64_t>(members[s].size()));
        CHECK(found.flips[s] == flips_by_counting(members[s], eps));
        CHECK(std::isinf(found.budget[s]) == (needed[s] > found.area[s]));
    }
}

void test_sorting(Dice& dice, int size) {
    std::vector<std::uint32_t> values(size);
    for (std::uint32_t& v : values) v = dice(1 << 30) + (dice(1) ? 0x80000000u : 0u);
    std::vector<std::uint32_t> expected = values;
    std::sort(expected.begin(), expected.end());
    radix_sort(values);
    CHECK(values == expected);
}

}  // namespace

void test_flips() {
    Dice dice;
    for (int i = 0; i < 2000; ++i) test_against_counting(dice, 12);
    for (int i = 0; i < 50; ++i) test_against_counting(dice, 2000);
    for (int i = 0; i < 1000; ++i) test_segments(dice);
    for (const int size : {0, 1, 127, 128, 5000}) test_sorting(dice, size);
    test_the_last_bit();
    test_what_is_no_radius();
}
