// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/check.h"

#include <algorithm>

#include <fmt/format.h>

namespace anycast::render {

using json = nlohmann::ordered_json;

namespace {

std::size_t count(const std::vector<Finding> &findings, Level level)
{
	return static_cast<std::size_t>(std::ranges::count(findings, level, &Finding::level));
}

// What has lines of its own stays below where it begins.
std::string indented(std::string text)
{
	for (std::size_t at = 0; (at = text.find('\n', at)) != text.npos;) {
		const std::size_t end = std::min(text.find_first_not_of(" \n", at), text.size());
		text.replace(at, end - at, "\n" + std::string(17, ' '));
		at += 18;
	}
	return text;
}

} // namespace

std::string_view level_name(Level level)
{
	return level == Level::kOk ? "ok" : level == Level::kWarn ? "warn" : "fail";
}

json check_json(const std::vector<Finding> &findings)
{
	json list = json::array();
	for (const Finding &finding : findings)
		list.push_back(
			{{"check", finding.check},
			 {"level", level_name(finding.level)},
			 {"text", finding.text},
			 {"advice", finding.advice.empty() ? json() : json(finding.advice)}});
	return {{"ok", count(findings, Level::kFail) == 0},
		{"warnings", count(findings, Level::kWarn)},
		{"failures", count(findings, Level::kFail)},
		{"checks", std::move(list)}};
}

std::string check_text(const std::vector<Finding> &findings)
{
	std::string out;
	for (const Finding &finding : findings) {
		out += fmt::format("{:<4}  {:<10} {}\n", level_name(finding.level), finding.check,
				   indented(finding.text));
		if (!finding.advice.empty())
			out += fmt::format("{:<17}-> {}\n", "", finding.advice);
	}
	return out + fmt::format("{} ok, {} to look at, {} wrong\n", count(findings, Level::kOk),
				 count(findings, Level::kWarn), count(findings, Level::kFail));
}

} // namespace anycast::render
