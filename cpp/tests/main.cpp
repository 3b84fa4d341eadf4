#include "check.hpp"

int main() {
    test_flips();
    test_regions();
    test_class_iou();
    std::printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
