/// NumPy arrays in and out. Arguments are never converted: Python passes what is expected.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace lipdeploy::bindings {

namespace nb = nanobind;

/// A C-contiguous array of one axis that is only read.
template <typename T>
using In = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <typename T>
using Out = nb::ndarray<nb::numpy, T, nb::ndim<1>>;

template <typename T>
std::span<const T> view(const In<T>& array) {
    return {array.data(), array.size()};
}

/// Hands a vector to Python without copying it.
template <typename T>
Out<T> owned(std::vector<T>&& values) {
    auto kept = std::make_unique<std::vector<T>>(std::move(values));
    std::vector<T>* vector = kept.get();
    nb::capsule owner(vector, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    kept.release();
    return Out<T>(vector->data(), {vector->size()}, owner);
}

/// Computes with the GIL released.
template <typename Compute>
auto unlocked(Compute compute) {
    nb::gil_scoped_release release;
    return compute();
}

void bind_class_iou(nb::module_& module);
void bind_flips(nb::module_& module);
void bind_overlay(nb::module_& module);
void bind_regions(nb::module_& module);

}  // namespace lipdeploy::bindings
