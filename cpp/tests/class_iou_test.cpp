/// The frontier against every attack; costs are whole numbers of sixty-fourths.
#include <algorithm>
#include <cmath>

#include "check.hpp"
#include "lipdeploy/class_iou.hpp"

using namespace lipdeploy;

namespace {

constexpr std::uint8_t kClass = 1;

struct Pixels {
    std::vector<std::uint8_t> truth, predicted;
    std::vector<int> leave, join;  // eighths
};

Pixels random_pixels(Dice& dice, int size) {
    Pixels p;
    for (int i = 0; i < size; ++i) {
        p.truth.push_back(dice(5) == 0 ? kIgnore : static_cast<std::uint8_t>(dice(2)));
        p.predicted.push_back(static_cast<std::uint8_t>(dice(2)));
        p.leave.push_back(dice(8));
        p.join.push_back(p.leave.back() + dice(8));
    }
    return p;
}

/// Smallest IoU over all subsets of pixels that change, each into or out of the class.
double worst_by_trying(const Pixels& p, int eps) {
    double worst = std::nan("");
    const std::size_t size = p.truth.size();
    for (unsigned changed = 0; changed < (1u << size); ++changed) {
        int cost = 0, hits = 0, united = 0;
        for (std::size_t i = 0; i < size; ++i) {
            const bool was = p.predicted[i] == kClass, flip = (changed >> i & 1u) != 0;
            const int price = was ? p.leave[i] : p.join[i];
            cost += flip ? price * price : 0;
            if (p.truth[i] == kIgnore) continue;
            const bool is = was != flip, positive = p.truth[i] == kClass;
            hits += positive && is;
            united += positive || is;
        }
        if (cost > eps * eps || united == 0) continue;
        const double ratio = static_cast<double>(hits) / united;
        if (!(ratio >= worst)) worst = ratio;
    }
    return worst;
}

std::vector<float> radii(const std::vector<int>& eighths) {
    std::vector<float> found;
    for (const int k : eighths) found.push_back(static_cast<float>(k) / 8);
    return found;
}

}  // namespace

void test_class_iou() {
    Dice dice;
    for (int i = 0; i < 1500; ++i) {
        const Pixels p = random_pixels(dice, dice(8));
        const int eps = dice(24);
        const std::vector<float> leave = radii(p.leave), join = radii(p.join);
        const double found =
            iou_frontier({p.truth, p.predicted, leave, join, kClass}, eps / 8.0).worst();
        const double expected = worst_by_trying(p, eps);
        CHECK(std::isnan(expected) ? std::isnan(found) : std::fabs(found - expected) < 1e-12);
    }
}
