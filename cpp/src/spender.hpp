/// Buys sorted pixels one by one, exactly. Private to the library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "lipdeploy/budget.hpp"
#include "lipdeploy/exact_sum.hpp"

namespace lipdeploy {

/// Walks up the sorted radii as far as each of a rising series of budgets reaches.
class Spender {
public:
    /// @param sorted       bits of the radii in question, ascending, finite.
    /// @param paid         float64 sum of the squares of all smaller radii, which surely flip.
    /// @param paid_exactly the same sum, asked for at most once and only where it must decide.
    Spender(std::span<const std::uint32_t> sorted, double paid,
            std::function<ExactSum()> paid_exactly);

    /// How many of `sorted` the budget buys. Budgets must not fall from call to call.
    [[nodiscard]] std::size_t spend(const Budget& budget);

private:
    [[nodiscard]] double with_next() const;
    [[nodiscard]] bool exactly_affordable(const ExactSum& limit);

    std::span<const std::uint32_t> sorted_;
    std::size_t bought_ = 0;
    double paid_;
    std::function<ExactSum()> paid_exactly_;
    std::optional<ExactSum> exact_;  // over `exact_bought_` pixels
    std::size_t exact_bought_ = 0;
};

}  // namespace lipdeploy
