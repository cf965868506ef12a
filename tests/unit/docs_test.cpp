// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// README.md and docs/ against the program: commands, options, metrics, links.
#include <algorithm>
#include <cctype>
#include <regex>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "cli/app.h"
#include "core/reasons.h"
#include "docs_pages.h"

namespace anycast {
namespace {

std::string help_of(std::vector<std::string> words)
{
	std::ostringstream out, err;
	words.emplace_back("--help");
	const Status status = cli::run(words, out, err);
	EXPECT_TRUE(status) << status.error().what;
	return out.str();
}

std::set<std::string> matches(const std::string &text, const char *pattern, int group = 1)
{
	const std::regex regex(pattern);
	std::set<std::string> found;
	for (std::sregex_iterator it(text.begin(), text.end(), regex), end; it != end; ++it)
		found.insert((*it)[static_cast<std::size_t>(group)]);
	return found;
}

constexpr const char *kLongOption = "(?:^|[^a-z-])(--[a-z][a-z-]+)";

// Commands, those of `vip` and the like included, and each one's help.
std::map<std::string, std::string> all_helps()
{
	std::map<std::string, std::string> helps{{"", help_of({})}};
	std::vector<std::vector<std::string>> todo{{}};
	while (!todo.empty()) {
		const std::vector<std::string> words = std::move(todo.back());
		todo.pop_back();
		const std::string help = help_of(words);
		std::string name;
		for (const std::string &word : words)
			name += (name.empty() ? "" : " ") + word;
		helps[name] = help;
		const std::size_t list = help.find("\nSubcommands:\n");
		if (list == help.npos)
			continue;
		for (const std::string &word :
		     matches(help.substr(list, help.find("\n\n", list) - list), "\n  ([a-z]+) ")) {
			todo.push_back(words);
			todo.back().push_back(word);
		}
	}
	return helps;
}

TEST(Docs, OperationsHasEveryCommandAndOption)
{
	const std::string page = all_pages().at("operations.md");
	const auto helps = all_helps();
	ASSERT_GT(helps.size(), 35u);
	std::set<std::string> options;
	for (const auto &[name, help] : helps) {
		// "backend del\|drain\|undrain B" has three.
		const std::string last = name.substr(name.find(' ') + 1);
		EXPECT_TRUE(std::regex_search(page, std::regex("`" + name + R"([` \\])")) ||
			    std::regex_search(page, std::regex(R"(\|)" + last + R"([` \\])")))
			<< name;
		for (const std::string &option : matches(help, kLongOption)) {
			options.insert(option);
			if (option != "--help") {
				EXPECT_NE(page.find(option), page.npos) << name << " " << option;
			}
		}
	}
	ASSERT_GT(options.size(), 30u);
	for (const std::string &option : matches(page, kLongOption))
		EXPECT_TRUE(options.contains(option)) << option << " is no option of any command";
}

// Of every line of a code block that calls us: is there such a command, and has it these options?
TEST(Docs, ExamplesCallCommandsThatExist)
{
	const auto helps = all_helps();
	const std::set<std::string> global = matches(helps.at(""), kLongOption);
	const std::regex call("anycast-xdp ((?:--json )?)([a-z]+)(?: ([a-z]+))?([^|&;#\n`]*)");
	std::size_t calls = 0;
	for (const auto &[name, page] : all_pages())
		for (std::sregex_iterator it(page.begin(), page.end(), call), end; it != end;
		     ++it) {
			const std::string line = it->str();
			const std::string before = it->prefix().str();
			// Prose has "anycast-xdp is"; examples stand behind a line feed, a prompt
			// or a backtick.
			if (!before.empty() && before.find_last_of("\n`#") != before.size() - 1 &&
			    !before.ends_with("&& ") && !before.ends_with("# "))
				continue;
			std::string command = (*it)[2];
			EXPECT_TRUE(helps.contains(command)) << name << ": " << line;
			if (helps.contains(command + " " + (*it)[3].str()))
				command += " " + (*it)[3].str();
			if (!helps.contains(command))
				continue;
			const auto own = matches(helps.at(command), kLongOption);
			for (const std::string &option : matches(line, kLongOption))
				EXPECT_TRUE(own.contains(option) || global.contains(option))
					<< name << ": " << line;
			calls++;
		}
	EXPECT_GT(calls, 20u);
}

TEST(Docs, AgentHasEveryMetric)
{
	const std::string source = file_text(source_tree() / "user/render/metrics.cpp");
	std::set<std::string> metrics = matches(source, "\"(anycast_[a-z0-9_]*[a-z0-9])\"");
	ASSERT_GT(metrics.size(), 15u);
	for (const char *what : {"anycast_vip", "anycast_backend"})
		for (const std::string &kind : matches(source, "what \\+ \"(_[a-z_]+)\""))
			metrics.insert(what + kind);
	const std::string page = all_pages().at("agent.md");
	for (const std::string &metric : metrics)
		EXPECT_NE(page.find("`" + metric), page.npos) << metric << " is not in agent.md";
	for (const auto &[name, text] : all_pages())
		for (const std::string &metric : matches(text, "`(anycast_[a-z0-9_]+)[`{]"))
			EXPECT_TRUE(metrics.contains(metric) || metric == "anycast_xdp_ebgp" ||
				    metric == "anycast_xdp_ibgp")
				<< name << ": there is no metric " << metric;
	const std::set<std::string> kinds =
		matches(source, "\\{\"([a-z0-9_]+)\", \"(c2s|s2c|both)\"");
	ASSERT_GT(kinds.size(), 15u);
	for (const std::string &kind : kinds)
		EXPECT_NE(page.find("`" + kind + "`"), page.npos) << kind;
}

// Links to files and headings within the tree.
TEST(Docs, LinksLeadSomewhere)
{
	const auto pages = all_pages();
	std::size_t links = 0;
	for (const auto &[name, page] : pages)
		for (const std::string &link : matches(page, "\\]\\(([^):]+)\\)")) {
			const std::string file = link.substr(0, link.find('#'));
			const auto target =
				file.empty() ? source_tree() / "docs" / name
					     : source_tree() / (name == "README.md" ? "" : "docs") /
						       file;
			EXPECT_TRUE(std::filesystem::exists(target)) << name << ": " << link;
			links++;
			if (link.find('#') == link.npos)
				continue;
			std::set<std::string> anchors;
			for (std::string heading : matches(file_text(target), "\n#+ ([^\n]+)")) {
				std::string anchor;
				for (const char c : heading)
					if (std::isalnum(static_cast<unsigned char>(c)) || c == '-')
						anchor += static_cast<char>(std::tolower(c));
					else if (c == ' ')
						anchor += '-';
				anchors.insert(anchor);
			}
			EXPECT_TRUE(anchors.contains(link.substr(link.find('#') + 1)))
				<< name << ": " << link;
		}
	EXPECT_GT(links, 30u);
}

// Files of the tree that the pages name, such as `tests/net/lab.h`, are there.
TEST(Docs, FilesAreThere)
{
	std::size_t files = 0;
	for (const auto &[name, page] : all_pages())
		for (const std::string &file :
		     matches(page, "`((?:bpf|user|tests|tools|include)/[A-Za-z0-9_./-]+)`")) {
			EXPECT_TRUE(std::filesystem::exists(source_tree() / file))
				<< name << ": " << file;
			files++;
		}
	EXPECT_GT(files, 20u);
}

} // namespace
} // namespace anycast
