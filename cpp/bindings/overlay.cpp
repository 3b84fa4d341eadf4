#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>

#include <optional>
#include <tuple>
#include <utility>

#include "arrays.hpp"
#include "lipdeploy/label_place.hpp"
#include "lipdeploy/tint.hpp"

namespace lipdeploy::bindings {
namespace {

using Byte = std::uint8_t;

/// An array of N axes, C-contiguous.
template <typename T, int N>
using Array = nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;

template <typename A>
auto flat(const A& array) {
    return std::span(array.data(), array.size());
}

void tint_picture(const Array<const Byte, 3>& frame, const Array<const Byte, 2>& code,
                  const Array<const Byte, 2>& inside, const In<std::int32_t>& rows,
                  const In<std::int32_t>& columns, std::pair<int, int> stripes,
                  std::tuple<In<Byte>, Array<const Byte, 2>, In<Byte>, Byte> colours,
                  const Array<Byte, 3>& out) {
    const auto& [rest, colour, striped, edge] = colours;
    unlocked([&] {
        tint(flat(frame), {code.shape(0), code.shape(1), flat(code), flat(inside)},
             {view(rows), view(columns), stripes.first, stripes.second},
             {view(rest), flat(colour), view(striped), edge}, flat(out));
    });
}

std::optional<std::pair<std::size_t, std::size_t>> place_label(
    const Array<const std::int32_t, 2>& number, std::int32_t region,
    std::tuple<std::size_t, std::size_t, std::size_t, std::size_t> window,
    std::pair<std::size_t, std::size_t> box) {
    const auto [x, y, width, height] = window;
    const std::optional<Spot> spot = unlocked([&] {
        return deepest_box({flat(number), number.shape(1), x, y, width, height}, region, box.first,
                           box.second);
    });
    if (!spot) return std::nullopt;
    return std::pair(spot->row, spot->column);
}

}  // namespace

void bind_overlay(nb::module_& module) {
    using namespace nb::literals;
    module.def("tint", tint_picture, nb::arg("frame").noconvert(), nb::arg("code").noconvert(),
               nb::arg("inside").noconvert(), nb::arg("rows").noconvert(),
               nb::arg("columns").noconvert(), "stripes"_a, "colours"_a,
               nb::arg("out").noconvert());
    module.def("deepest_box", place_label, nb::arg("number").noconvert(), "region"_a, "window"_a,
               "box"_a);
}

}  // namespace lipdeploy::bindings
