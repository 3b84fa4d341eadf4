#include "lipdeploy/exact_sum.hpp"

#include <bit>

namespace lipdeploy {
namespace {

constexpr int kUnit = 402;  // the last bit is worth 2^-402

}  // namespace

void ExactSum::add_word(std::uint64_t value, std::size_t word) noexcept {
    while (value != 0 && word < words_.size()) {
        words_[word] += value;
        value = words_[word] < value ? 1 : 0;  // the carry
        ++word;
    }
}

void ExactSum::add(std::uint64_t value, unsigned shift) noexcept {
    const unsigned word = shift / 64, bit = shift % 64;
    add_word(value << bit, word);
    if (bit != 0) add_word(value >> (64 - bit), word + 1);
}

void ExactSum::add_square(std::uint32_t radius_bits) noexcept {
    const std::uint32_t field = radius_bits >> 23;
    const std::uint64_t fraction = radius_bits & 0x7FFFFFu;
    const std::uint64_t mantissa = field == 0 ? fraction : fraction | 0x800000u;
    const int exponent = static_cast<int>(field == 0 ? 1 : field) - 150;
    add(mantissa * mantissa, static_cast<unsigned>(2 * exponent + kUnit));
}

ExactSum ExactSum::square(double eps) noexcept {
    ExactSum result;
    const auto bits = std::bit_cast<std::uint64_t>(eps);
    if (bits == 0) return result;
    const std::uint64_t mantissa = (bits & 0xFFFFFFFFFFFFFu) | 0x10000000000000u;
    const int exponent = static_cast<int>(bits >> 52) - 1075;
    const std::uint64_t high = mantissa >> 27, low = mantissa & 0x7FFFFFFu;
    const auto shift = static_cast<unsigned>(2 * exponent + kUnit);
    result.add(low * low, shift);  // (high 2^27 + low)^2, each product below 2^64
    result.add(high * low, shift + 28);
    result.add(high * high, shift + 54);
    return result;
}

std::strong_ordering ExactSum::operator<=>(const ExactSum& other) const noexcept {
    for (std::size_t word = words_.size(); word-- > 0;) {
        if (words_[word] != other.words_[word]) return words_[word] <=> other.words_[word];
    }
    return std::strong_ordering::equal;
}

}  // namespace lipdeploy
