/// Regions against a flood fill.
#include <vector>

#include "check.hpp"
#include "lipdeploy/regions.hpp"

using namespace lipdeploy;

namespace {

struct Picture {
    int height, width;
    std::vector<std::uint8_t> mask;
};

/// Marks the region of pixel (y, x) with `mark` and returns its area.
int flood(const Picture& p, std::vector<int>& marks, int y, int x, std::uint8_t class_id,
          int mark) {
    if (y < 0 || x < 0 || y >= p.height || x >= p.width) return 0;
    const int at = y * p.width + x;
    if (marks[at] >= 0 || p.mask[at] != class_id) return 0;
    marks[at] = mark;
    return 1 + flood(p, marks, y + 1, x, class_id, mark) +
           flood(p, marks, y - 1, x, class_id, mark) +
           flood(p, marks, y, x + 1, class_id, mark) +
           flood(p, marks, y, x - 1, class_id, mark);
}

void test_against_flood_fill(const Picture& p, int min_area) {
    std::vector<std::int32_t> number(p.mask.size());
    const RegionLabels found = label_regions(p.mask, p.height, p.width, min_area, number);
    std::vector<int> marks(p.mask.size(), -1);
    std::vector<std::int32_t> of_mark;  // the number that the flooded region must have throughout
    int tiny = 0;
    for (int at = 0; at < p.height * p.width; ++at) {
        if (marks[at] < 0) {
            const auto mark = static_cast<int>(of_mark.size());
            const int area =
                flood(p, marks, at / p.width, at % p.width, p.mask[at], mark);
            of_mark.push_back(number[at]);
            tiny += area < min_area;
            CHECK((number[at] < 0) == (area < min_area));
            if (number[at] >= 0) {
                CHECK(found.regions[number[at]].area == area);
                CHECK(found.regions[number[at]].class_id == p.mask[at]);
            }
        }
        CHECK(number[at] == of_mark[marks[at]]);
        if (number[at] < 0) continue;
        const LabelledRegion& r = found.regions[number[at]];
        const int y = at / p.width, x = at % p.width;
        CHECK(x >= r.x && x < r.x + r.width && y >= r.y && y < r.y + r.height);
    }
    CHECK(found.tiny_count == tiny);
    CHECK(found.regions.size() + tiny == of_mark.size());
}

}  // namespace

void test_regions() {
    Dice dice;
    for (int i = 0; i < 1000; ++i) {
        Picture picture{dice(9), dice(20), {}};
        for (int k = 0; k < picture.height * picture.width; ++k) {
            picture.mask.push_back(static_cast<std::uint8_t>(dice(1 + i % 3)));
        }
        test_against_flood_fill(picture, 1 + i % 4);
    }
}
