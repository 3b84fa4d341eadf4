#include "lipdeploy/label_place.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <vector>

namespace lipdeploy {
namespace {

constexpr std::int32_t kStep = 62587, kDiagonal = 89738;  // 0.955 and 1.3693 in units of 2^-16
constexpr std::int32_t kFar = std::numeric_limits<std::int32_t>::max() - kDiagonal;

/// Marks the centres of all boxes that lie in the region; whether there are any.
bool find_boxes(const Window& w, std::int32_t region, std::size_t high, std::size_t wide,
                std::vector<std::uint8_t>& centre) {
    thread_local std::vector<std::uint32_t> tall;  // pixels of the region from here upwards
    centre.assign(w.width * w.height, 0);
    tall.assign(w.width, 0);
    bool found = false;
    for (std::size_t y = 0; y < w.height; ++y) {
        const std::int32_t* row = w.number.data() + (w.y + y) * w.stride + w.x;
        std::size_t run = 0;
        for (std::size_t x = 0; x < w.width; ++x) {
            tall[x] = row[x] == region ? tall[x] + 1 : 0;
            run = tall[x] >= high ? run + 1 : 0;
            if (run >= wide) {
                centre[(y - high / 2) * w.width + x - wide / 2] = 1;
                found = true;
            }
        }
    }
    return found;
}

/// Distance of each pixel of the region to what is outside, with a border of outside around it.
void measure(const Window& w, std::int32_t region, std::vector<std::int32_t>& distance) {
    const auto stride = static_cast<std::ptrdiff_t>(w.width) + 2;
    distance.assign(stride * (w.height + 2), 0);
    for (std::size_t y = 0; y < w.height; ++y) {
        const std::int32_t* row = w.number.data() + (w.y + y) * w.stride + w.x;
        std::int32_t* d = distance.data() + (y + 1) * stride + 1;
        for (std::size_t x = 0; x < w.width; ++x, ++d) {
            if (row[x] != region) continue;
            *d = std::min({kFar, d[-stride - 1] + kDiagonal, d[-stride] + kStep,
                           d[-stride + 1] + kDiagonal, d[-1] + kStep});
        }
    }
    for (std::size_t y = w.height; y-- > 0;) {
        std::int32_t* d = distance.data() + (y + 1) * stride + w.width;
        for (std::size_t x = w.width; x-- > 0; --d) {
            *d = std::min({*d, d[stride + 1] + kDiagonal, d[stride] + kStep,
                           d[stride - 1] + kDiagonal, d[1] + kStep});
        }
    }
}

}  // namespace

std::optional<Spot> deepest_box(const Window& window, std::int32_t region, std::size_t high,
                                std::size_t wide) {
    const Window& w = window;
    const std::size_t rows = w.stride == 0 ? 0 : w.number.size() / w.stride;
    if (w.x > w.stride || w.width > w.stride - w.x || w.y > rows || w.height > rows - w.y) {
        throw std::invalid_argument("expected a window inside the image");
    }
    if (high % 2 == 0 || wide % 2 == 0) throw std::invalid_argument("expected odd sides of the box");
    thread_local std::vector<std::uint8_t> centre;
    thread_local std::vector<std::int32_t> distance;
    if (!find_boxes(w, region, high, wide, centre)) return std::nullopt;
    measure(w, region, distance);
    float deepest = 0;  // as the reference compares: equal in float32 is equal
    Spot spot{0, 0};
    for (std::size_t y = 0; y < w.height; ++y) {
        for (std::size_t x = 0; x < w.width; ++x) {
            const auto depth = static_cast<float>(distance[(y + 1) * (w.width + 2) + x + 1]);
            if (centre[y * w.width + x] != 0 && depth > deepest) {
                deepest = depth;
                spot = {y, x};
            }
        }
    }
    return spot;
}

}  // namespace lipdeploy
