// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Errors are values. An Error says what was tried, on what, why it failed and what to do next;
// main.cpp alone turns its kind into an exit code.
#pragma once

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace anycast {

// The documented exit codes (docs/operations.md).
enum class Exit : int {
	kOk = 0,
	kFailed = 1,	  // the system refused
	kUsage = 2,	  // command line or configuration
	kNotAttached = 3, // nothing of ours on that interface
	kUnsupported = 4, // kernel or driver lacks a feature
	kChanged = 10,	  // no failure: apply --exit-code has changed something
};

struct Error {
	Exit kind = Exit::kFailed;
	std::string what; // "attach to eth0: native XDP refused: Operation not supported"
	std::string hint; // "try --mode generic"; may be empty

	[[nodiscard]] std::string message() const
	{
		return hint.empty() ? what : what + "\n  -> " + hint;
	}
};

template <typename T> using Result = tl::expected<T, Error>;
using Status = Result<void>;

inline tl::unexpected<Error> fail(Exit kind, std::string what, std::string hint = {})
{
	return tl::unexpected<Error>(Error{kind, std::move(what), std::move(hint)});
}

// A failed system or libbpf call; `error` is errno (positive) or a negative return value.
inline tl::unexpected<Error> fail_errno(std::string what, int error, std::string hint = {})
{
	what += ": ";
	what += std::strerror(error < 0 ? -error : error);
	return fail(Exit::kFailed, std::move(what), std::move(hint));
}

} // namespace anycast

// Returns the error of `expr` from the enclosing function, or goes on.
#define AX_TRY(expr)                                                                               \
	do {                                                                                       \
		if (auto ax_result_ = (expr); !ax_result_)                                         \
			return tl::unexpected<::anycast::Error>(std::move(ax_result_.error()));    \
	} while (0)
