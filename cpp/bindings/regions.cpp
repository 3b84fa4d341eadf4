#include "lipdeploy/regions.hpp"

#include <nanobind/stl/tuple.h>

#include <tuple>

#include "arrays.hpp"
#include "lipdeploy/segments.hpp"

namespace lipdeploy::bindings {
namespace {

template <typename Integer>
void bind_certify_segments(nb::module_& module) {
    using namespace nb::literals;
    module.def(
        "certify_segments",
        [](const In<Integer>& segment, const In<float>& radius, double eps,
           const In<std::int64_t>& needed) {
            SegmentCertificates found = unlocked([&] {
                return certify_segments(view(segment), view(radius), eps, view(needed));
            });
            return std::tuple(owned(std::move(found.area)), owned(std::move(found.flips)),
                              owned(std::move(found.budget)));
        },
        nb::arg("segment").noconvert(), nb::arg("radius").noconvert(), "eps"_a,
        nb::arg("needed").noconvert());
}

/// Rows of x, y, width, height, area, class, one row a region.
std::vector<std::int32_t> table(const RegionLabels& labels) {
    std::vector<std::int32_t> rows;
    rows.reserve(6 * labels.regions.size());
    for (const LabelledRegion& r : labels.regions) {
        rows.insert(rows.end(), {r.x, r.y, r.width, r.height, r.area, r.class_id});
    }
    return rows;
}

}  // namespace

void bind_regions(nb::module_& module) {
    using namespace nb::literals;
    using Mask = nb::ndarray<const std::uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
    using Number = nb::ndarray<std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
    bind_certify_segments<std::uint8_t>(module);
    bind_certify_segments<std::int32_t>(module);
    bind_certify_segments<std::int64_t>(module);
    module.def(
        "label_regions",
        [](const Mask& mask, std::int64_t min_area, const Number& number) {
            const RegionLabels labels = unlocked([&] {
                return label_regions({mask.data(), mask.size()}, mask.shape(0), mask.shape(1),
                                     min_area, {number.data(), number.size()});
            });
            return std::tuple(owned(table(labels)), labels.tiny_count);
        },
        nb::arg("mask").noconvert(), "min_area"_a, nb::arg("number").noconvert());
}

}  // namespace lipdeploy::bindings
