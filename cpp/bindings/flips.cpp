#include "lipdeploy/flips.hpp"

#include "arrays.hpp"
#include "lipdeploy/histogram.hpp"
#include "lipdeploy/radix_sort.hpp"

namespace lipdeploy::bindings {

void bind_flips(nb::module_& module) {
    using namespace nb::literals;
    const auto radius = nb::arg("radius").noconvert();
    const auto eps = nb::arg("eps").noconvert();
    module.def(
        "count_flips",
        [](const In<float>& r, double e) {
            return unlocked([&] { return count_flips(view(r), e); });
        },
        radius, "eps"_a);
    module.def(
        "count_flips_curve",
        [](const In<float>& r, const In<double>& e) {
            return owned(unlocked([&] { return count_flips(view(r), view(e)); }));
        },
        radius, eps);
    module.def(
        "count_flips_upper",
        [](const In<float>& r, const In<double>& e) {
            return owned(unlocked([&] { return count_flips_upper(view(r), view(e)); }));
        },
        radius, eps);
    module.def(
        "argsort",
        [](const In<float>& r) { return owned(unlocked([&] { return argsort(view(r)); })); },
        radius);
}

}  // namespace lipdeploy::bindings
