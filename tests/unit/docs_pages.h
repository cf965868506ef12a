// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The documentation as text, wherever the suite was started.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace anycast {

// The source tree: the folder that the suite was started in, or the one that has the build folder.
inline std::filesystem::path source_tree()
{
	namespace fs = std::filesystem;
	const fs::path beside = fs::read_symlink("/proc/self/exe").parent_path().parent_path();
	return fs::exists("docs/configuration.md") ? fs::current_path() : beside;
}

inline std::string file_text(const std::filesystem::path &path)
{
	std::ifstream file(path);
	return {std::istreambuf_iterator<char>(file), {}};
}

// README.md and docs/*.md by name.
inline std::map<std::string, std::string> all_pages()
{
	std::map<std::string, std::string> pages;
	pages["README.md"] = file_text(source_tree() / "README.md");
	if (std::filesystem::is_directory(source_tree() / "docs"))
		for (const auto &entry :
		     std::filesystem::directory_iterator(source_tree() / "docs"))
			if (entry.path().extension() == ".md")
				pages[entry.path().filename()] = file_text(entry.path());
	return pages;
}

// What stands between ```LANGUAGE and ``` in the page.
inline std::vector<std::string> fenced(const std::string &page, const std::string &language)
{
	std::vector<std::string> blocks;
	const std::string open = "\n```" + language + "\n", close = "\n```";
	for (std::size_t at = 0; (at = page.find(open, at)) != page.npos;) {
		at += open.size();
		const std::size_t end = page.find(close, at - 1);
		if (end == page.npos)
			break;
		blocks.push_back(page.substr(at, end + 1 - at));
		at = end + close.size();
	}
	return blocks;
}

} // namespace anycast
