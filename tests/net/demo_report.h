// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the demo prints, and what it counts.
#pragma once

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace anycast::test {

class Report {
public:
	template <typename... T> void section(fmt::format_string<T...> format, T &&...arguments)
	{
		fmt::print("\n{}\n", fmt::format(format, std::forward<T>(arguments)...));
	}
	template <typename... T> void say(fmt::format_string<T...> format, T &&...arguments)
	{
		fmt::print("        {}\n", fmt::format(format, std::forward<T>(arguments)...));
	}
	template <typename... T>
	void check(bool holds, fmt::format_string<T...> format, T &&...arguments)
	{
		const std::string text = fmt::format(format, std::forward<T>(arguments)...);
		fmt::print("  {}  {}\n", holds ? "ok  " : "FAIL", text);
		std::fflush(stdout);
		if (!holds)
			failed_.push_back(text);
		checks_++;
	}
	[[nodiscard]] bool failed() const { return !failed_.empty(); }
	int conclude(double seconds) const
	{
		fmt::print("\n{} checks, {} failed, {:.1f} s\n", checks_, failed_.size(), seconds);
		for (const std::string &text : failed_)
			fmt::print("failed: {}\n", text);
		return failed_.empty() ? 0 : 1;
	}

private:
	int checks_ = 0;
	std::vector<std::string> failed_;
};

} // namespace anycast::test
