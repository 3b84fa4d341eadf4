/// Memory that a thread keeps between calls. Private to the library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace lipdeploy {

/// Who uses a buffer; a function must not call another one that uses the same.
enum class Slot { radii, join_radii, sort };

/// At least `size` values of unknown content, this thread's own, valid until the next call.
///
/// A stream asks the same of every frame, and the operating system's first touch of fresh pages
/// costs more than sorting what lies in them. Buffers grow to the largest frame seen and are freed
/// with the thread.
[[nodiscard]] std::span<std::uint32_t> scratch(Slot slot, std::size_t size);

}  // namespace lipdeploy
