#include "scratch.hpp"

#include <array>
#include <vector>

namespace lipdeploy {

std::span<std::uint32_t> scratch(Slot slot, std::size_t size) {
    thread_local std::array<std::vector<std::uint32_t>, 3> buffers;
    std::vector<std::uint32_t>& buffer = buffers[static_cast<std::size_t>(slot)];
    if (buffer.size() < size) buffer.resize(size);
    return std::span(buffer).first(size);
}

}  // namespace lipdeploy
