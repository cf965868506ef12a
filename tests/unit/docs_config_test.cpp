// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// docs/configuration.md against the reader: the same sections and keys, the same defaults.
#include <algorithm>
#include <regex>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "config/config.h"
#include "docs_pages.h"

namespace anycast {
namespace {

struct Row {
	std::string key, fallback; // the whole second column
};
// Headings that follow each other share what comes.
struct Part {
	std::vector<std::string> headings; // "[node]", "[[pools]]"
	std::vector<Row> rows;
};

std::string bare(const std::string &heading)
{
	const std::size_t from = heading.find_first_not_of('[');
	return heading.substr(from, heading.find(']') - from);
}

std::vector<Part> parts_of(const std::string &page)
{
	static const std::regex row("\\| `([a-z0-9_]+)` \\| (.*?) \\|.*");
	std::vector<Part> parts;
	std::istringstream lines(page);
	std::smatch match;
	bool said = true; // something since the last heading
	for (std::string line; std::getline(lines, line);) {
		if (line.starts_with("## [")) {
			if (said)
				parts.emplace_back();
			parts.back().headings.push_back(line.substr(3));
			said = false;
		} else if (!line.empty()) {
			said = true;
			if (!parts.empty() && std::regex_match(line, match, row))
				parts.back().rows.push_back({match[1], match[2]});
		}
	}
	return parts;
}

class DocsConfig : public testing::Test {
protected:
	const std::string page_ = file_text(source_tree() / "docs/configuration.md");
	const std::vector<Part> parts_ = parts_of(page_);
};

TEST_F(DocsConfig, HasEveryKeyAndNoOther)
{
	std::set<std::string> documented;
	std::string skeleton;
	for (const Part &part : parts_)
		for (const std::string &heading : part.headings) {
			skeleton += heading + "\n";
			documented.insert(bare(heading));
			for (const Row &row : part.rows)
				documented.insert(bare(heading) + "." + row.key);
		}
	ASSERT_GT(documented.size(), 100u);
	const std::set<std::string> known = known_keys(skeleton);
	for (const std::string &key : known)
		EXPECT_TRUE(documented.contains(key)) << key << " is not documented";
	for (const std::string &key : documented)
		EXPECT_TRUE(known.contains(key)) << key << " is documented, but no key";
}

// A file in which each table, and each type of check, stands with what it needs.
constexpr const char *kAll = R"([node]
hash_seed = "f0112233445566778899aabbccddeeff"
[limits]
[tunnel]
[gtsm]
[[gtsm.peers]]
address = "192.0.2.254"
[icmp]
[[pools]]
name = "web"
[[pools.backends]]
address = "10.1.0.11"
[[pools.generations]]
number = 1
retire = 5
backends = ["10.1.0.11=100"]
[[pools.checks]]
type = "tcp"
timeout = "500ms"
port = 80
[[pools.checks]]
type = "udp"
timeout = "500ms"
port = 80
payload = "ping"
[[pools]]
name = "h3"
hash = "quic"
[[pools.backends]]
address = "10.1.0.11"
server_id = "c0"
[[vips]]
name = "www"
address = "198.51.100.80"
port = 80
pool = "web"
[vips.bgp]
[[vips.checks]]
type = "https"
timeout = "500ms"
host = "www.example.org"
[[vips.checks]]
type = "dns"
timeout = "500ms"
name = "www.example.org"
[bird]
asn = 64512
[[bird.neighbours]]
name = "upstream"
address = "192.0.2.254"
asn = 64500
[host]
[agent]
[agent.overload]
[agent.overload.cpu]
high = 90
)";

// Does `line` in some table `heading` of kAll change nothing?
bool changes_nothing(const std::string &heading, const std::string &line, std::string &complaint)
{
	static const Config config = parse_config(kAll, "all").value().config;
	const std::string text = kAll, head = "\n" + heading + "\n";
	for (std::size_t at = ("\n" + text).find(head); at != text.npos;
	     at = ("\n" + text).find(head, at + 1)) {
		std::string with = text;
		with.insert(at + head.size() - 1, line + "\n");
		const auto parsed = parse_config(with, "with");
		if (!parsed)
			complaint = parsed.error().what;
		else if (parsed->config == config)
			return true;
		else
			complaint = "it changes something";
	}
	return false;
}

// A default that is code is TOML: said aloud, it changes nothing.
TEST_F(DocsConfig, DefaultsAreTheProgramsOwn)
{
	static const std::regex code("`([^`]+)`");
	const auto all = parse_config(kAll, "all");
	ASSERT_TRUE(all) << all.error().what;
	std::size_t checked = 0;
	std::smatch match;
	for (const Part &part : parts_) {
		if (part.headings.front() == "[paths]")
			continue; // below: what is absent is filled in later
		for (const Row &row : part.rows) {
			if (!std::regex_match(row.fallback, match, code))
				continue;
			const std::string line = row.key + " = " + match[1].str();
			std::string complaint = "no such table in kAll";
			EXPECT_TRUE(std::ranges::any_of(part.headings,
							[&](const auto &heading) {
								return changes_nothing(
									heading, line, complaint);
							}))
				<< part.headings.front() << " " << line << ": " << complaint;
			checked++;
		}
	}
	EXPECT_GT(checked, 50u);
	for (const char *path :
	     {"pins` | `\"" AX_DEFAULT_PIN_DIR, "state` | `\"" AX_DEFAULT_STATE_DIR})
		EXPECT_NE(page_.find(path), page_.npos) << path;
}

TEST_F(DocsConfig, ExamplesAreFiles)
{
	std::size_t blocks = 0;
	for (const auto &[name, page] : all_pages())
		for (std::string block : fenced(page, "toml")) {
			if (block.starts_with("[[pools.")) {
				block.insert(0, "[[pools]]\n");
			}
			const auto parsed = parse_config(block, name);
			// Excerpts lack what stands elsewhere; whole files begin with [node].
			const std::string said = parsed ? "" : parsed.error().what;
			if (block.starts_with("[node]")) {
				EXPECT_TRUE(parsed && parsed->warnings.empty()) << said << block;
			}
			EXPECT_FALSE(known_keys(block).empty()) << name << ": " << said << block;
			EXPECT_EQ(said.find("unknown key"), said.npos) << said << "\n" << block;
			EXPECT_EQ(said.find("expected"), said.npos) << said << "\n" << block;
			blocks++;
		}
	EXPECT_GE(blocks, 10u);
}

} // namespace
} // namespace anycast
