/// What an attacker can reach on one class of one image.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lipdeploy {

inline constexpr std::uint8_t kIgnore = 255;  ///< label of a pixel that nobody labelled

/// IoU_k = (hits - lost) / (union + gained) for every reachable pair; lost is the index.
struct IouFrontier {
    std::int64_t hits;    ///< true positives before the attack
    std::int64_t united;  ///< labelled plus falsely predicted pixels before the attack
    /// For 0, 1, 2, ... true positives taken, the most true negatives that the rest buys.
    std::vector<std::int64_t> gained;

    /// Smallest IoU on the frontier; NaN where the class neither occurs nor can appear.
    [[nodiscard]] double worst() const;
};

/// A class of an image and what it costs to change it, one entry a pixel, in any order.
struct ClassOnImage {
    std::span<const std::uint8_t> truth;      ///< class ids, 255 ignored
    std::span<const std::uint8_t> predicted;  ///< class ids
    std::span<const float> leave;             ///< radius at which a pixel may change at all
    std::span<const float> join;              ///< radius at which it may become `class_id`
    std::uint8_t class_id;
};

/// Frontier of one image for one class under the budget `eps`.
///
/// Every float64 rounding is resolved towards more changes: the budget is inflated to cover the
/// error of sums over all pixels. Radii are >= 0; what is negative or not a number counts as 0.
/// Linear in the number of pixels.
///
/// @throws std::invalid_argument where the sizes differ.
///
/// Source: Massena et al. 2025, App. B, with costs as squared radii of Eq. 8.
[[nodiscard]] IouFrontier iou_frontier(const ClassOnImage& image, double eps);

}  // namespace lipdeploy
