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
    std::int32_t parent, start, stop;
    std::int32_t area;    // of the region, at its root
    std::int32_t number;  // of the region, at its root
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

void find_runs(const std::uint8_t* mask, std::int32_t height, std::int32_t width,
               std::vector<Run>& runs) {
    runs.clear();
    std::int32_t above = 0, here = 0;
    for (std::int32_t y = 0; y < height; ++y) {
        const std::uint8_t* row = mask + static_cast<std::size_t>(y) * width;
        for (std::int32_t x = 0; x < width;) {
            const std::int32_t stop = run_stop(row, x, width);
            runs.push_back({static_cast<std::int32_t>(runs.size()), x, stop, 0, -1, row[x]});
            x = stop;
        }
        join_rows(runs, above, here);
        above = here;
        here = static_cast<std::int32_t>(runs.size());
    }
}

/// Points every run at its root, which learns the area of the region.
void measure(std::vector<Run>& runs) {
    for (Run& run : runs) {
        run.parent = runs[run.parent].parent;  // an earlier run, which points at its root already
        runs[run.parent].area += run.stop - run.start;
    }
}

/// Numbers the large regions by class, then by place, at their roots.
RegionLabels number_regions(std::vector<Run>& runs, std::int64_t min_area) {
    std::vector<std::int32_t> large;
    std::int64_t tiny_count = 0;
    for (std::size_t i = 0; i < runs.size(); ++i) {
        if (runs[i].area == 0) continue;  // not a root
        if (runs[i].area >= min_area) {
            large.push_back(static_cast<std::int32_t>(i));
        } else {
            ++tiny_count;
        }
    }
    std::stable_sort(large.begin(), large.end(), [&](std::int32_t a, std::int32_t b) {
        return runs[a].class_id < runs[b].class_id;
    });
    RegionLabels labels{{}, tiny_count};
    for (const std::int32_t first : large) {
        Run& run = runs[first];
        run.number = static_cast<std::int32_t>(labels.regions.size());
        labels.regions.push_back({run.class_id, run.start, -1, run.stop, 0, run.area});
    }
    return labels;
}

/// Grows the box by a run; until all are in, width and height hold x + width and y + height.
void extend(LabelledRegion& region, const Run& run, std::int32_t row) {
    if (region.y < 0) region.y = row;
    region.x = std::min(region.x, run.start);
    region.width = std::max(region.width, run.stop);
    region.height = row + 1;
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
    thread_local std::vector<Run> runs;  // kept between frames, like scratch()
    find_runs(mask.data(), static_cast<std::int32_t>(height), static_cast<std::int32_t>(width),
              runs);
    measure(runs);
    RegionLabels labels = number_regions(runs, min_area);
    std::int32_t row = -1;
    auto pixel = number.begin();  // the runs are in raster order and leave no gap
    for (const Run& run : runs) {
        row += run.start == 0 ? 1 : 0;
        const std::int32_t k = runs[run.parent].number;
        if (k >= 0) extend(labels.regions[k], run, row);
        pixel = std::fill_n(pixel, run.stop - run.start, k);
    }
    for (LabelledRegion& region : labels.regions) {
        region.width -= region.x;
        region.height -= region.y;
    }
    return labels;
}

}  // namespace lipdeploy
