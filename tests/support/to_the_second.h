// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#pragma once

#include <regex>
#include <string>

namespace anycast::test {

// What BIRD shows, without the milliseconds of its times: it reckons since when a state has been as
// it is anew for each answer, now and then by a millisecond more or less.
inline std::string to_the_second(const std::string &shown)
{
	static const std::regex kMilliseconds(R"((:\d\d)\.\d{3}\b)");
	return std::regex_replace(shown, kMilliseconds, "$1");
}

} // namespace anycast::test
