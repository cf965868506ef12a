// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The folder of public captures, where there is one.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <vector>

namespace anycast::test {

inline std::filesystem::path corpus()
{
	const char *given = std::getenv("AX_CORPUS"); // NOLINT(concurrency-mt-unsafe)
	return given != nullptr ? given : "../shared/corpus";
}

inline std::vector<std::filesystem::path> files_in(const std::filesystem::path &folder)
{
	std::vector<std::filesystem::path> files;
	for (const auto &entry : std::filesystem::directory_iterator(folder))
		files.push_back(entry.path());
	std::ranges::sort(files);
	return files;
}

} // namespace anycast::test
