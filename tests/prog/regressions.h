// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Frames on which program and oracle once disagreed, as files: a comment, the rules' actions where
// they are not the default ones, and the frame.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/names.h"
#include "core/reasons.h"
#include "support/oracle.h"
#include "support/packet.h"

namespace anycast::test {

struct RegressionCase {
	std::string comment; // one line
	GuardRules rules;
	Bytes frame;
};

// AX_FUZZ_SAVE, or the sources' own folder where the suite runs from them; "": nowhere.
inline std::filesystem::path regression_folder()
{
	const char *given = std::getenv("AX_FUZZ_SAVE"); // NOLINT(concurrency-mt-unsafe)
	const std::filesystem::path own = "tests/data/regressions";
	if (given != nullptr)
		return given;
	return std::filesystem::is_directory(own) ? own : std::filesystem::path{};
}

inline std::string regression_text(const RegressionCase &saved)
{
	std::ostringstream text;
	text << "# " << saved.comment << "\n";
	for (const ReasonInfo &reason : reasons()) {
		const ax_action action =
			saved.rules.action[static_cast<std::size_t>(reason.number)];
		if (reason.cls == AX_CLASS_RULE && action != reason.default_action)
			text << "rule " << reason.label << " " << action_name(action) << "\n";
	}
	static constexpr char kDigits[] = "0123456789abcdef";
	text << "frame ";
	for (const std::uint8_t byte : saved.frame)
		text << kDigits[byte >> 4] << kDigits[byte & 15];
	text << "\n";
	return text.str();
}

inline ax_action action_of(const std::string &name)
{
	for (const ax_action action : {AX_ACTION_DROP, AX_ACTION_COUNT, AX_ACTION_OFF})
		if (action_name(action) == name)
			return action;
	throw std::runtime_error("no such action: " + name);
}

inline RegressionCase read_regression(std::istream &in)
{
	RegressionCase saved;
	for (std::string line; std::getline(in, line);) {
		std::istringstream words(line);
		std::string what, first, second;
		words >> what >> first >> second;
		if (what == "#") {
			saved.comment = line.substr(std::min<std::size_t>(2, line.size()));
		} else if (what == "rule") {
			const ReasonInfo *rule = find_reason(std::string_view(first));
			if (rule == nullptr)
				throw std::runtime_error("no such rule: " + first);
			saved.rules.action[static_cast<std::size_t>(rule->number)] =
				action_of(second);
		} else if (what == "frame") {
			saved.frame = Packet::from_hex(first).bytes();
		} else if (!what.empty()) {
			throw std::runtime_error("neither comment, rule nor frame: " + line);
		}
	}
	return saved;
}

inline std::vector<std::filesystem::path> regression_files(const std::filesystem::path &folder)
{
	std::vector<std::filesystem::path> files;
	if (!folder.empty() && std::filesystem::is_directory(folder))
		for (const auto &entry : std::filesystem::directory_iterator(folder))
			if (entry.path().extension() == ".case")
				files.push_back(entry.path());
	std::ranges::sort(files);
	return files;
}

// The file's name, or "" if there is no place for it.
inline std::string save_regression(const RegressionCase &saved, const std::string &name)
{
	const std::filesystem::path folder = regression_folder();
	if (folder.empty())
		return "";
	std::filesystem::create_directories(folder);
	const std::filesystem::path file = folder / (name + ".case");
	std::ofstream out(file);
	out << regression_text(saved);
	return out.good() ? file.string() : "";
}

} // namespace anycast::test
