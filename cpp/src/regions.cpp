#include "lipdeploy/regions.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

namespace lipdeploy {
namespace {

/// Neighbours of one class in a row. `parent` is a run of the same region, never a later one, so
/// that the root of a region is its first run in raster order.
struct Run {
    std::int32_t parent;
    std::int32_t row, start, stop;
    std::uint8_t class_id;
};

std::int32_t root(std::vector<Run>& runs, std::int32_t run) {
    while (runs[run].parent != run) {
        runs[run].parent = runs[runs[run].parent].parent;  // halves the path
        run = runs[run].parent;
    }
    return run;
}

void join(std::vector<Run>& runs, std::int32_t a, std::int32_t b) {
    a = root(runs, a);
    b = root(runs, b);
    runs[std::max(a, b)].parent = std::min(a, b);
}

/// First column from `start` on whose class differs, eight at a time.
std::int32_t run_stop(const std::uint8_t* row, std::int32_t start, std::int32_t width) {
    std::uint64_t expected, found;
    std::memset(&expected, row[start], sizeof expected);
    std::int32_t x = start + 1;
    for (; x + 8 <= width; x += 8) {
        std::memcpy(&found, row + x, sizeof found);
        if (found != expected) break;
    }
    while (x < width && row[x] == row[start]) ++x;
    return x;
}

/// Joins the runs from `above` to `here` with those from `here` on that touch them from below.
void join_rows(std::vector<Run>& runs, std::int32_t above, std::int32_t here) {
    const auto stop = static_cast<std::int32_t>(runs.size());
    for (std::int32_t upper = above, lower = here; upper < here && lower < stop;) {
        if (runs[upper].class_id == runs[lower].class_id) join(runs, upper, lower);
        // Both start before the other stops, so the one that stops first is done.
        const std::int32_t upper_stop = runs[upper].stop, lower_stop = runs[lower].stop;
        upper += upper_stop <= lower_stop ? 1 : 0;
        lower += lower_stop <= upper_stop ? 1 : 0;
    }
}

std::vector<Run> connected_runs(const std::uint8_t* mask, std::int32_t height,
                                std::int32_t width) {
    std::vector<Run> runs;
    std::int32_t above = 0, here = 0;
    for (std::int32_t y = 0; y < height; ++y) {
        const std::uint8_t* row = mask + static_cast<std::size_t>(y) * width;
        for (std::int32_t x = 0; x < width;) {
            const std::int32_t stop = run_stop(row, x, width);
            runs.push_back({static_cast<std::int32_t>(runs.size()), y, x, stop, row[x]});
            x = stop;
        }
        join_rows(runs, above, here);
        above = here;
        here = static_cast<std::int32_t>(runs.size());
    }
    return runs;
}

/// The region of each run, by its root's place among the roots in raster order.
struct Components {
    std::vector<LabelledRegion> regions;  // width and height hold x + width, y + height
    std::vector<std::int32_t> of_run;
};

Components components(std::vector<Run>& runs) {
    Components found;
    found.of_run.resize(runs.size());
    for (std::size_t i = 0; i < runs.size(); ++i) {
        const Run& run = runs[i];
        const std::int32_t first = root(runs, static_cast<std::int32_t>(i));
        if (static_cast<std::size_t>(first) == i) {
            found.of_run[i] = static_cast<std::int32_t>(found.regions.size());
            found.regions.push_back({run.class_id, run.start, run.row, 0, 0, 0});
        }
        const std::int32_t component = found.of_run[i] = found.of_run[first];
        LabelledRegion& region = found.regions[component];
        region.x = std::min(region.x, run.start);
        region.width = std::max(region.width, run.stop);
        region.height = std::max(region.height, run.row + 1);
        region.area += run.stop - run.start;
    }
    return found;
}

/// Number of each component: large ones by class, then by place; -1 for the others.
std::vector<std::int32_t> numbered(const std::vector<LabelledRegion>& all, std::int64_t min_area,
                                   RegionLabels& labels) {
    std::vector<std::int32_t> large;
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (all[i].area >= min_area) large.push_back(static_cast<std::int32_t>(i));
    }
    std::stable_sort(large.begin(), large.end(), [&](std::int32_t a, std::int32_t b) {
        return all[a].class_id < all[b].class_id;
    });
    std::vector<std::int32_t> number(all.size(), -1);
    for (const std::int32_t component : large) {
        number[component] = static_cast<std::int32_t>(labels.regions.size());
        LabelledRegion region = all[component];
        region.width -= region.x;
        region.height -= region.y;
        labels.regions.push_back(region);
    }
    labels.tiny_count = static_cast<std::int64_t>(all.size() - large.size());
    return number;
}

void check(std::size_t pixels, std::size_t height, std::size_t width, std::size_t numbers) {
    if (pixels != height * width || pixels != numbers) {
        throw std::invalid_argument("got " + std::to_string(pixels) + " classes and room for " +
                                    std::to_string(numbers) + " numbers; expected height * width");
    }
    if (pixels > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
        throw std::invalid_argument("expected fewer than 2^31 pixels");
    }
}

}  // namespace

RegionLabels label_regions(std::span<const std::uint8_t> mask, std::size_t height,
                           std::size_t width, std::int64_t min_area,
                           std::span<std::int32_t> number) {
    check(mask.size(), height, width, number.size());
    std::vector<Run> runs = connected_runs(mask.data(), static_cast<std::int32_t>(height),
                                           static_cast<std::int32_t>(width));
    const Components found = components(runs);
    RegionLabels labels{{}, 0};
    const std::vector<std::int32_t> number_of = numbered(found.regions, min_area, labels);
    auto pixel = number.begin();  // the runs are in raster order and leave no gap
    for (std::size_t i = 0; i < runs.size(); ++i) {
        pixel = std::fill_n(pixel, runs[i].stop - runs[i].start, number_of[found.of_run[i]]);
    }
    return labels;
}

}  // namespace lipdeploy
