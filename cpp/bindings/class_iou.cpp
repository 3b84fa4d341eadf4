#include "lipdeploy/class_iou.hpp"

#include <nanobind/stl/tuple.h>

#include <tuple>

#include "arrays.hpp"

namespace lipdeploy::bindings {

void bind_class_iou(nb::module_& module) {
    using namespace nb::literals;
    module.def(
        "iou_frontier",
        [](const In<std::uint8_t>& truth, const In<std::uint8_t>& predicted,
           const In<float>& leave, const In<float>& join, std::uint8_t class_id, double eps) {
            IouFrontier found = unlocked([&] {
                return iou_frontier(
                    {view(truth), view(predicted), view(leave), view(join), class_id}, eps);
            });
            return std::tuple(found.hits, found.united, owned(std::move(found.gained)));
        },
        nb::arg("truth").noconvert(), nb::arg("predicted").noconvert(),
        nb::arg("leave").noconvert(), nb::arg("join").noconvert(), "class_id"_a, "eps"_a);
}

}  // namespace lipdeploy::bindings
