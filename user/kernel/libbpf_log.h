// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What libbpf, libxdp and the verifier say, kept for the error message instead of printed.
#pragma once

#include <cstddef>
#include <string>

namespace anycast {

// Collects while it lives, on this thread; libbpf's messages never reach stderr.
class LibbpfLog {
public:
	LibbpfLog();
	~LibbpfLog();
	LibbpfLog(const LibbpfLog &) = delete;
	LibbpfLog &operator=(const LibbpfLog &) = delete;

	// The last lines, indented; "" if nothing was said.
	[[nodiscard]] std::string tail(std::size_t lines = 12) const;

private:
	std::string text_;
	std::string *outer_;
};

} // namespace anycast
