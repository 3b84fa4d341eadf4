#include "spender.hpp"

#include <utility>

#include "lipdeploy/radius_bits.hpp"

namespace lipdeploy {

Spender::Spender(std::span<const std::uint32_t> sorted, double paid,
                 std::function<ExactSum()> paid_exactly)
    : sorted_(sorted), paid_(paid), paid_exactly_(std::move(paid_exactly)) {}

double Spender::with_next() const { return paid_ + cost_from_bits(sorted_[bought_]); }

bool Spender::exactly_affordable(const ExactSum& limit) {
    if (!exact_) exact_ = paid_exactly_();
    for (; exact_bought_ < bought_; ++exact_bought_) exact_->add_square(sorted_[exact_bought_]);
    ExactSum trial = *exact_;
    trial.add_square(sorted_[bought_]);
    return trial <= limit;
}

std::size_t Spender::spend(const Budget& budget) {
    while (bought_ < sorted_.size() && with_next() <= budget.surely) {
        paid_ = with_next();
        ++bought_;
    }
    if (bought_ == sorted_.size() || with_next() > budget.perhaps) return bought_;
    const ExactSum limit = ExactSum::square(budget.eps);
    while (bought_ < sorted_.size() && with_next() <= budget.perhaps &&
           exactly_affordable(limit)) {
        paid_ = with_next();
        ++bought_;
    }
    return bought_;
}

}  // namespace lipdeploy
