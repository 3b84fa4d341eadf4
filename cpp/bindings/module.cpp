#include "arrays.hpp"

NB_MODULE(_native, module) {
    module.doc() = "The compiled core; lipdeploy.core.compiled is its typed front.";
    lipdeploy::bindings::bind_flips(module);
    lipdeploy::bindings::bind_regions(module);
    lipdeploy::bindings::bind_class_iou(module);
    lipdeploy::bindings::bind_overlay(module);
}
